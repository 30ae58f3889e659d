"""Whether the provider's key can be had: from the project's vault, else from the environment."""

from http import HTTPStatus
from typing import Final

from relay.check.finding import Finding, fail, ok
from relay.check.hosted.asking import Hosted
from relay.stores.supabase.config import PROVIDER, key_in
from relay.stores.supabase.store import is_uuid

_ROW: Final = f"/rest/v1/system_api_keys?select=*&provider_name=eq.{PROVIDER}&limit=1"
_PUT_IT_THERE: Final = (
    "put the key into the vault (`select vault.create_secret('sk-…', 'openai');`), name it in"
    f" system_api_keys.vault_secret_id of provider_name '{PROVIDER}' with is_active true,"
    " or set OPENAI_API_KEY"
)


async def provider_key(own_key: str, hosted: Hosted) -> Finding:
    """Look for the key as a call would; `own_key` is the environment's."""
    lacking = await _lacking(hosted)
    if lacking is None:
        return ok("the project's vault has it")
    if own_key:
        return ok(f"OPENAI_API_KEY is used: {lacking}")
    return fail(f"{lacking}, and OPENAI_API_KEY is not set", _PUT_IT_THERE)


async def _lacking(hosted: Hosted) -> str | None:
    """Why the vault has no key for us, None where it has."""
    said = await hosted.ask(_ROW)
    rows = said.document if said.status == HTTPStatus.OK else None
    if not isinstance(rows, list) or not rows:
        return f"system_api_keys has no row for {PROVIDER}"
    if not rows[0].get("is_active"):
        return f"{PROVIDER}'s row in system_api_keys is not active"
    secret = rows[0].get("vault_secret_id")
    if not isinstance(secret, str) or not secret:
        return f"{PROVIDER}'s row in system_api_keys names no secret"
    return await _lacking_secret(hosted, secret)


async def _lacking_secret(hosted: Hosted, secret: str) -> str | None:
    named = "secret_id" if is_uuid(secret) else "secret_name"
    said = await hosted.call("get_secret", {named: secret})
    if said.status != HTTPStatus.OK:
        return f"get_secret({named}) cannot be called ({said.code or said.status})"
    return None if key_in(said.document) else "the vault has no secret of that name"
