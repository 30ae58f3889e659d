"""`relay retain`: forget what was said long ago."""

import argparse
import json
from typing import Final

from relay.cli.console import say
from relay.cli.privacy import PrivacyData, with_kept
from relay.interfaces import Mode

HELP = "forget what was said in calls more than some days ago"
EXAMPLE = "relay retain --days 90 --redact"
_DID: Final = {"delete": "deleted", "redact": "emptied"}
_MOST_DAYS: Final = 36_500


def options(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "--days", type=_days, required=True, metavar="N", help="what is older is forgotten"
    )
    parser.add_argument(
        "--redact", action="store_true", help="empty the words, keep that they were said and when"
    )
    parser.add_argument("--json", action="store_true", help="print the count as one JSON object")


def run(given: argparse.Namespace) -> int:
    """Forget them; doing it twice is no error. A relay may run meanwhile."""
    mode: Mode = "redact" if given.redact else "delete"

    async def act(kept: PrivacyData) -> tuple[int, str]:
        return await kept.people.forget(given.days, mode), kept.place

    many, place = with_kept(act)
    if given.json:
        say(json.dumps({"days": given.days, "mode": mode, "utterances": many, "store": place}))
    else:
        say(f"{_DID[mode]} {many} utterances older than {given.days} days in {place}")
    return 0


def _days(text: str) -> int:
    """A whole number; ValueError is argparse's to tell."""
    days = int(text)
    if not 0 <= days <= _MOST_DAYS:
        raise ValueError
    return days
