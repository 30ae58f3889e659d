"""Agents in a project's tables: S3's `agents` row, and what `voice_agents` sets for calls."""

import asyncio
import dataclasses
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

import structlog

from relay.agents.agent import Agent
from relay.agents.config import InvalidAgent, read_agent
from relay.realtime.endings import INTERNAL_ERROR, SessionRefused
from relay.stores.supabase.errors import DatabaseError
from relay.stores.supabase.store import is_uuid
from relay.tasks import Tasks

if TYPE_CHECKING:
    from relay.stores.supabase.client import RestClient, Row

# ---- Answers of a database that are kept for a while: asked for once, and used on while it is
# away.

PAUSE_SECONDS: Final = 5.0
"""After a failure, while what is kept will do: callers need not each wait for the next one."""

V = TypeVar("V")
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class CachePolicy:
    """`fresh` seconds without asking, `stale` ones when asking fails; `most` names.

    Who can have an old value waits `patience` seconds for a new one.
    """

    fresh: float
    stale: float
    most: int
    patience: float = 1.0


@dataclass(slots=True)
class _Entry(Generic[V]):
    value: V
    read_at: float
    ask_at: float  # not before


class StaleCache(Generic[V]):
    """Values by name. `read` asks for one; whoever wants it meanwhile waits for the same answer."""

    def __init__(
        self,
        read: Callable[[str], Awaitable[V]],
        terms: CachePolicy,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read = read
        self._terms = terms
        self._clock = clock
        self._entries: OrderedDict[str, _Entry[V]] = OrderedDict()
        self._asking: dict[str, asyncio.Task[V]] = {}
        self._tasks = Tasks(lambda *_: None)  # what a question raises, those who wait are told

    async def get(self, name: str) -> V:
        """The value; raises what `read` raised when there is none that is recent enough."""
        entry = self._entries.get(name)
        if entry is not None and self._clock() < entry.ask_at:
            self._entries.move_to_end(name)
            return entry.value
        asking = self._asking.get(name)
        if asking is None:
            asking = self._asking[name] = self._tasks.start(self._ask(name), "kept.ask")
        # Waiting for it alone: a caller who hangs up does not end it for the others.
        usable = entry is not None and self._clock() - entry.read_at < self._terms.stale
        await asyncio.wait({asking}, timeout=self._terms.patience if usable else None)
        return entry.value if entry is not None and not asking.done() else asking.result()

    def doubt(self, name: str, after: float) -> None:
        """Ask again at the next `get`, but not before the value is `after` seconds old."""
        entry = self._entries.get(name)
        if entry is not None:
            entry.ask_at = min(entry.ask_at, entry.read_at + after)

    async def aclose(self) -> None:
        """Give up the questions that are under way."""
        await self._tasks.aclose()

    async def _ask(self, name: str) -> V:
        try:
            value = await self._read(name)
        except Exception as error:  # noqa: BLE001 - whatever it is, an old value serves better
            return self._old(name, error)
        finally:
            del self._asking[name]
        now = self._clock()
        self._entries[name] = _Entry(value, now, now + self._terms.fresh)
        self._entries.move_to_end(name)
        while len(self._entries) > self._terms.most:
            self._entries.popitem(last=False)
        return value

    def _old(self, name: str, error: Exception) -> V:
        """What was known, if that is not too long ago."""
        entry, now = self._entries.get(name), self._clock()
        if entry is None or now - entry.read_at >= self._terms.stale:
            self._entries.pop(name, None)
            raise error
        log.warning("database not asked, what is known is used", reason=type(error).__name__)
        entry.ask_at = now + PAUSE_SECONDS
        return entry.value


TERMS: Final = CachePolicy(fresh=30.0, stale=600.0, most=4096)
"""A change is heard within half a minute; without the database, agents are known for ten."""
INSTRUCTIONS: Final = ("instructions", "system_instructions", "system_prompt")
"""Columns of `agents` that may hold them, by the age of the schema; the first that does counts."""
SERVER_ONLY: Final = ("entry_point", "secret_env", "url")
"""What a row may not set of a server tool: it would run code, read secrets or reach hosts here."""
MOST_TOLD: Final = 10
"""Mistakes of one agent in one line of the log."""


class TableAgents:
    """`relay.access.agents.Agents` in a project's tables."""

    def __init__(self, rest: "RestClient", clock: Callable[[], float] = time.monotonic) -> None:
        self._rest = rest
        self._kept = StaleCache(self._read, TERMS, clock)

    async def find(self, agent_id: str) -> Agent | None:
        """The agent of this id, None where there is no such agent.

        Raises `SessionRefused` (INTERNAL_ERROR) when nobody could be asked, or its settings are no
        settings; the log says which.
        """
        if not is_uuid(agent_id):
            return None
        try:
            found = await self._kept.get(agent_id.lower())
        except DatabaseError as trouble:
            log.warning("agent not read", agent_id=agent_id, reason=type(trouble).__name__)
            raise SessionRefused(INTERNAL_ERROR) from None
        if isinstance(found, InvalidAgent):
            raise SessionRefused(INTERNAL_ERROR)
        return found

    async def aclose(self) -> None:
        """Give up questions that are under way."""
        await self._kept.aclose()

    async def _read(self, agent_id: str) -> Agent | InvalidAgent | None:
        """As both rows say; a bad one is kept too, so that it is told once in a while."""
        rows = await self._rest.rows(self._rest.select("agents", "*").eq("id", agent_id).limit(1))
        if not rows:
            return None
        voice = self._rest.select("voice_agents", "settings").eq("agent_id", agent_id).limit(1)
        found = await self._rest.rows(voice)
        settings = found[0].get("settings") if found else {}
        try:
            return agent_of(agent_id, rows[0], settings)
        except InvalidAgent as bad:
            log.warning("agent refused", agent_id=agent_id, problems=bad.problems[:MOST_TOLD])
            return bad


def agent_of(agent_id: str, row: "Row", settings: object) -> Agent:
    """The agent of both rows; raises `InvalidAgent` with every mistake.

    Who may call is what the settings say (`roles`, `subs`), else the agent's owner, else everybody.
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


# ---- The provider's key in a project's vault (S3-15): rotated there, picked up here.

PROVIDER: Final = "openai"
KEY_TERMS: Final = CachePolicy(fresh=60.0, stale=600.0, most=1)
"""S3-80: a rotated key is used within a minute; without the database an old one for ten."""
DOUBT_AFTER: Final = 1.0
"""Seconds: when the provider refuses a key for many calls at once, one question is enough."""


class VaultKey:
    """A `relay.engines.openai.KeySource`: the active key of `system_api_keys`, else `fallback`."""

    def __init__(
        self, rest: "RestClient", fallback: str = "", clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._rest = rest
        self._fallback = fallback
        self._clock = clock
        self._ask_at = clock()  # not before: a call need not wait for what was just not answered
        self._kept = StaleCache(self._read, KEY_TERMS, clock)

    async def current(self) -> str:
        """The key, "" where none is configured (S3-16).

        Raises `SessionRefused` (INTERNAL_ERROR) when the vault gave none and there is no other key.
        """
        if self._fallback and self._clock() < self._ask_at:
            return self._fallback
        try:
            return await self._kept.get(PROVIDER) or self._fallback
        except DatabaseError as trouble:
            log.warning("provider key not read", reason=type(trouble).__name__)
            if not self._fallback:
                raise SessionRefused(INTERNAL_ERROR) from None
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
