"""The provider's key in a project's vault (S3-15): rotated there, picked up here."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import structlog

from relay.realtime.endings import INTERNAL_ERROR, Refused
from relay.stores.kept import PAUSE_SECONDS, Kept, Terms
from relay.stores.supabase import is_uuid
from relay.stores.supabase_troubles import DatabaseTrouble

if TYPE_CHECKING:
    from relay.stores.supabase_rest import Rest

PROVIDER: Final = "openai"
TERMS: Final = Terms(fresh=60.0, stale=600.0, most=1)
"""S3-80: a rotated key is used within a minute; without the database an old one for ten."""
DOUBT_AFTER: Final = 1.0
"""Seconds: when the provider refuses a key for many calls at once, one question is enough."""

log = structlog.get_logger(__name__)


class VaultKey:
    """A `relay.engines.openai.KeySource`: the active key of `system_api_keys`, else `fallback`."""

    def __init__(
        self, rest: "Rest", fallback: str = "", clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._rest = rest
        self._fallback = fallback
        self._clock = clock
        self._ask_at = clock()  # not before: a call need not wait for what was just not answered
        self._kept = Kept(self._read, TERMS, clock)

    async def current(self) -> str:
        """The key, "" where none is configured (S3-16).

        Raises `Refused` (INTERNAL_ERROR) when nobody could be asked and there is no other key.
        """
        if self._fallback and self._clock() < self._ask_at:
            return self._fallback
        try:
            return await self._kept.get(PROVIDER) or self._fallback
        except DatabaseTrouble as trouble:
            log.warning("provider key not read", reason=type(trouble).__name__)
            if not self._fallback:
                raise Refused(INTERNAL_ERROR) from None
            self._ask_at = self._clock() + PAUSE_SECONDS
            return self._fallback

    def refused(self) -> None:
        """The provider does not take the key: ask the vault at the next call."""
        self._kept.doubt(PROVIDER, DOUBT_AFTER)

    async def aclose(self) -> None:
        """Give up a question that is under way."""
        await self._kept.aclose()

    async def _read(self, provider: str) -> str:
        question = self._rest.select("system_api_keys", "vault_secret_id")
        active = question.eq("provider_name", provider).eq("is_active", "true").limit(1)
        rows = await self._rest.rows(active)
        secret = rows[0].get("vault_secret_id") if rows else None
        if not isinstance(secret, str) or not secret:
            return ""
        # The column is text, and S3 has the function by id and by name.
        named = "secret_id" if is_uuid(secret) else "secret_name"
        key = key_in(await self._rest.call("get_secret", {named: secret}))
        if key and not _sendable(key):
            log.warning("provider key in the vault is none: it has a space or a line break")
            return ""
        return key


def key_in(answer: Any) -> str:
    """The key in an answer of either `get_secret`: `[{"key": …}]`, `{"key": …}`, `"…"`; or ""."""
    if isinstance(answer, list):
        answer = answer[0] if answer else None
    if isinstance(answer, dict):
        answer = answer.get("key")
    return answer.strip() if isinstance(answer, str) else ""


def _sendable(key: str) -> bool:
    """Whether it can stand in a header."""
    return key.isascii() and key.isprintable() and " " not in key
