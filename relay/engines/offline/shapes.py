"""How a client's JSON must look: small checks that are put together to large ones."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

from relay.engines.offline import refusals

Shape = Callable[[Any, str], Any]
"""Given a value and its path, return the value to go on with, or raise `Refusal`."""

MAX_LIST = 1024  # entries of any list a client may send

MAX_TEXT = 1 << 20  # characters of any one text a client may send


def anything(value: Any, path: str) -> Any:  # noqa: ARG001 - it is a Shape
    """Accept whatever is there."""
    return value


def nullable(shape: Shape) -> Shape:
    """Accept null, or what `shape` accepts."""
    return lambda value, path: None if value is None else shape(value, path)


def text(most: int = MAX_TEXT) -> Shape:
    """Accept a string of at most `most` characters."""

    def check(value: Any, path: str) -> str:
        if not isinstance(value, str):
            raise refusals.wrong_type(path, "a string")
        if len(value) > most:
            raise refusals.too_long(path, most, len(value))
        return value

    return check


def boolean(value: Any, path: str) -> bool:
    """Accept true and false."""
    if not isinstance(value, bool):
        raise refusals.wrong_type(path, "a boolean")
    return value


def integer(least: int, most: int) -> Shape:
    """Accept a whole number between the two, both included."""

    def check(value: Any, path: str) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise refusals.wrong_type(path, "an integer")
        _within(value, path, least, most)
        return value

    return check


def number(least: float, most: float) -> Shape:
    """Accept a number between the two, both included."""

    def check(value: Any, path: str) -> float:
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise refusals.wrong_type(path, "a number")
        _within(value, path, least, most)
        return value

    return check


def one_of(*supported: str) -> Shape:
    """Accept one of these words."""

    def check(value: Any, path: str) -> str:
        if not isinstance(value, str) or value not in supported:
            raise refusals.wrong_value(path, value, supported)
        return value

    return check


def either(first: Shape, second: Shape) -> Shape:
    """Accept what the first accepts, else what the second accepts."""

    def check(value: Any, path: str) -> Any:
        try:
            return first(value, path)
        except refusals.Refusal:
            return second(value, path)

    return check


def array(of: Shape, most: int = MAX_LIST) -> Shape:
    """Accept a list of at most `most` of these."""

    def check(value: Any, path: str) -> list[Any]:
        if not isinstance(value, list):
            raise refusals.wrong_type(path, "an array")
        if len(value) > most:
            raise refusals.too_large(f"{path}.length", most, len(value))
        return [of(entry, f"{path}[{index}]") for index, entry in enumerate(value)]

    return check


def thing(value: Any, path: str) -> dict[str, Any]:
    """Accept any object."""
    if not isinstance(value, dict):
        raise refusals.wrong_type(path, "an object")
    return value


def record(fields: Mapping[str, Shape], required: Collection[str] = ()) -> Shape:
    """Accept an object with these fields and no others."""

    def check(value: Any, path: str) -> dict[str, Any]:
        prefix = f"{path}." if path else ""
        for name in thing(value, path):
            if name not in fields:
                raise refusals.unknown_parameter(f"{prefix}{name[:64]}")
        for name in required:
            if name not in value:
                raise refusals.missing_parameter(f"{prefix}{name}")
        return {name: fields[name](value[name], f"{prefix}{name}") for name in value}

    return check


def tagged(kinds: Mapping[str, Shape], tag: str = "type") -> Shape:
    """Accept an object whose `tag` says which of these it is."""
    check_tag = one_of(*kinds)

    def check(value: Any, path: str) -> Any:
        if tag not in thing(value, path):
            raise refusals.missing_parameter(f"{path}.{tag}")
        return kinds[check_tag(value[tag], f"{path}.{tag}")](value, path)

    return check


def _within(value: float, path: str, least: float, most: float) -> None:
    if value < least:
        raise refusals.too_small(path, least, value)
    if value > most:
        raise refusals.too_large(path, most, value)
