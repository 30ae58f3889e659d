"""The tests mirror the packages: a reader who looks for a package's tests knows where they are."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "relay"
TESTS = ROOT / "tests"

WITHOUT_PACKAGE = {
    "benchmarks": "measures, by `make bench`",
    "chaos": "whole programs killed and starved, by `make chaos`",
    "clients": "other people's clients, started by scenarios",
    "contracts": "one suite over every implementation of an interface",
    "edge": "nginx, systemd and logrotate with the files that are shipped for them",
    "golden": "what the messages of the older systems look like, and what compares with that",
    "hostile": "what one caller or a broken machine costs the other calls, by `make hostile`",
    "live": "a real provider with a real key, by hand",
    "scenarios": "whole calls through the real program",
    "supabase": "the SQL of supabase/migrations, in a real project",
    "web": "the pages, in a browser",
}
"""Folders of tests that mirror no package, and why."""


def packages() -> list[str]:
    found = (path.parent.relative_to(PACKAGE) for path in PACKAGE.rglob("__init__.py"))
    return sorted(path.as_posix() for path in found if path != Path())


def public_classes() -> dict[str, list[str]]:
    """By name: the modules that define a public class of that name, relative to relay/."""
    found: dict[str, list[str]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                found.setdefault(node.name, []).append(path.relative_to(PACKAGE).as_posix())
    return found


@pytest.mark.parametrize("package", packages())
def test_every_package_has_its_tests(package: str) -> None:
    assert list((TESTS / package).rglob("test_*.py")), f"write tests/{package}"


@pytest.mark.parametrize(
    "folder",
    sorted({path.relative_to(TESTS).parts[0] for path in TESTS.glob("*/test_*.py")}),
)
def test_every_folder_of_tests_has_its_package(folder: str) -> None:
    assert folder in WITHOUT_PACKAGE or (PACKAGE / folder / "__init__.py").is_file()


@pytest.mark.parametrize("folder", WITHOUT_PACKAGE)
def test_the_list_of_folders_without_a_package_is_true(folder: str) -> None:
    assert (TESTS / folder).is_dir()
    assert not (PACKAGE / folder).exists()


def test_a_public_class_name_is_used_once() -> None:
    twice = {name: places for name, places in public_classes().items() if len(places) > 1}

    assert twice == {}
