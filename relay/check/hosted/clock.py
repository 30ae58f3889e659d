"""Whether this machine and the project agree on the time; beyond a leeway tokens are refused."""

from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import Final

from relay.auth.tokens import LEEWAY
from relay.check.finding import Finding, fail, ok, skip
from relay.check.hosted.asking import Hosted

_MEND: Final = "let this machine set its clock by NTP, like `timedatectl set-ntp true`"


async def clock(now: Callable[[], float], hosted: Hosted) -> Finding:
    """Compare `now`, in Unix seconds, with the date of an answer."""
    began = now()
    said = await hosted.ask("/rest/v1/conversation_sessions?select=id&limit=1")
    ended = now()
    try:
        told = parsedate_to_datetime(said.date).timestamp()
    except ValueError:
        return skip("the project's answers have no date")
    # It was written between the two, and has no fraction of a second.
    ahead, behind = began - (told + 1), told - ended
    if max(ahead, behind) > LEEWAY:
        way = f"{ahead:.0f} s ahead of" if ahead > behind else f"{behind:.0f} s behind"
        return fail(f"this machine's clock is {way} the project's: good tokens are refused", _MEND)
    return ok("this machine and the project agree on the time")
