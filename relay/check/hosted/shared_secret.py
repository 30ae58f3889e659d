"""Whether the secret that verifies tokens here is the one that the project signs them with."""

import uuid
from collections.abc import Callable
from http import HTTPStatus
from typing import Final

from relay.auth.tokens import Trust, mint
from relay.check.finding import Finding, fail, ok, skip
from relay.check.hosted.asking import Hosted
from relay.realtime.grant import Caller

SECONDS: Final = 60.0
"""How long the token lives that is tried."""
_QUESTION: Final = "/rest/v1/agents?select=id&limit=0"
_MEND: Final = (
    "copy the project's JWT secret (its dashboard, Settings, JWT Keys, Legacy JWT Secret), or unset"
    " SUPABASE_JWT_SECRET where its tokens are verified by its key set"
)


async def shared_secret(trust: Trust, clock: Callable[[], float], hosted: Hosted) -> Finding:
    """Ask the project for nothing, in the name of nobody, with a token of our own."""
    now = clock()
    nobody = Caller(str(uuid.uuid4()), "learner", now + SECONDS)
    token = mint(nobody, trust.secret or "", now, trust.issuer)
    said = await hosted.ask(_QUESTION, token=token)
    if said.status != HTTPStatus.UNAUTHORIZED:
        return ok("the project believes a token that is signed with SUPABASE_JWT_SECRET")
    if "expired" in said.message or "future" in said.message:
        return skip("not before this machine's clock is right")
    return fail("the project refuses a token that is signed with SUPABASE_JWT_SECRET", _MEND)
