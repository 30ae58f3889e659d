"""What guards the house: names, sizes, vendors and the shape of the repository."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.components import COMPONENTS

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "relay"
SOURCES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))

FUNCTION_LINES = 40
MAKEFILE_LINES = 60
ADR_LINES = 80
"""A page."""

VAGUE = re.compile(r"(^|_)(utils?|helpers?|managers?|misc|common)(_|$)|^base_")
"""Names that say nothing about what lives there."""

TOP_LEVEL = {
    *(".ci", ".env.example", ".gitignore", "CHANGELOG.md", "LICENSE", "Makefile", "README.md"),
    *("docs", "nginx", "pyproject.toml", "relay", "supabase", "systemd", "tests", "web"),
    *("requirements-core.lock", "requirements-run.lock"),
    *("requirements-voice-llm.lock", "requirements-all.lock"),
}


def tree(source: str) -> ast.Module:
    return ast.parse((PACKAGE / source).read_text())


# ------------------------------------------------------------------------------ names and sizes


@pytest.mark.parametrize("source", SOURCES)
def test_a_module_is_named_for_what_lives_there(source: str) -> None:
    assert not [part for part in Path(source).with_suffix("").parts if VAGUE.search(part)]


@pytest.mark.parametrize("source", SOURCES)
def test_the_functions_of_a_module_fit_a_screen(source: str) -> None:
    functions = {
        node.name: (node.end_lineno or 0) - node.lineno + 1
        for node in ast.walk(tree(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    long = {name: size for name, size in functions.items() if size > FUNCTION_LINES}

    assert not long


# ------------------------------------------------------------------------------------- words

OLD_WORDS = re.compile(
    r"\b(booths?|spouts?|seats?|seating|pursers?|purses?|workshops?|strands?|weaving|woven|parrot"
    r"|whisperer|recognisers?|courtesies|surroundings|reception|ledgers?|obey(ed|s)?|unwritten"
    r"|watchers?|mouths?|brains?|brake|luck|census|manners|settling|outlets?|coached|wirepeer"
    r"|tooldesk|livecall|s3 door)\b",
    re.IGNORECASE,
)
"""Private words that gave way to those of the field (docs/architecture.md, "Words")."""


def texts() -> Iterator[tuple[str, str]]:
    for folder in ("relay", "web", "docs"):
        for path in sorted((ROOT / folder).rglob("*")):
            name = path.relative_to(ROOT).as_posix()
            old = name.startswith(("docs/spec/", "docs/benchmarks/"))
            if path.suffix in (".py", ".js", ".html", ".css", ".md", ".toml") and not old:
                yield name, path.read_text()


def test_the_fields_words_are_used() -> None:
    found = {f"{name}: {word[0]}" for name, text in texts() for word in OLD_WORDS.finditer(text)}

    assert found == set()


# -------------------------------------------------------------------------------- vendors' words

VENDORS = {
    "openai": {
        "engines/openai.py": "is the one that knows it",
        "doors/openai.py": "speaks to its clients in its own manners",
        "auth/tokens.py": "its clients carry the token in a subprotocol of its name",
        "parts/openai_": "ask its server, or one like it",
        "parts/piper.py": "says its name aloud",
        "logs/redaction.py": "masks that token",
        "realtime/http_addresses.py": "its addresses, one of which has its name",
        "realtime/endings.py": "close reasons that clients were promised",
        "realtime/dialects/client.py": "the farewell of each door",
        "simulator/": "is its offline twin",
        "stores/supabase/config.py": "asks a vault for its key",
        "talk/client.py": "carries that token",
        "check/supabase.py": "looks for its key in a vault",
        "app.py": "wires",
        "open_doors.py": "wires",
        "voice.py": "wires",
        "config/": "its settings",
        "cli/": "what a person types and reads",
    },
    "elevenlabs": {
        "parts/elevenlabs.py": "is the one that knows it",
        "voice.py": "wires",
        "config/": "its settings",
        "cli/": "what a person types and reads",
    },
    "ollama": {
        "app.py": "wires",
        "doors/services/": "fields that clients were promised have its name",
        "voice.py": "looks for one on this machine",
        "config/": "its settings",
        "cli/": "what a person types and reads",
    },
    "supabase": {
        "auth/": "its tokens are the tokens",
        "check/supabase": "looks at its projects",
        "app.py": "wires",
        "stores/supabase": "its tables are the store",
        "interfaces.py": "names its credentials",
        "storage.py": "wires",
        "config/": "its settings",
        "cli/": "what a person types and reads",
    },
}
"""Who may use a vendor's word in code, and why. Docstrings and comments are free."""


def words(source: str) -> Iterator[str]:
    """Every name and string of a module's code, without its docstrings."""
    module = tree(source)
    docstrings = set()
    for node in ast.walk(module):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            docstrings.add(id(node.value))
    for node in ast.walk(module):
        if id(node) not in docstrings:
            yield from (str(value) for _, value in ast.iter_fields(node) if type(value) is str)


def speaks_of(source: str, vendor: str) -> bool:
    return any(vendor in word.lower() for word in words(source))


@pytest.mark.parametrize("vendor", VENDORS)
@pytest.mark.parametrize("source", SOURCES)
def test_a_vendors_word_stays_where_the_vendor_is_known(source: str, vendor: str) -> None:
    if not source.startswith(tuple(VENDORS[vendor])):
        assert not [word for word in words(source) if vendor in word.lower()]


@pytest.mark.parametrize(("vendor", "place"), [(v, p) for v in VENDORS for p in VENDORS[v]])
def test_no_place_is_on_a_vendors_list_for_nothing(vendor: str, place: str) -> None:
    there = [source for source in SOURCES if source.startswith(place)]

    assert any(speaks_of(source, vendor) for source in there)


# ------------------------------------------------------------------------------------ repository


def tracked() -> list[str]:
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode != 0:
        pytest.skip("this is no git checkout, so nothing is tracked")
    return listed.stdout.splitlines()


def test_the_top_level_stays_small() -> None:
    assert {path.split("/")[0] for path in tracked()} <= TOP_LEVEL


def test_the_makefile_stays_readable() -> None:
    assert len((ROOT / "Makefile").read_text().splitlines()) <= MAKEFILE_LINES


def test_every_debian_component_is_one_that_is_installed() -> None:
    script = (ROOT / "tests" / "install").read_text()
    packages = {
        component.source.removeprefix("apt-get install ")
        for component in COMPONENTS.values()
        if component.source.startswith("apt-get")
    }

    assert not [package for package in packages if package not in script]


def test_the_changelog_has_a_place_for_what_comes_next() -> None:
    headings = re.findall(r"^## (.*)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)

    assert headings[0] == "Unreleased"


DECISIONS = sorted((ROOT / "docs" / "adr").glob("*.md"))


@pytest.mark.parametrize("path", DECISIONS, ids=lambda path: path.stem)
def test_a_decision_says_why_and_when_to_look_again(path: Path) -> None:
    text = path.read_text()
    headings = re.findall(r"^## (.*)$", text, re.MULTILINE)

    assert re.match(rf"# {int(path.stem[:4])}\. ", text)
    assert headings == ["Context", "Decision", "Consequences", "Revisit when"]
    assert len(text.splitlines()) <= ADR_LINES


def test_decisions_are_numbered_without_a_gap() -> None:
    assert [int(path.stem[:4]) for path in DECISIONS] == list(range(1, len(DECISIONS) + 1))
