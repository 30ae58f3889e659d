"""Docs that fail the build when they lie."""

import re
from pathlib import Path

import pytest

from relay.cli import main as cli
from relay.config import describe
from relay.metrics import NAMES
from relay.realtime import client_policy as policy
from relay.realtime import endings
from relay.realtime.dialects.beta import BETA_NAMES
from relay.realtime.endings import Ending

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
PROTOCOL = (ROOT / "docs" / "protocol.md").read_text()
OPERATIONS = (ROOT / "docs" / "operations.md").read_text()
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text()
PAGES = {path: path.read_text() for path in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]}


@pytest.mark.parametrize("ending", endings.ALL, ids=lambda ending: ending.name)
def test_every_ending_is_in_the_protocol(ending: Ending) -> None:
    row = next(line for line in PROTOCOL.splitlines() if line.startswith(f"| `{ending.name}` |"))
    if ending not in (endings.CLIENT_LOST, endings.AT_CAPACITY_BROWSER):
        assert f"| {ending.code} |" in row
    assert ending.reason in row
    assert ending.advice in row


@pytest.mark.parametrize("name", policy.REQUIRED)
def test_every_client_event_is_in_the_protocol(name: str) -> None:
    family, _, word = name.rpartition(".")
    assert f"`{name}`" in PROTOCOL or (f"`.{word}`" in PROTOCOL and f"`{family}." in PROTOCOL)


def test_every_beta_name_is_in_the_protocol() -> None:
    for ga, beta in BETA_NAMES.items():
        if beta != ga:
            shown = f"`{beta}`" if beta else "not shown"
            assert f"| `{ga}` | {shown} |" in PROTOCOL


def test_every_relay_event_of_the_code_is_in_the_protocol_and_no_other() -> None:
    code = "".join(path.read_text() for path in (ROOT / "relay" / "realtime").rglob("*.py"))
    ours = set(re.findall(r'"(relay\.[a-z_]+)"', code))
    assert ours == set(re.findall(r"`(relay\.[a-z_]+)`", PROTOCOL))


@pytest.mark.parametrize("metric", NAMES)
def test_every_metric_is_in_the_operations_guide(metric: str) -> None:
    assert f"`{metric}`" in OPERATIONS


@pytest.mark.parametrize("setting", describe(), ids=lambda setting: setting.name)
def test_every_setting_is_in_the_operations_guide(setting: object) -> None:
    assert f"`{getattr(setting, 'name')}`" in OPERATIONS  # noqa: B009 - any described setting


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_S2_31_every_command_is_in_the_readme(command: str) -> None:
    assert f"relay {command}" in README


def test_every_package_is_in_the_architecture() -> None:
    for path in (ROOT / "relay").iterdir():
        if path.suffix == ".py" and not path.name.startswith("__"):
            assert path.name in ARCHITECTURE or path.stem in ARCHITECTURE, path.name
        elif path.is_dir() and path.name != "__pycache__":
            assert f"{path.name}/" in ARCHITECTURE, path.name


def test_links_lead_somewhere() -> None:
    for page, text in PAGES.items():
        for target in re.findall(r"\]\(([^)#\s]+)\)", text):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name}: {target}"
