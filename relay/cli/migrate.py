"""`relay migrate`: the SQL of `supabase/migrations`, printed or applied."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from relay.cli.console import fail, plain, say

HELP = "print the SQL that a project's database needs, or apply it"
EXAMPLE = "relay migrate --apply postgres://postgres@db.example.com:5432/postgres"
MIGRATIONS: Final = Path(__file__).resolve().parents[2] / "supabase" / "migrations"
"""Where the SQL lies in a checkout."""


def options(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "--apply",
        nargs="?",
        const="",
        metavar="URL",
        help="run it there, each file in one transaction; without URL, where PGHOST, PGUSER, "
        "PGPASSWORD and so on say; doing it twice changes nothing",
    )
    parser.add_argument("--json", action="store_true", help="print the files' names, as one object")


def run(given: argparse.Namespace) -> int:
    """Print or apply all files in order; exit code 1 where one could not be."""
    files = sorted(MIGRATIONS.glob("*.sql"))
    if not files:
        fail(
            f"there is no SQL in {MIGRATIONS}: run it from a checkout, installed with make install"
        )
    if given.apply is not None:
        _apply(given.apply, files, as_json=given.json)
    elif given.json:
        say(json.dumps({"files": [str(file) for file in files]}))
    else:
        for file in files:
            say(f"-- {file.name}\n\n{file.read_text()}")
    return 0


def _apply(address: str, files: Sequence[Path], *, as_json: bool) -> None:
    # PostgreSQL's library is only for this command.
    from relay.stores.supabase.migrations import (  # noqa: PLC0415
        MigrationFailed,
        apply,
    )

    applied = []
    try:
        for file in apply(address, files):
            applied.append(file.name)
            if not as_json:
                say(f"applied {file.name}")
    except MigrationFailed as failed:
        fail(plain(str(failed)))
    if as_json:
        say(json.dumps({"applied": applied}))
