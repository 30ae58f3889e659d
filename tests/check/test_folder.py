"""Folders in which the relay can write, and folders in which it cannot."""

import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from relay.check.local import MIN_FREE_BYTES, OWNER_HINT, write_problem


def test_a_folder_of_the_relays_user(tmp_path: Path) -> None:
    assert write_problem(tmp_path, tmp_path / "file") is None


def test_a_folder_that_can_be_created_is_not_created(tmp_path: Path) -> None:
    assert (
        write_problem(tmp_path / "var" / "journal", tmp_path / "var" / "journal" / "file") is None
    )
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "var").write_text("")
    what, hint = write_problem(tmp_path / "var" / "journal", tmp_path / "x") or ("", "")

    assert what == f"{tmp_path / 'var'} is not a folder"
    assert hint.startswith("move that file away")


@pytest.mark.parametrize("name", ["", "file"])
def test_a_folder_or_file_of_another_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Root may do anything, so the kernel's answer to another user is faked."""
    file = tmp_path / "file"
    file.write_text("")
    theirs = tmp_path / name
    monkeypatch.setattr(os, "access", lambda path, _: Path(path) != theirs)

    assert write_problem(tmp_path, file) == (f"{theirs} cannot be written", OWNER_HINT)


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = SimpleNamespace(free=MIN_FREE_BYTES - 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: free)

    what, hint = write_problem(tmp_path, tmp_path / "file") or ("", "")
    assert what.startswith("99 MiB are free on the disk of ")
    assert hint == "free some space there"
