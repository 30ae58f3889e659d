"""Citations of docs/spec lead to sections that exist, and have one form: `PROTOCOL §5.3`."""

import io
import re
import subprocess
import tokenize
from collections.abc import Iterator, Mapping, Set
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SPEC = ROOT / "docs" / "spec"
PAGES = {"PROTOCOL": "protocol.md", "WIRE": "wire.md", "CONTRACTS": "contracts.md"}
ABSENT = ("DESIGN", "FIELD", "HOUSE", "OUTSIDE", "PARTS", "STYLE")
"""Texts that are not in the repository: what they said is in docs/, which can be named instead."""

NUMBER = r"\d+[a-z]?(?:\.\d+)*"
CHAIN = rf"\s+§{NUMBER}(?:(?:,|,?\s+(?:and|to))\s+§{NUMBER})*"
BARE = r"(?:,?\s+(?:and|to)\s+|,\s+|\s*[-\u2013]\s*)\d"
"""A number that goes on with a list of sections and has no § of its own."""

CITATION = re.compile(rf"\b({'|'.join(PAGES)})\b({CHAIN})?({BARE})?")
NOWHERE = re.compile(rf"\b(?:{'|'.join(ABSENT)})\b")
ELSEWHERE = re.compile(rf"\b(?:RFC\s+\d+|{'|'.join(ABSENT)}){CHAIN}")
"""A § that is not the number of a page of ours; what is absent is a fault anyway."""
HEADING = re.compile(rf"#+ (?:({NUMBER})\.? )?")
ITEM = re.compile(rf"\s*[-*] \**({NUMBER})\b")
ORDERED = re.compile(r"(\d+)\. ")

Sections = Mapping[str, Set[str]]


# ------------------------------------------------------------------------------------- the pages


def numbered(page: str) -> Iterator[str]:
    """Every number that a heading or an item of a list gives.

    An item that begins with a dotted number is that section (`- **5.3** …`); an item `17.` of an
    ordered list below the heading `3` is section 3.17.
    """
    chapter = None
    for line in re.sub(r"^```.*?^```", "", page, flags=re.DOTALL | re.MULTILINE).splitlines():
        if found := HEADING.match(line):
            chapter = found[1]
            if chapter:
                yield chapter
        elif (found := ITEM.match(line)) and "." in found[1]:
            yield found[1]
        elif chapter and (found := ORDERED.match(line)):
            yield f"{chapter}.{found[1]}"


@pytest.fixture(scope="module")
def sections() -> Sections:
    return {
        name: set(numbered((SPEC / page).read_text(encoding="utf-8")))
        for name, page in PAGES.items()
    }


@pytest.mark.parametrize("page", PAGES.values())
def test_a_page_gives_a_number_once(page: str) -> None:
    numbers = list(numbered((SPEC / page).read_text(encoding="utf-8")))

    assert numbers
    assert sorted(numbers) == sorted(set(numbers))


def test_headings_and_items_are_sections() -> None:
    page = """# A page of 2 columns
## 1. First
### 1a. With a letter
- **1.2 An item.** More of it, §9.
- 5 of these
## 3 Third
17. An item of an ordered list
### 3.18 With a dot
```
## 4. No heading
```
## Appendix
1. Not a section
"""
    assert list(numbered(page)) == ["1", "1a", "1.2", "3", "3.17", "3.18"]


# --------------------------------------------------------------------------------- the citations


def prose(path: Path, text: str) -> str:
    """The text with all else blanked: of Python, comments and strings; of comments, their marks.

    Lines stay where they are, so that a citation may run over two of them.
    """
    if path.suffix == ".py":
        text = _comments_and_strings(text)
    return re.sub(
        r"^[ \t]*(?:#+|//+|--+|\*+)", lambda mark: " " * len(mark[0]), text, flags=re.MULTILINE
    )


def _comments_and_strings(source: str) -> str:
    lines = io.StringIO(source).readlines()  # as the tokenizer counts them
    kept = [re.sub(r"[^\r\n]", " ", line) for line in lines]
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        kind = tokenize.tok_name[token.type]
        if kind not in {"COMMENT", "STRING"} and not kind.endswith("STRING_MIDDLE"):
            continue
        (first, left), (last, right) = token.start, token.end
        for row in range(first, last + 1):
            start = left if row == first else 0
            end = right if row == last else len(lines[row - 1])
            kept[row - 1] = kept[row - 1][:start] + lines[row - 1][start:end] + kept[row - 1][end:]
    return "".join(kept)


def cited(text: str) -> Iterator[tuple[str, str]]:
    """Every page and section that a text cites."""
    for found in CITATION.finditer(text):
        for number in re.findall(rf"§({NUMBER})", found[2] or ""):
            yield found[1], number


def faults(text: str, sections: Sections) -> list[str]:
    """What is wrong with the citations of a text, each with its line."""
    wrong: list[tuple[int, str]] = []
    for found in CITATION.finditer(text):
        if not found[2] or found[3]:
            said = " ".join(found[0].split())
            wrong.append((found.start(), f"`{said}` should have the form `{found[1]} §5.3`"))
        for name, number in cited(found[0]):
            if number not in sections[name]:
                wrong.append((found.start(), f"{PAGES[name]} has no section {number}"))
    wrong += [
        (found.start(), f"{found[0]} is not in the repository: name a page of docs/")
        for found in NOWHERE.finditer(text)
    ]
    rest = ELSEWHERE.sub(_blank, CITATION.sub(_blank, text))
    wrong += [(found.start(), "§ without the name of a page") for found in re.finditer("§", rest)]
    return [f"{text.count(chr(10), 0, at) + 1}: {why}" for at, why in sorted(wrong)]


def _blank(found: re.Match[str]) -> str:
    return " " * len(found[0])


def read(path: Path) -> str | None:
    """The prose of a file; None when it is no text, or a lock, whose hashes may spell anything."""
    content = path.read_bytes()
    if b"\0" in content or path.name.endswith((".lock", "-lock.json")):
        return None
    return prose(path, content.decode())


def citing() -> dict[str, str]:
    """The prose of every tracked text file that may cite a page, by its path."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode != 0:
        pytest.skip("this is no git checkout, so nothing is tracked")
    texts: dict[str, str] = {}
    for name in filter(None, listed.stdout.split("\0")):
        path = ROOT / name
        if path.is_file() and SPEC not in path.parents and path != Path(__file__):
            text = read(path)
            if text is not None:
                texts[name] = text
    return texts


def test_every_citation_leads_somewhere(sections: Sections) -> None:
    wrong = [
        f"{name}:{fault}" for name, text in citing().items() for fault in faults(text, sections)
    ]

    assert not wrong, "\n".join(wrong)


def test_every_page_is_cited() -> None:
    """A search that found nothing would find no fault either."""
    names = {name for text in citing().values() for name, _ in cited(text)}

    assert names == PAGES.keys()


KNOWN: Sections = {
    "PROTOCOL": {"1b", "3", "5", "5.3", "5.9"},
    "WIRE": {"1", "2"},
    "CONTRACTS": {"2.3", "3.17"},
}


@pytest.mark.parametrize(
    "text",
    [
        "As in PROTOCOL §5.3. Next.",
        'The limit (PROTOCOL §3 "Sizes", WIRE §2).',
        "PROTOCOL §5.3, §5.9, §1b and §3; CONTRACTS §2.3 to §3.17",
        "RFC 6455 §7.4 and §7.5 or RFC 9112 §3.2",
        "PROTOCOL_ERROR, Sec-WebSocket-Protocol, a protocol's design, S3-42",
    ],
)
def test_a_good_citation_is_no_fault(text: str) -> None:
    assert faults(text, KNOWN) == []


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("one\nPROTOCOL §5.4", "2: protocol.md has no section 5.4"),
        ("WIRE §1,\n§3", "1: wire.md has no section 3"),
        ("CONTRACTS §3.38", "1: contracts.md has no section 3.38"),
        ("PROTOCOL 5.3", "1: `PROTOCOL` should have the form `PROTOCOL §5.3`"),
        ("PROTOCOL §5.3, 5.9", "1: `PROTOCOL §5.3, 5` should have the form `PROTOCOL §5.3`"),
        ("WIRE §1-2", "1: `WIRE §1-2` should have the form `WIRE §5.3`"),
        ("as recorded (WIRE)", "1: `WIRE` should have the form `WIRE §5.3`"),
        ("CONTRACTS S3-42", "1: `CONTRACTS` should have the form `CONTRACTS §5.3`"),
        ("DESIGN §4.1", "1: DESIGN is not in the repository: name a page of docs/"),
        ('(OUTSIDE, "Token")', "1: OUTSIDE is not in the repository: name a page of docs/"),
        ("a function (§5.3)", "1: § without the name of a page"),
    ],
)
def test_a_bad_citation_is_a_fault(text: str, fault: str) -> None:
    assert faults(text, KNOWN) == [fault]


def test_of_python_only_comments_and_strings_cite(tmp_path: Path) -> None:
    """So a variable may be called PROTOCOL."""
    source = tmp_path / "module.py"
    source.write_text(
        '"""Sizes (PROTOCOL\n§5.4)."""\n\n'
        "PROTOCOL = PARTS = 5  # as told (WIRE\n# §7)\n"
        'print(f"{PROTOCOL} of DESIGN")\n'
    )
    text = read(source)

    assert text is not None
    found = faults(text, KNOWN)
    assert "1: protocol.md has no section 5.4" in found
    assert "4: wire.md has no section 7" in found
    assert "6: DESIGN is not in the repository: name a page of docs/" in found


def test_other_files_cite_in_any_line_and_pictures_in_none(tmp_path: Path) -> None:
    (tmp_path / "page.js").write_text("// Later (PROTOCOL\n  // §5.4).\n")
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\0PROTOCOL 9")

    text = read(tmp_path / "page.js")
    assert text is not None
    assert faults(text, KNOWN) == ["1: protocol.md has no section 5.4"]
    assert read(tmp_path / "picture.png") is None
