"""Writes the third column of docs/spec/requirements.md: the tests that prove each row.

python -m tests.requirements
"""

import ast
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "spec" / "requirements.md"
COMMAND = "python -m tests.requirements"

PREFIXES = {"S0": 50, "S1": 30, "S2": 34, "S3": 92, "S4": 40, "SX": 6}
"""The number of rows of each prefix."""
MOST_NAMED = 3
"""The longest list of tests that still reads as a table's cell."""

ROW = re.compile(r"\| (S[0-4X]-\d+) \| (.+) \| (.+) \|")
ID_IN_NAME = re.compile(r"(?<=_)(S[0-4X])_(\d+)(?=_|$)")
NAMED = re.compile(r"`([^`]+)`")

OPEN, RETIRED, IN_PART = "open", "retired", "in part: "
MISSING_MARK, RETIRED_MARK = "*missing:*", "*retired:*"

WHOLE_CALLS = ("scenarios", "web", "edge", "chaos", "supabase", "cli")
"""Folders of tests that look at the relay from outside, the most telling ones first."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the page."""

    id: str
    requirement: str
    proved_by: str

    def __str__(self) -> str:
        return f"| {self.id} | {self.requirement} | {self.proved_by} |"


@dataclass(frozen=True, slots=True)
class Proof:
    """A test function whose name carries ids of rows; `path` is relative to the repository."""

    path: str
    name: str
    ids: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.path}::{self.name}"

    @property
    def whole_call(self) -> bool:
        """True for tests that look at the relay from outside."""
        return self.path.split("/")[1] in WHOLE_CALLS

    @property
    def rank(self) -> tuple[int, int, str]:
        """Sort key: tests of whole calls first, then those of fewer rows, then by file."""
        folder = self.path.split("/")[1]
        place = WHOLE_CALLS.index(folder) if folder in WHOLE_CALLS else len(WHOLE_CALLS)
        return place, len(self.ids), self.path


Proofs = Mapping[str, Sequence[Proof]]


def ids_in(name: str) -> tuple[str, ...]:
    """Return the ids that a test's name carries: `test_S3_27_S3_28_told` has S3-27 and S3-28."""
    return tuple(f"{prefix}-{number}" for prefix, number in ID_IN_NAME.findall(name))


def rows(page: str) -> list[Row]:
    """Parse the rows of the page's tables, in the order in which they stand."""
    found = map(ROW.fullmatch, page.splitlines())
    return [Row(*match.groups()) for match in found if match]


def proofs_in(folder: Path) -> Iterator[Proof]:
    """Yield the test functions below a folder of tests that carry an id."""
    for path in sorted(folder.rglob("test_*.py")):
        where = path.relative_to(folder.parent).as_posix()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                ids = ids_in(node.name) if node.name.startswith("test_") else ()
                if ids:
                    yield Proof(where, node.name, ids)


def by_row(proofs: Iterable[Proof]) -> Proofs:
    """Group tests by the ids that they carry, the best ones first."""
    found: dict[str, list[Proof]] = defaultdict(list)
    for proof in sorted(proofs, key=lambda proof: proof.rank):
        for row in proof.ids:
            found[row].append(proof)
    return found


def chosen(proofs: Sequence[Proof]) -> list[Proof]:
    """Pick the tests that the page names: the best of each file, then whatever is left."""
    best = {proof.path: proof for proof in reversed(proofs)}.values()
    others = [proof for proof in proofs if proof not in best]
    return [*sorted(best, key=lambda proof: proof.rank), *others][:MOST_NAMED]


def proved_by(row: Row, proofs: Proofs) -> str:
    """Return the text of the third column."""
    if RETIRED_MARK in row.requirement:
        return RETIRED
    if not proofs.get(row.id):
        return OPEN
    part = IN_PART if MISSING_MARK in row.requirement else ""
    return part + "<br>".join(f"`{proof}`" for proof in chosen(proofs[row.id]))


def written(page: str, proofs: Proofs) -> str:
    """Return the page with its third column made anew; all else stays as it is."""

    def anew(line: str) -> str:
        if not (match := ROW.fullmatch(line)):
            return line
        row = Row(*match.groups())
        return str(Row(row.id, row.requirement, proved_by(row, proofs)))

    return "\n".join(map(anew, page.split("\n")))


def miscounted(page: str) -> Iterator[str]:
    """Yield what is wrong with the ids of the page: each row once, in order, without a gap."""
    ids = [row.id for row in rows(page)]
    expected = [f"{prefix}-{n}" for prefix, last in PREFIXES.items() for n in range(1, last + 1)]
    yield from (f"{row} is missing" for row in expected if row not in ids)
    yield from (f"{row} stands there twice" for row, count in Counter(ids).items() if count > 1)
    yield from (f"{row} is beyond the last row of its prefix" for row in ids if row not in expected)
    if sorted(ids) == sorted(expected) and ids != expected:
        yield "the rows are out of order"


def misnamed(page: str, proofs: Proofs) -> Iterator[str]:
    """Yield each test whose id is no row, or one that is not to be built."""
    requirements = {row.id: row.requirement for row in rows(page)}
    for row, tests in proofs.items():
        for proof in tests:
            if row not in requirements:
                yield f"{proof} carries {row}, which is no row"
            elif RETIRED_MARK in requirements[row]:
                yield f"{proof} carries {row}, which is retired"


def outdated(page: str, proofs: Proofs) -> Iterator[str]:
    """Yield each row whose third column is not what the tests say, with the command that helps."""
    known = {str(proof) for tests in proofs.values() for proof in tests}
    for row in rows(page):
        if row.proved_by == proved_by(row, proofs):
            continue
        gone = [name for name in NAMED.findall(row.proved_by) if name not in known]
        what = f"names {', '.join(gone)}, which is gone" if gone else "is not what the tests say"
        yield f"{row.id} {what}: run `{COMMAND}`"


def faults(page: str, proofs: Proofs) -> list[str]:
    """Return all that is wrong with the page, a sentence each."""
    return [*miscounted(page), *misnamed(page, proofs), *outdated(page, proofs)]


def main(page: Path = PAGE) -> None:
    """Rewrite the page by the tests of this repository."""
    text = page.read_text(encoding="utf-8")
    page.write_text(written(text, by_row(proofs_in(ROOT / "tests"))), encoding="utf-8")


if __name__ == "__main__":
    main()
