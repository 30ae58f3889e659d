"""The tests mirror the package, both ways: who looks for a module's tests knows where they are."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

WITHOUT_TESTS = {
    "__main__.py": "starts the command line, which tests start as a program",
    "feed/voice.py": "types only; who fills them is tested",
    "interfaces.py": "types only; who fills them is tested",
    "realtime/actions.py": "plain data",
    "realtime/setup.py": "plain data",
    "session/seats.py": "plain data",
    "summary/shapes.py": "plain data",
}
"""Modules that have no test file of their own, and why."""

WITHOUT_MODULE = {
    "benchmarks": "measures, by `make bench`",
    "chaos": "whole programs killed and starved, by `make chaos`",
    "clients": "other people's clients, started by scenarios",
    "edge": "nginx, systemd and logrotate with the files that are shipped for them",
    "contracts": "one suite over every implementation of an interface",
    "live": "a real provider with a real key, by hand",
    "scenarios": "whole calls through the real program",
    "supabase": "the SQL of supabase/migrations, in a real project",
    "web": "the page, in a browser",
    "wire/test_autobahn.py": "somebody else's suite, over the whole of wire/",
}
"""Folders and files of tests that mirror no module, and why."""

HOUSE = {
    "test_components.py",
    "test_docs.py",
    "test_house.py",
    "test_layout.py",
    "test_promises.py",
}
"""Tests of the tests and of the repository."""


def modules() -> list[str]:
    package = ROOT / "relay"
    found = (path.relative_to(package).as_posix() for path in package.rglob("*.py"))
    return sorted(path for path in found if not path.endswith("__init__.py"))


def mirrors() -> list[str]:
    folder = ROOT / "tests"
    found = (path.relative_to(folder) for path in folder.rglob("test_*.py"))
    return sorted(
        path.as_posix()
        for path in found
        if not {path.parts[0], path.as_posix()} & (WITHOUT_MODULE.keys() | HOUSE)
    )


def mirror(module: str) -> str:
    path = Path(module)
    return path.with_name(f"test_{path.name}").as_posix()


def mirrored(test: str) -> list[str]:
    """What a file may test: `test_dialect_items.py` is of `dialect_items` or else of `dialect`."""
    words = Path(test).stem.removeprefix("test_").split("_")
    names = ("_".join(words[:count]) for count in range(len(words), 0, -1))
    return [Path(test).with_name(f"{name}.py").as_posix() for name in names]


@pytest.mark.parametrize("module", modules())
def test_every_module_has_its_tests(module: str) -> None:
    there = (ROOT / "tests" / mirror(module)).is_file()
    if module in WITHOUT_TESTS:
        assert not there, f"{module} has tests now: take it off the list"
    else:
        assert there, f"write tests/{mirror(module)}"


@pytest.mark.parametrize("test", mirrors())
def test_every_test_file_has_its_module(test: str) -> None:
    assert any((ROOT / "relay" / module).is_file() for module in mirrored(test))


@pytest.mark.parametrize("module", WITHOUT_TESTS)
def test_the_list_of_modules_without_tests_is_true(module: str) -> None:
    assert (ROOT / "relay" / module).is_file()


@pytest.mark.parametrize("path", WITHOUT_MODULE)
def test_the_list_of_tests_without_a_module_is_true(path: str) -> None:
    assert (ROOT / "tests" / path).exists()
    assert not (ROOT / "relay" / path).exists()
