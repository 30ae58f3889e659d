"""Fixtures: an empty environment and an empty working folder."""

import os

import pytest

from relay.config import Settings


@pytest.fixture(autouse=True)
def bare(monkeypatch, tmp_path):
    """The working folder, with nothing set."""
    for name in list(os.environ):
        if name.lower() in Settings.model_fields or name.lower().startswith(("relay_", "azure_")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def environ(monkeypatch):
    """Set names in the environment."""

    def put(**names: str) -> None:
        for name, value in names.items():
            monkeypatch.setenv(name, value)

    return put
