"""Configuration from a project's database: agents, and the provider's key in its vault."""

import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

import structlog

from relay.agents.agent import Agent
from relay.agents.config import InvalidAgent, read_agent
from relay.realtime.endings import INTERNAL_ERROR, SessionRefused
from relay.stores.supabase.cache import RETRY_SECONDS, CachePolicy, StaleCache
from relay.stores.supabase.errors import DatabaseError
from relay.stores.supabase.store import is_uuid
from relay.tasks import error_fields

if TYPE_CHECKING:
    from relay.stores.supabase.client import RestClient, Row

AGENT_POLICY: Final = CachePolicy(fresh=30.0, stale=600.0, max_entries=4096)
"""A change takes effect within 30 s; without the database an agent is known for ten minutes."""
INSTRUCTIONS: Final = ("instructions", "system_instructions", "system_prompt")
"""Columns of `agents` that may hold them, by the age of the schema; the first non-empty counts."""
SERVER_ONLY: Final = ("entry_point", "secret_env", "url")
"""Settings of a server tool that a row may not make: they run code, read secrets or reach hosts."""
PROBLEMS_LOGGED: Final = 10
"""Of one agent in one line of the log."""
PROVIDER: Final = "openai"
KEY_POLICY: Final = CachePolicy(fresh=60.0, stale=600.0, max_entries=1)
"""S3-80: a rotated key is used within a minute; without the database an old one for ten."""
KEY_MIN_AGE: Final = 1.0
"""Seconds: when the provider refuses a key for many calls at once, one lookup is enough."""

log = structlog.get_logger(__name__)


class TableAgents:
    """A `relay.agents.agent.AgentCatalog` over `agents` and `voice_agents` (settings for calls)."""

    def __init__(self, rest: "RestClient", clock: Callable[[], float] = time.monotonic) -> None:
        self._rest = rest
        self._cache = StaleCache(self._read, AGENT_POLICY, clock)

    async def find(self, agent_id: str) -> Agent | None:
        """The agent of this id, None where there is none.

        Raises `SessionRefused` (INTERNAL_ERROR) when the database does not answer or the agent's
        settings are invalid; the log says which.
        """
        if not is_uuid(agent_id):
            return None
        try:
            found = await self._cache.get(agent_id.lower())
        except DatabaseError as error:
            log.warning("could not read agent", agent_id=agent_id, **error_fields(error))
            raise SessionRefused(INTERNAL_ERROR) from None
        if isinstance(found, InvalidAgent):
            raise SessionRefused(INTERNAL_ERROR)
        return found

    async def aclose(self) -> None:
        """Cancel the lookups in progress."""
        await self._cache.aclose()

    async def _read(self, agent_id: str) -> Agent | InvalidAgent | None:
        """Read both rows; an invalid agent is cached too, so that the log does not repeat it."""
        rows = await self._rest.rows(self._rest.select("agents", "*").eq("id", agent_id).limit(1))
        if not rows:
            return None
        voice = self._rest.select("voice_agents", "settings").eq("agent_id", agent_id).limit(1)
        found = await self._rest.rows(voice)
        settings = found[0].get("settings") if found else {}
        try:
            return agent_of(agent_id, rows[0], settings)
        except InvalidAgent as bad:
            log.warning(
                "agent is invalid", agent_id=agent_id, problems=bad.problems[:PROBLEMS_LOGGED]
            )
            return bad


def agent_of(agent_id: str, row: "Row", settings: object) -> Agent:
    """The agent of both rows; raises `InvalidAgent` with every problem.

    The settings say who may call (`roles`, `subs`); without them the agent's owner may, without an
    owner every caller.
    """
    if not isinstance(settings, dict):
        raise InvalidAgent(("settings: must be an object",))
    forbidden = tuple(_forbidden(settings))
    if forbidden:
        raise InvalidAgent(forbidden)
    agent = read_agent(agent_id, {**_instructions(row), **settings})
    owner = row.get("user_id")
    if isinstance(owner, str) and owner and not agent.roles and not agent.subs:
        return dataclasses.replace(agent, subs=frozenset({owner}))
    return agent


def _instructions(row: "Row") -> dict[str, str]:
    texts = (row.get(column) for column in INSTRUCTIONS)
    found = next((text for text in texts if isinstance(text, str) and text.strip()), None)
    return {} if found is None else {"instructions": found}


def _forbidden(settings: Mapping[str, Any]) -> Iterator[str]:
    tools = settings.get("server_tools")
    for name, tool in tools.items() if isinstance(tools, dict) else ():
        for key in SERVER_ONLY:
            if isinstance(tool, dict) and key in tool:
                yield f"server_tools.{name}.{key}: only a file of agents may set this"


class VaultKey:
    """A `relay.engines.openai.KeySource`: the active key of `system_api_keys`, else `fallback`."""

    def __init__(
        self, rest: "RestClient", fallback: str = "", clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._rest = rest
        self._fallback = fallback
        self._clock = clock
        self._retry_at = clock()  # until then no call waits for a vault that has just failed
        self._cache = StaleCache(self._read, KEY_POLICY, clock)

    async def current(self) -> str:
        """The key, or "" where none is configured (S3-16).

        Raises `SessionRefused` (INTERNAL_ERROR) when the vault fails and there is no fallback.
        """
        if self._fallback and self._clock() < self._retry_at:
            return self._fallback
        try:
            return await self._cache.get(PROVIDER) or self._fallback
        except DatabaseError as error:
            log.warning("could not read provider key", **error_fields(error))
            if not self._fallback:
                raise SessionRefused(INTERNAL_ERROR) from None
            self._retry_at = self._clock() + RETRY_SECONDS
            return self._fallback

    def refused(self) -> None:
        """Read the vault again at the next call: the provider refused the key."""
        self._cache.expire(PROVIDER, KEY_MIN_AGE)

    async def aclose(self) -> None:
        """Cancel a lookup in progress."""
        await self._cache.aclose()

    async def _read(self, provider: str) -> str:
        question = self._rest.select("system_api_keys", "vault_secret_id")
        active = question.eq("provider_name", provider).eq("is_active", "true").limit(1)
        rows = await self._rest.rows(active)
        secret = rows[0].get("vault_secret_id") if rows else None
        if not isinstance(secret, str) or not secret:
            return ""
        # The column is text, and S3 has `get_secret` by id and by name.
        named = "secret_id" if is_uuid(secret) else "secret_name"
        key = key_in(await self._rest.call("get_secret", {named: secret}))
        if key and not _sendable(key):
            log.warning("provider key in the vault is invalid: it has a space or a line break")
            return ""
        return key


def key_in(answer: Any) -> str:
    """The key in the answer of either `get_secret` (`[{"key": …}]`, `{"key": …}`, `"…"`), or ""."""
    if isinstance(answer, list):
        answer = answer[0] if answer else None
    if isinstance(answer, dict):
        answer = answer.get("key")
    return answer.strip() if isinstance(answer, str) else ""


def _sendable(key: str) -> bool:
    """Whether it is a valid header value."""
    return key.isascii() and key.isprintable() and " " not in key
