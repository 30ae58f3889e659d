"""Writes the clients that are tested into README.md: `python -m tests.clients.readme`."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
README = ROOT / "README.md"
BEGIN: Final = "<!-- clients: python -m tests.clients.readme -->\n"
END: Final = "<!-- /clients -->\n"
PLUMBING: Final = frozenset({"ws"})
"""Packages that a client needs and that speak no Realtime API."""
_PIN: Final = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[a-z,]+\])?==(\S+)", re.MULTILINE)


def npm() -> Iterator[tuple[str, str]]:
    """Packages for JavaScript and their versions."""
    for name, version in json.loads((HERE / "package.json").read_text())["dependencies"].items():
        if name not in PLUMBING:
            yield name, version


def pypi() -> Iterator[tuple[str, str]]:
    """Packages for Python and their versions; `openai` is locked with the rest of the tests'."""
    lock = (ROOT / "requirements-all.lock").read_text()
    yield next(pin for pin in _PIN.findall(lock) if pin[0] == "openai")
    for pins in sorted(HERE.glob("*.in")):
        yield from _PIN.findall(pins.read_text())


def section() -> str:
    """The table, with its marks."""
    rows = [("npm", name, version) for name, version in sorted(npm())]
    rows += [("PyPI", name, version) for name, version in sorted(pypi())]
    lines = [f"| {where} | `{name}` | {version} |\n" for where, name, version in rows]
    return f"{BEGIN}| from | client | version |\n|---|---|---|\n{''.join(lines)}{END}"


def with_section(readme: str) -> str:
    """The page with the table as it should be."""
    before, rest = readme.split(BEGIN)
    return before + section() + rest.split(END)[1]


if __name__ == "__main__":
    README.write_text(with_section(README.read_text()))
