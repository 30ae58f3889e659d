"""`relay export`: all that is kept about one person, as JSON."""

import argparse
import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

from relay.cli.console import fail, say
from relay.cli.privacy import PrivacyData, with_kept
from relay.stores.journal.journal import waiting_of

HELP = "print all that is kept about one person, as JSON"
EXAMPLE = "relay export --user 5b6f8f5e-8a31-4d5c-9a0e-7f1c2d3e4a5b --out ada.json"


def options(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--user", required=True, metavar="ID", help="the person's user id")
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="write it there, for its owner alone to read"
    )


def run(given: argparse.Namespace) -> int:
    """Tell it: the store's, and what the journal still has. A relay may run meanwhile."""

    async def act(kept: PrivacyData) -> dict[str, Any]:
        # The journal first: what moves on to the store meanwhile is told twice, never not at all.
        waiting = await asyncio.to_thread(waiting_of, kept.journal, given.user)
        return {**await kept.people.export(given.user), "journal": waiting}

    text = json.dumps(with_kept(act), ensure_ascii=False, indent=2)
    if given.out is None:
        say(text)
        return 0
    try:
        _write(given.out, text)
    except OSError as error:
        fail(f"{given.out} cannot be written: {error.strerror}")
    print(f"written to {given.out}", file=sys.stderr)  # noqa: T201 - the command line speaks
    return 0


def _write(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
        os.fchmod(descriptor, 0o600)
        file.write(text + "\n")
