"""Whether there is a Supabase project at the address, and whether it takes the service key."""

import base64
import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from relay.check.finding import Finding, fail, ok
from relay.check.hosted.asking import CHECK, Hosted, NoAnswer, Said

PAUSED: Final = 540
_KEY: Final = (
    "set SUPABASE_SERVICE_ROLE_KEY to a secret key (sb_secret_…) or the service_role key of this"
    " project: its dashboard, Settings, API Keys"
)
_ADDRESS: Final = "set SUPABASE_URL to the project's address, like https://REF.supabase.co"
_REACH: Final = "is SUPABASE_URL right, may this machine reach it, and is the project not paused?"


async def project(hosted: Hosted) -> Finding:
    """Ask the project's API what it is; later looks go on from its answer."""
    wrong = _wrong_key(hosted.access.service_key)
    if wrong is not None:
        return fail(f"SUPABASE_SERVICE_ROLE_KEY is {wrong}", _KEY)
    url = hosted.access.url
    try:
        said = await hosted.ask("/rest/v1/")
        if not _is_description(said):
            return _refused(url, said)
        hosted.description = said
        live = await hosted.call(CHECK, {})
    except NoAnswer as why:
        hosted.description = None
        return fail(f"{url} does not answer: {why}", _REACH)
    if live.status == HTTPStatus.OK and isinstance(live.document, Mapping):
        hosted.live = live.document
    return ok(f"{url} takes the service key")


def _wrong_key(key: str) -> str | None:
    """What a key is that can be told from its looks to be another one."""
    if key.startswith("sb_publishable_"):
        return "a publishable key, which is for browsers"
    claims = _claims(key)
    role = claims.get("role", "service_role") if claims is not None else "service_role"
    return None if role == "service_role" else f"the key of the role {str(role)[:20]!r}"


def _claims(key: str) -> Mapping[str, Any] | None:
    """What an old key says of itself, None for one that is no token."""
    parts = key.split(".")
    if len(parts) != 3:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, RecursionError):
        return None
    return claims if isinstance(claims, dict) else None


def _is_description(said: Said) -> bool:
    """PostgREST's, of all that the key may use."""
    document = said.document
    return (
        said.status == HTTPStatus.OK
        and isinstance(document, Mapping)
        and "swagger" in document
        and isinstance(document.get("paths"), Mapping)
    )


def _refused(url: str, said: Said) -> Finding:
    """Why an answer is no description."""
    if said.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        return fail(f"{url} refuses SUPABASE_SERVICE_ROLE_KEY (HTTP {said.status})", _KEY)
    if said.status == PAUSED:
        return fail(f"the project at {url} is paused", "restore it in its dashboard")
    if said.code.startswith("PGRST"):
        mend = "see the project's status in its dashboard, and its database's logs"
        return fail(f"the API at {url} cannot use its database ({said.code})", mend)
    return fail(f"{url} is no Supabase project: HTTP {said.status} at /rest/v1/", _ADDRESS)
