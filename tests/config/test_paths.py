"""An error about a path says which setting leads to it."""

from pathlib import Path

import pytest

from relay.config import setting_of
from tests.scenarios.stage import loaded

HERE = loaded(Path("var"), log_dir="/var/log/relay", relay_agents="/etc/relay/agents.toml").settings


@pytest.mark.parametrize(
    ("path", "setting"),
    [
        ("var", "RELAY_DATA_DIR=var"),
        ("var/journal/lock", "RELAY_DATA_DIR=var"),
        (Path("/var/log/relay/combined.log"), "LOG_DIR=/var/log/relay"),
        ("/var/log", "LOG_DIR=/var/log/relay"),
        ("/etc/relay/agents.toml", "RELAY_AGENTS=/etc/relay/agents.toml"),
        ("/etc/relay/agents.tom", None),
        ("variety", None),
        ("/srv", None),
    ],
)
def test_the_setting_of_a_path(path: str | Path, setting: str | None) -> None:
    assert setting_of(path, HERE) == setting


def test_an_absolute_path_belongs_to_a_relative_setting() -> None:
    assert setting_of(Path("var/journal").absolute(), HERE) == "RELAY_DATA_DIR=var"
