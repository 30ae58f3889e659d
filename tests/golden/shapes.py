"""Compares messages with the golden files: every field there, none beside, values or placeholders.

A placeholder stands in angle brackets, `<str>`, and with a question mark may be null: `<str?>`. A
list of one placeholder item stands for any number of such.
"""

import base64
import binascii
import json
import re
import uuid
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Final

FOLDER: Final = Path(__file__).parent
_PLACEHOLDER: Final = re.compile(r"<([a-z0-9]+)(\??)>")


def golden(door: str, name: str, message: Any) -> None:
    """Fail where the message is not as the door's golden file has it."""
    expected = json.loads((FOLDER / f"{door}.json").read_text())[name]
    differences = list(differ(expected, message, name))
    assert not differences, "; ".join(differences)


def differ(expected: Any, found: Any, place: str) -> Iterator[str]:
    """Each difference, with its place."""
    if isinstance(expected, str) and (placeholder := _PLACEHOLDER.fullmatch(expected)):
        kind, may_be_null = placeholder.groups()
        if not (found is None and may_be_null) and not _KINDS[kind](found):
            yield f"{place}: {found!r} is no {expected}"
    elif isinstance(expected, dict) and isinstance(found, dict):
        for key in sorted(expected.keys() ^ found.keys()):
            yield f"{place}.{key}: {'missing' if key in expected else 'not in the golden file'}"
        for key in expected.keys() & found.keys():
            yield from differ(expected[key], found[key], f"{place}.{key}")
    elif isinstance(expected, list) and isinstance(found, list):
        yield from _differ_in_lists(expected, found, place)
    elif expected != found or type(expected) is not type(found):
        yield f"{place}: {found!r} is not {expected!r}"


def _differ_in_lists(expected: list[Any], found: list[Any], place: str) -> Iterator[str]:
    repeats = len(expected) == 1 and "<" in json.dumps(expected[0])
    if not repeats and len(expected) != len(found):
        yield f"{place}: {len(found)} items instead of {len(expected)}"
        return
    for number, item in enumerate(found):
        yield from differ(expected[0 if repeats else number], item, f"{place}[{number}]")


def _reads(read: Callable[[str], object]) -> Callable[[Any], bool]:
    def check(value: Any) -> bool:
        try:
            read(value)
        except (ValueError, TypeError, AttributeError, binascii.Error):
            return False
        return True

    return check


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _zoned(value: str) -> datetime:
    found = datetime.fromisoformat(value)
    if found.tzinfo is None:
        raise ValueError("no zone")
    return found


_KINDS: Final[dict[str, Callable[[Any], bool]]] = {
    "any": lambda _: True,
    "str": lambda value: isinstance(value, str),
    "int": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": _is_number,
    "bool": lambda value: isinstance(value, bool),
    "object": lambda value: isinstance(value, dict),
    "iso": _reads(_zoned),
    "ms": lambda value: isinstance(value, int) and value > 1_600_000_000_000,
    "uuid": _reads(uuid.UUID),
    "base64": _reads(lambda value: base64.b64decode(value, validate=True)),
}
