"""The page as it is shipped, and pages that lack something."""

import shutil
from pathlib import Path

import pytest

from relay.check.local import page
from relay.http.server import WEB


def test_the_shipped_page_is_whole_and_all_of_it_is_found() -> None:
    found = page(WEB)
    shipped = [path for path in WEB.rglob("*") if path.suffix in (".html", ".js", ".css")]

    assert (found.state, found.what) == ("ok", f"{len(shipped)} files in {WEB}")


@pytest.mark.parametrize(
    "missing",
    [path.relative_to(WEB).as_posix() for path in WEB.rglob("*.js")] + ["style.css", "coach.html"],
)
def test_every_file_of_it_is_missed(tmp_path: Path, missing: str) -> None:
    copy = shutil.copytree(WEB, tmp_path / "web")
    (copy / missing).unlink()
    found = page(copy)

    assert found.state == "fail"
    assert found.what == f"{copy} lacks {missing}"


def test_without_a_page_at_all_it_says_where_there_is_one(tmp_path: Path) -> None:
    found = page(tmp_path)

    assert (found.state, found.what) == ("fail", f"{tmp_path / 'index.html'} is missing")
    assert "checkout" in found.mend


def test_addresses_elsewhere_are_not_looked_for(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text(
        '<link href="data:,"><script src="https://example.org/x.js"></script>'
        '<a href="//example.org/">there</a><a href="/coach">here</a>'
    )
    (tmp_path / "coach.html").write_text('<a href=".">back</a>')

    assert page(tmp_path).what == f"2 files in {tmp_path}"
