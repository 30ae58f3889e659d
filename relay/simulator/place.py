"""Where a script is wrong: the line and the key behind a complaint about its values."""

import re

_COMPLAINT = re.compile(r"^(?P<what>.*?)(?: - at `\$(?P<path>.*)`)?$", re.DOTALL)
_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]")
_UNKNOWN = re.compile(r"unknown field `(.+)`$")


class BadScript(ValueError):  # noqa: N818 - it is the script's fault, not the program's
    """A script that cannot be used; its text is one line that says where it is wrong."""


def complaint(text: str, message: str) -> str:
    """Return what is wrong and where, from a message that ends in "at `$.fault[0].seconds`"."""
    found = _COMPLAINT.match(message)
    what, path = (found["what"], found["path"] or "") if found else (message, "")
    steps = [name or int(index) for name, index in _STEP.findall(path)]
    unknown = _UNKNOWN.search(what)
    line = _line(text, [*steps, unknown[1]] if unknown else steps)
    named = ".".join(str(step + 1) if isinstance(step, int) else step for step in steps)
    place = "" if line is None else f", line {line}"
    return f"{place}: {named}: {what}" if named else f"{place}: {what}"


def _line(text: str, steps: list[str | int]) -> int | None:
    lines = text.splitlines()
    first, last, best = 0, len(lines), None
    for index, step in enumerate(steps):
        if isinstance(step, int):
            continue
        following = steps[index + 1] if index + 1 < len(steps) else None
        nth = following if isinstance(following, int) else 0
        header = _nth(lines, rf"\s*\[\[?\s*([\w.-]+\.)?{re.escape(step)}\s*\]", first, last, nth)
        if header is not None:
            first, last, best = header, _end(lines, header, step), header
            continue
        key = _nth(lines, rf".*(^|[\s,{{]){re.escape(step)}\s*=", first, last, 0)
        if key is not None:
            first = best = key
    return None if best is None else best + 1


def _nth(lines: list[str], pattern: str, first: int, last: int, nth: int) -> int | None:
    matches = [i for i in range(first, last) if re.match(pattern, lines[i])]
    return matches[nth] if nth < len(matches) else None


def _end(lines: list[str], header: int, name: str) -> int:
    """Return the line behind a table: the next header that is not of a table within it."""
    within = re.compile(rf"\s*\[\[?\s*([\w.-]+\.)?{re.escape(name)}\.")
    for index in range(header + 1, len(lines)):
        if re.match(r"\s*\[[\[\w\s\"']", lines[index]) and not within.match(lines[index]):
            return index
    return len(lines)
