"""Whether the pages are whole: every file that their files ask for is there."""

import re
from collections.abc import Iterator
from pathlib import Path

from relay.check.finding import Finding, fail, ok

_ASKED = re.compile(r"""(?:\bsrc=|\bhref=|\bfrom\s+|\bimport\s+|\bnew URL\()["']([^"']+)["']""")
"""What HTML and ES modules name: scripts, styles, modules, and worklets by `new URL`."""


def page(folder: Path) -> Finding:
    """Follow the voice page and the coach's to every file that they lead to."""
    folder = folder.resolve()
    index = folder / "index.html"
    if not index.is_file():
        mend = "run from a checkout of the project, which has the page in web/"
        return fail(f"{index} is missing", mend)
    found, missing = _follow(index, folder / "coach.html")
    if missing:
        names = ", ".join(sorted(str(path.relative_to(folder)) for path in missing))
        return fail(f"{folder} lacks {names}", "bring them back, as with `git checkout web`")
    return ok(f"{len(found)} files in {folder}")


def _follow(*pages: Path) -> tuple[set[Path], set[Path]]:
    """The files that these pages lead to: those that are there, and those that are not."""
    found: set[Path] = set()
    missing: set[Path] = set()
    open_ends = list(pages)
    while open_ends:
        file = open_ends.pop()
        if not file.is_file():
            missing.add(file)
        elif file not in found:
            found.add(file)
            open_ends += _asked_for(file)
    return found, missing


def _asked_for(file: Path) -> Iterator[Path]:
    if file.suffix not in (".html", ".js"):
        return
    for address in _ASKED.findall(file.read_text(encoding="utf-8")):
        elsewhere = ":" in address or address.startswith("/") or address.endswith((".", "/"))
        if not elsewhere:
            yield (file.parent / address).resolve()
