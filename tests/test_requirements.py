"""Keeps docs/spec/requirements.md true."""

import re
from pathlib import Path

import pytest

from tests.requirements import (
    COMMAND,
    PAGE,
    PREFIXES,
    ROOT,
    Proof,
    by_row,
    faults,
    ids_in,
    main,
    proofs_in,
    rows,
    written,
)

TEXT = PAGE.read_text(encoding="utf-8")
PROOFS = by_row(proofs_in(ROOT / "tests"))

ID = re.compile(r"\b(S[0-4X])[-_](\d+)(?!\d)")
SOURCES = {
    path: path.read_text(encoding="utf-8")
    for folder in ("relay", "tests", "docs", "web", "supabase")
    for path in sorted((ROOT / folder).rglob("*"))
    if path.suffix in (".py", ".js", ".md", ".sql") and "node_modules" not in path.parts
    if path != Path(__file__)
}


def test_the_page_says_what_the_tests_prove() -> None:
    found = faults(TEXT, PROOFS)
    assert not found, "\n".join(found)


def test_a_proved_row_of_the_voice_relay_is_seen_in_a_whole_call() -> None:
    """What a caller, a provider or an operator can see is shown from outside, not by its parts."""
    inside = [
        row
        for row, tests in PROOFS.items()
        if row.startswith("S3-") and not any(proof.whole_call for proof in tests)
    ]
    assert inside == []


def test_every_id_that_is_written_anywhere_is_a_row() -> None:
    known = {row.id for row in rows(TEXT)}
    strange = {
        f"{path.relative_to(ROOT)}: {prefix}-{number}"
        for path, text in SOURCES.items()
        for prefix, number in ID.findall(text)
        if f"{prefix}-{number}" not in known
    }
    assert strange == set()


# ------------------------------------------------------------------------- it sees what is wrong


def small_page(third: str = "open", requirement: str = "Speak.") -> str:
    """Return a whole page in which all rows but S3-2 are open."""
    ids = (f"{prefix}-{n}" for prefix, last in PREFIXES.items() for n in range(1, last + 1))
    table = [
        f"| {row} | {requirement} | {third} |" if row == "S3-2" else f"| {row} | Listen. | open |"
        for row in ids
    ]
    head = ["# Requirements", "| row | requirement | proved by |", "|---|---|---|"]
    return "\n".join([*head, *table])


def proof(name: str, path: str = "tests/scenarios/test_call.py") -> Proof:
    return Proof(path, name, ids_in(name))


SPEAKS = "tests/scenarios/test_call.py::test_S3_2_it_speaks"


SPOILT = {
    "S1-7 is missing": ("| S1-7 | Listen. | open |\n", ""),
    "S1-8 stands there twice": ("| S1-7 ", "| S1-8 "),
    "SX-7 is beyond the last row": ("| SX-6 ", "| SX-7 "),
    "the rows are out of order": ("S1-7 | Listen. | open |\n| S1-8", "S1-8 | - | open |\n| S1-7"),
    "it_spoke, which is gone: run": ("it_speaks", "it_spoke"),
    "S3-2 is not what the tests say: run": (f"`{SPEAKS}`", "open"),
    "S1-7 is not what the tests say: run": ("| S1-7 | Listen. | open", "| S1-7 | Listen. | yes"),
    "S3-2 is not what": ("Speak.", "Speak; *missing:* loudly."),
    "S3-2, which is retired": ("Speak.", "Speak; *retired:* it is loud."),
}


@pytest.mark.parametrize("told", SPOILT)
def test_a_spoilt_page_is_found(told: str) -> None:
    page, proofs = small_page(f"`{SPEAKS}`"), by_row([proof("test_S3_2_it_speaks")])
    assert faults(page, proofs) == []
    spoilt = page.replace(*SPOILT[told])
    assert spoilt != page
    assert any(told in fault for fault in faults(spoilt, proofs))


def test_a_test_that_moved_or_carries_no_row_is_found() -> None:
    page = small_page(f"`{SPEAKS}`")
    moved = faults(page, by_row([proof("test_S3_2_it_speaks", "tests/web/test_call.py")]))
    assert moved == [f"S3-2 names {SPEAKS}, which is gone: run `{COMMAND}`"]
    strange = faults(small_page(), by_row([proof("test_S3_93_it_sings")]))
    assert strange == [
        "tests/scenarios/test_call.py::test_S3_93_it_sings carries S3-93, which is no row"
    ]


# ------------------------------------------------------------------------- and writes what is right


def test_a_name_may_carry_several_ids() -> None:
    assert ids_in("test_S3_27_SX_3_it_is_told") == ("S3-27", "SX-3")
    assert ids_in("test_S3_27") == ("S3-27",)
    assert ids_in("test_it_is_told_in_S3s_words_3_27") == ()


def test_names_come_from_files_of_tests(tmp_path: Path) -> None:
    folder = tmp_path / "tests" / "web"
    folder.mkdir(parents=True)
    (folder / "test_page.py").write_text(
        '"""S3-1."""\n\nasync def test_S3_2_S3_3_it_speaks():\n    """S3-4."""\n\n'
        "def S3_5_help():\n    pass\n\nclass TestPage:\n    def test_S3_6_it_listens(self): ...\n"
    )
    (folder / "page.py").write_text("def test_S3_7_no_file_of_tests(): ...\n")
    found = by_row(proofs_in(tmp_path / "tests"))
    assert {row: list(map(str, tests)) for row, tests in found.items()} == {
        "S3-2": ["tests/web/test_page.py::test_S3_2_S3_3_it_speaks"],
        "S3-3": ["tests/web/test_page.py::test_S3_2_S3_3_it_speaks"],
        "S3-6": ["tests/web/test_page.py::test_S3_6_it_listens"],
    }


@pytest.mark.parametrize(
    ("requirement", "third"),
    [
        ("Speak.", "`{0}`<br>`{1}`<br>`{2}`"),
        ("Speak; *missing:* loud.", "in part: `{0}`<br>`{1}`<br>`{2}`"),
        ("Speak; *retired:* no.", "retired"),
    ],
)
def test_the_best_tests_are_named_and_hand_written_columns_stay(
    requirement: str, third: str
) -> None:
    """Whole calls first, then those of fewer rows, and another file before the same once more."""
    proofs = [
        proof("test_S3_2_a_part", "tests/realtime/test_core.py"),
        proof("test_S3_2_S3_4_both"),
        proof("test_S3_2_again"),
        proof("test_S3_2_seen", "tests/web/test_page.py"),
    ]
    names = [str(proofs[index]) for index in (2, 3, 0)]
    page = small_page("open", requirement)
    expected = page.replace(f"{requirement} | open", f"{requirement} | {third.format(*names)}")
    made = written(page, by_row(proofs))
    line = next(line for line in made.splitlines() if line.startswith("| S3-2 "))
    assert line in expected.splitlines()
    assert written(made, by_row(proofs)) == made, "a second run changes nothing"


def test_a_row_without_tests_is_open() -> None:
    assert written(small_page("`tests/x.py::test_S3_2`"), {}) == small_page("open")


def test_the_command_makes_the_page_true_again(tmp_path: Path) -> None:
    page = tmp_path / "requirements.md"
    page.write_text(re.sub(r"`tests/\S+::\S+`", "open", TEXT), encoding="utf-8")
    assert faults(page.read_text(encoding="utf-8"), PROOFS)
    main(page)
    assert page.read_text(encoding="utf-8") == TEXT
