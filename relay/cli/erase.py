"""`relay erase`: one person's words and calls, out of the journal and the store."""

import argparse
import json
from collections.abc import Mapping

from relay.cli.console import fail, say
from relay.cli.privacy import PrivacyData, with_kept
from relay.stores.journal.journal import emptied_of

HELP = "erase one person's words and calls, from the journal and the store"
EXAMPLE = "relay erase --user 5b6f8f5e-8a31-4d5c-9a0e-7f1c2d3e4a5b --yes"


def options(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--user", required=True, metavar="ID", help="the person's user id")
    parser.add_argument("--yes", action="store_true", help="nothing brings it back; say yes to it")
    parser.add_argument("--json", action="store_true", help="print the counts as one JSON object")


def run(given: argparse.Namespace) -> int:
    """Erase them; no relay may run in this folder. Doing it twice is no error."""
    if not given.user.strip():
        fail("--user must not be empty", code=2)
    if not given.yes:
        fail("this cannot be undone: look at it by `relay export`, then add --yes", code=2)

    async def act(kept: PrivacyData) -> tuple[Mapping[str, int], str]:
        # No relay starts before the store is done: so nothing follows from the journal.
        async with emptied_of(kept.journal, given.user) as waiting:
            try:
                erased = await kept.people.erase(given.user)
            except FileNotFoundError:
                erased = {}  # a journal alone: nothing was ever stored
        return {"journal": waiting, **erased}, kept.place

    counts, place = with_kept(act)
    if given.json:
        say(json.dumps({"user": given.user, "erased": counts, "store": place}, ensure_ascii=False))
        return 0
    told = ", ".join(f"{name.replace('_', ' ')}: {many}" for name, many in counts.items() if many)
    say(f"erased from {place}: {told}" if told else f"nothing is kept of them in {place}")
    return 0
