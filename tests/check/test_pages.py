"""The shipped pages, and pages that lack a file."""

import shutil
from pathlib import Path

import pytest

from relay.check.local import check_pages
from relay.http.pages import WEB


def test_the_shipped_pages_are_complete_and_every_file_is_found() -> None:
    found = check_pages(WEB)
    shipped = [path for path in WEB.rglob("*") if path.suffix in (".html", ".js", ".css")]

    assert (found.state, found.what) == ("ok", f"{len(shipped)} files in {WEB}")


@pytest.mark.parametrize(
    "missing",
    [path.relative_to(WEB).as_posix() for path in WEB.rglob("*.js")] + ["style.css", "coach.html"],
)
def test_a_missing_file_is_named(tmp_path: Path, missing: str) -> None:
    copy = shutil.copytree(WEB, tmp_path / "web")
    (copy / missing).unlink()
    found = check_pages(copy)

    assert found.state == "fail"
    assert found.what == f"{copy} lacks {missing}"


def test_without_any_page_the_hint_names_the_checkout(tmp_path: Path) -> None:
    found = check_pages(tmp_path)

    assert (found.state, found.what) == ("fail", f"{tmp_path / 'index.html'} is missing")
    assert "checkout" in found.hint


def test_addresses_elsewhere_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text(
        '<link href="data:,"><script src="https://example.org/x.js"></script>'
        '<a href="//example.org/">there</a><a href="/coach">here</a>'
    )
    (tmp_path / "coach.html").write_text('<a href=".">back</a>')

    assert check_pages(tmp_path).what == f"2 files in {tmp_path}"
