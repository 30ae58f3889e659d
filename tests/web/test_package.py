"""`web/` as a package: its contents, its types, and the texts of its errors."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from relay.config import describe
from tests.components import needs, require

WEB = Path(__file__).parents[2] / "web"
GUIDE = WEB.parent / "docs" / "client.md"
ERRORS = (WEB / "client" / "errors.js").read_text()
TYPES = (WEB / "relay-client.d.ts").read_text()

USE = """
import { RelayClient, RelayError, devices, type State } from "relay-client";

const client = new RelayClient();
const off: () => void = client.on("transcript", ({ utterances, changed }) => {
  const words: string[] = utterances.map(({ heardText }) => heardText);
  const ids: readonly string[] = changed;
  void [words, ids];
});
client.on("latency", ({ kind, ms }) => { const n: number = kind === "answer" ? ms : 0; void n; });
client.on("ended", ({ error }) => { if (error instanceof RelayError) error.code === "idle"; });
const state: State = client.state;
void client.connect({ url: "wss://h/v1/realtime", getToken: async () => "t" });
void client.listen({ deviceId: null }).then(() => devices());
client.send({ type: "response.create" });
// @ts-expect-error there is no such event
client.on("nothing", () => {});
// @ts-expect-error an address is needed
void client.connect({ token: "t" });
void [off, state];
"""


def run(*command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@needs("npm")
def test_the_package_is_complete_and_has_nothing_of_the_page() -> None:
    packed = run("npm", "pack", "--dry-run", "--json", folder=WEB)
    assert packed.returncode == 0, packed.stderr
    names = {entry["path"] for entry in json.loads(packed.stdout)[0]["files"]}
    parts = {f"client/{path.name}" for path in (WEB / "client").glob("*.js")}
    top = {"relay-client.js", "relay-client.d.ts", "package.json", "README.md", "LICENSE"}
    assert names == top | parts
    assert not (WEB / "relay-client-0.1.0.tgz").exists()


def test_the_package_depends_on_nothing() -> None:
    package = json.loads((WEB / "package.json").read_text())
    assert not {name for name in package if "ependencies" in name}
    assert package["exports"]["."]["default"] == "./relay-client.js"
    for path in (WEB / "client").glob("*.js"):
        for target in re.findall(r'from "([^"]+)"', path.read_text()):
            assert (path.parent / target).is_file(), f"{path.name}: {target}"


@needs("typescript", "node")
@pytest.mark.parametrize("library", ["bundler", "nodenext"])
def test_the_types_accept_correct_use_and_reject_wrong_use(tmp_path: Path, library: str) -> None:
    home = tmp_path / "node_modules" / "relay-client"
    home.mkdir(parents=True)
    for name in ("package.json", "relay-client.d.ts"):
        (home / name).write_text((WEB / name).read_text())
    (tmp_path / "package.json").write_text('{"type": "module"}')
    (tmp_path / "use.ts").write_text(USE)
    options = ["--noEmit", "--strict", "--target", "es2022", "--moduleResolution", library]
    options += ["--module", "nodenext" if library == "nodenext" else "esnext"]
    checked = run("node", str(require("typescript")), *options, "use.ts", folder=tmp_path)
    assert checked.stdout == ""
    assert checked.returncode == 0


def test_the_lock_of_the_page_checkers_names_no_address_and_hashes_all() -> None:
    folder = Path(__file__).parent
    lock = json.loads((folder / "package-lock.json").read_text())["packages"]
    wanted = json.loads((folder / "package.json").read_text())["dependencies"]
    assert lock.pop("")["dependencies"] == wanted
    assert len(lock) >= len(wanted)
    assert not [name for name, entry in lock.items() if "resolved" in entry]
    assert not [name for name, entry in lock.items() if "integrity" not in entry]


def test_every_error_code_is_typed_and_explained() -> None:
    table = ERRORS.split("const SENTENCES = {")[1].split("\n};")[0]
    codes = set(re.findall(r"^  ([a-z][a-z0-9_]+): \[", table, re.MULTILINE))
    typed = TYPES.split("export type ErrorCode =")[1].split(";")[0]
    assert len(codes) > 40
    assert set(re.findall(r'"([a-z0-9_]+)"', typed)) == codes
    assert {code for code in codes if f"`{code}`" not in GUIDE.read_text()} == set()


def test_the_pages_name_no_setting() -> None:
    """Learners and coaches cannot change one; the operator reads the log and `relay check`."""
    pages = [*WEB.rglob("*.js"), *WEB.glob("*.html")]
    texts = {path.relative_to(WEB).as_posix(): path.read_text() for path in pages}
    settings = "|".join(setting.name for setting in describe())
    assert {name for name, text in texts.items() if re.search(rf"\b({settings})\b", text)} == set()


def test_an_error_names_no_status_code_file_or_command() -> None:
    table = ERRORS.split("const CURRENT")[1].split("\n};")[0]
    sentences = re.findall(r'"([A-Z][^"]*)"', table)
    assert len(sentences) > 60
    internal = re.compile(
        r"\b\d{3,4}\b|\brelay (check|token|serve|dev)\b|\bmake run\b|\.(env|log|toml)\b"
    )
    assert [sentence for sentence in sentences if internal.search(sentence)] == []


def test_every_event_and_method_of_the_client_is_in_its_types() -> None:
    source = (WEB / "relay-client.js").read_text()
    code = source + "".join(path.read_text() for path in (WEB / "client").glob("*.js"))
    told = set(re.findall(r'emit\("([a-z_]+)"', code))
    typed = set(
        re.findall(r"^  ([a-z_]+): ", TYPES.split("interface ClientEvents")[1], re.MULTILINE)
    )
    assert told <= typed
    methods = set(re.findall(r"^  (?:async |get )?([a-z]\w*)\(", source, re.MULTILINE))
    assert {name for name in methods if not re.search(rf"\b{name}\b", TYPES)} == set()
