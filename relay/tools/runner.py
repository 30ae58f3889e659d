"""Where every tool of the process is made ready, and the bench at which one session works."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import aiohttp
import structlog

from relay.agents.agent import AgentCatalog, StaticCatalog
from relay.realtime.grant import Grant, ServerTool
from relay.realtime.server_tools import ToolCall
from relay.tools.call import (
    Action,
    ToolContext,
    ToolFailed,
    ToolInvocation,
    ToolMisconfigured,
    arguments_of,
)
from relay.tools.http_tool import HttpAddress, HttpTool
from relay.tools.python_tool import DaemonThreads, PythonTool, find

MAX_AT_ONCE: Final = 4  # calls of one session that run at the same time; the others wait
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class PreparedTool:
    """A tool that can be called, and the seconds it has."""

    action: Action
    timeout_s: float


class ToolRegistry:
    """What all tools of a process share. `secrets` are values by environment variable."""

    def __init__(
        self,
        http: aiohttp.ClientSession,
        secrets: Mapping[str, str],
    ) -> None:
        self._http = http
        self._secrets = secrets
        self._threads = DaemonThreads()

    def prepare(self, tools: Iterable[ServerTool]) -> dict[str, PreparedTool]:
        """Make tools ready by name; raises `ToolMisconfigured`. Do it at the start, for typos."""
        return {tool.name: PreparedTool(self._action(tool), tool.timeout_s) for tool in tools}

    def bench(self, tools: Iterable[ServerTool], context: ToolContext) -> "SessionToolRunner":
        """Where one session's calls are carried out; raises `ToolMisconfigured`."""
        return SessionToolRunner(self.prepare(tools), context)

    def _action(self, tool: ServerTool) -> Action:
        try:
            if tool.entry_point is not None:
                return PythonTool(find(tool.entry_point), self._threads, tool.max_bytes)
            secret = self._secret(tool)
        except ToolMisconfigured as wrong:
            raise ToolMisconfigured(f"server_tools.{tool.name}: {wrong}") from None
        address = HttpAddress(tool.url or "", tool.header, secret, tool.max_bytes)
        return HttpTool(self._http, address)

    def _secret(self, tool: ServerTool) -> str | None:
        if tool.secret_env is None:
            return None
        secret = self._secrets.get(tool.secret_env, "")
        if not secret:
            raise ToolMisconfigured(f"{tool.secret_env} is not set in the environment")
        if not secret.isascii() or not secret.isprintable():
            raise ToolMisconfigured(f"{tool.secret_env} has a letter that no header may have")
        return secret


class SessionToolRunner:
    """Carries out one session's calls, so many at a time."""

    def __init__(self, tools: Mapping[str, PreparedTool], context: ToolContext) -> None:
        self._tools = tools
        self._context = context
        self._places = asyncio.Semaphore(MAX_AT_ONCE)
        self._log = log.bind(session_id=context.session)

    async def run(self, call: ToolCall) -> str:
        """What the model is told, a failure included; raises nothing but a cancellation."""
        clock = asyncio.get_running_loop().time
        began, outcome, cause = clock(), "ok", None
        try:
            return await self._run(call)
        except ToolFailed as failed:
            outcome, cause = failed.code, failed.cause or failed.status
            return failed.output
        except asyncio.CancelledError:
            outcome = "cancelled"
            raise
        finally:
            name = call.name if call.name in self._tools else "unknown"
            seconds = round(clock() - began, 3)
            self._log.info("tool called", tool=name, outcome=outcome, cause=cause, seconds=seconds)

    async def _run(self, call: ToolCall) -> str:
        """The time a tool has includes its wait for a place: somebody listens to the silence."""
        ready = self._tools.get(call.name)
        if ready is None:
            raise ToolFailed("not_there")
        work = ToolInvocation(call.name, call.call_id, arguments_of(call.arguments), self._context)
        try:
            async with asyncio.timeout(ready.timeout_s), self._places:
                return await ready.action(work)
        except ToolFailed:
            raise
        except TimeoutError:
            raise ToolFailed("timeout") from None
        except asyncio.CancelledError:
            if _is_ending():
                raise
            raise ToolFailed("failed") from None  # something within the tool was cancelled
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a function of somebody else's
            raise ToolFailed("failed", cause=type(error).__name__) from None


def _is_ending() -> bool:
    """Whether this very task was cancelled, and not just something that it waits for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


# ---- A bench for each session whose agent has tools that run here.


def tool_runners(
    agents: AgentCatalog, workshop: ToolRegistry
) -> Callable[[Grant, str, str], SessionToolRunner | None]:
    """Given grant, session and conversation: where its tools run, None for a grant without any.

    Every tool that is known now is made ready once; raises ToolMisconfigured.
    """
    if isinstance(agents, StaticCatalog):
        for agent in agents.all.values():
            workshop.prepare(agent.offer.server_tools)

    def make(grant: Grant, session_id: str, conversation_id: str) -> SessionToolRunner | None:
        if not grant.server_tools:
            return None
        context = ToolContext(grant.caller.sub, grant.agent_id, conversation_id, session_id)
        return workshop.bench(grant.server_tools, context)

    return make
