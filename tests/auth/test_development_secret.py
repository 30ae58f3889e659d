"""Tests of the development secret: made once, private, shared by concurrent starts."""

import threading

import pytest

from relay.auth.tokens import FILE, development_secret


def test_the_secret_is_made_once_and_private(tmp_path):
    folder = tmp_path / "a" / "var"
    secret = development_secret(folder)
    assert len(secret) == 64
    assert development_secret(folder) == secret
    assert (folder / FILE).stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o777 == 0o700
    assert [path.name for path in folder.iterdir()] == [FILE]


def test_two_folders_have_two_secrets(tmp_path):
    assert development_secret(tmp_path / "a") != development_secret(tmp_path / "b")


def test_concurrent_starts_get_the_same_secret(tmp_path):
    start, got = threading.Barrier(8), []

    def begin():
        start.wait()
        got.append(development_secret(tmp_path))

    threads = [threading.Thread(target=begin) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 8
    assert set(got) == {(tmp_path / FILE).read_text("ascii")}
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


def test_a_readable_secret_is_made_private(tmp_path):
    secret = development_secret(tmp_path)
    (tmp_path / FILE).chmod(0o644)
    assert development_secret(tmp_path) == secret
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("text", ["", "short"])
def test_a_damaged_secret_is_not_used(tmp_path, text):
    (tmp_path / FILE).write_text(text)
    with pytest.raises(OSError, match="damaged, delete it"):
        development_secret(tmp_path)
