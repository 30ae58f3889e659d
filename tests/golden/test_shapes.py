import json
from pathlib import Path

import pytest

from tests.golden.shapes import FOLDER, differ


@pytest.mark.parametrize(
    ("expected", "found"),
    [
        ("<str>", "text"),
        ("<str?>", None),
        ("<iso>", "2026-12-01T10:00:00.000Z"),
        ("<base64>", "AAEC"),
        (["<int>"], [1, 2, 3]),
        ([{"id": "<uuid>"}], []),
        ({"status": "ok"}, {"status": "ok"}),
    ],
)
def test_a_message_like_the_golden_one_passes(expected: object, found: object) -> None:
    assert not list(differ(expected, found, "message"))


@pytest.mark.parametrize(
    ("expected", "found"),
    [
        ("<str>", None),
        ("<int>", True),
        ("<number>", "1"),
        ("<iso>", "yesterday"),
        ("<iso>", "2026-12-01T10:00:00"),
        ("<base64>", "!!"),
        (["<int>"], ["one"]),
        (["one", "two"], ["one"]),
        ({"status": "ok"}, {}),
        ({"status": "ok"}, {"status": "ok", "more": 1}),
        ({"count": 1}, {"count": True}),
    ],
)
def test_any_difference_is_told(expected: object, found: object) -> None:
    assert list(differ(expected, found, "message"))


def test_a_golden_file_is_an_object_of_named_messages() -> None:
    for path in FOLDER.glob("*.json"):
        assert json.loads(path.read_text()), path


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.json")), ids=lambda path: path.stem)
def test_SX_5_every_golden_message_is_held_against_one_that_was_sent(path: Path) -> None:
    """By its name, or by the field that a test takes it from: a type, a status, an event."""
    folders = [FOLDER.parent / "doors" / path.stem, FOLDER.parent / "scenarios"]
    tests = [file.read_text() for folder in folders for file in folder.rglob("*.py")]
    text = "\n".join(one for one in tests if f'golden("{path.stem}"' in one)
    unused = [name for name in json.loads(path.read_text()) if name.split()[-1] not in text]

    assert unused == []
