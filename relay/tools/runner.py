"""Prepares the server tools of all agents and runs the calls of each session."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import aiohttp
import structlog

from relay.agents.agent import AgentCatalog, StaticCatalog
from relay.knowledge.bases import KnowledgeBases
from relay.realtime.effects import ToolCall
from relay.realtime.grant import Grant, ServerTool
from relay.tools.call import (
    Action,
    ToolContext,
    ToolFailed,
    ToolInvocation,
    ToolMisconfigured,
    parse_arguments,
)
from relay.tools.http_tool import HttpAddress, HttpTool
from relay.tools.knowledge_tool import KnowledgeSearch
from relay.tools.python_tool import DaemonThreads, PythonTool, load_function

MAX_AT_ONCE: Final = 4  # calls of one session that run at the same time; the others wait

log = structlog.get_logger(__name__)


def tool_runners(
    agents: AgentCatalog, registry: "ToolRegistry"
) -> "Callable[[Grant, str, str], SessionToolRunner | None]":
    """Return a factory: grant, session id and conversation id to a runner, None without tools.

    Every tool of a static catalog is prepared once, so that a mistake is found at the start; raises
    `ToolMisconfigured`.
    """
    if isinstance(agents, StaticCatalog):
        for agent in agents.all.values():
            registry.prepare(agent.offer.server_tools)

    def make(grant: Grant, session_id: str, conversation_id: str) -> SessionToolRunner | None:
        if not grant.server_tools:
            return None
        context = ToolContext(grant.caller.sub, grant.agent_id, conversation_id, session_id)
        return registry.runner(grant.server_tools, context)

    return make


@dataclass(frozen=True, slots=True)
class PreparedTool:
    """A callable tool and its timeout in seconds."""

    action: Action
    timeout_s: float


class ToolRegistry:
    """Prepares tools from their configuration; `secrets` are values by environment variable."""

    def __init__(
        self, http: aiohttp.ClientSession, secrets: Mapping[str, str], knowledge: KnowledgeBases
    ) -> None:
        self._http = http
        self._secrets = secrets
        self._knowledge = knowledge
        self._threads = DaemonThreads()

    def prepare(self, tools: Iterable[ServerTool]) -> dict[str, PreparedTool]:
        """Prepare tools, by name; raises `ToolMisconfigured`."""
        return {tool.name: PreparedTool(self._action(tool), tool.timeout_s) for tool in tools}

    def runner(self, tools: Iterable[ServerTool], context: ToolContext) -> "SessionToolRunner":
        """Make the runner of one session; raises `ToolMisconfigured`."""
        return SessionToolRunner(self.prepare(tools), context)

    def _action(self, tool: ServerTool) -> Action:
        if tool.knowledge is not None:
            return KnowledgeSearch(self._knowledge, tool.knowledge)
        try:
            if tool.entry_point is not None:
                function = load_function(tool.entry_point)
                return PythonTool(function, self._threads, tool.max_bytes)
            secret = self._secret(tool)
        except ToolMisconfigured as error:
            raise ToolMisconfigured(f"server_tools.{tool.name}: {error}") from None
        address = HttpAddress(tool.url or "", tool.header, secret, tool.max_bytes)
        return HttpTool(self._http, address)

    def _secret(self, tool: ServerTool) -> str | None:
        if tool.secret_env is None:
            return None
        secret = self._secrets.get(tool.secret_env, "")
        if not secret:
            raise ToolMisconfigured(f"{tool.secret_env} is not set in the environment")
        if not secret.isascii() or not secret.isprintable():
            raise ToolMisconfigured(f"{tool.secret_env} has a character that no header can carry")
        return secret


class SessionToolRunner:
    """Runs the tool calls of one session, `MAX_AT_ONCE` at a time."""

    def __init__(self, tools: Mapping[str, PreparedTool], context: ToolContext) -> None:
        self._tools = tools
        self._context = context
        self._slots = asyncio.Semaphore(MAX_AT_ONCE)
        self._log = log.bind(session_id=context.session)

    async def run(self, call: ToolCall) -> str:
        """Return the output for the model, also of a failure; raises only a cancellation."""
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
        """The timeout includes the wait for a slot: the user hears silence meanwhile."""
        tool = self._tools.get(call.name)
        if tool is None:
            raise ToolFailed("not_there")
        arguments = parse_arguments(call.arguments)
        invocation = ToolInvocation(call.name, call.call_id, arguments, self._context)
        try:
            async with asyncio.timeout(tool.timeout_s), self._slots:
                return await tool.action(invocation)
        except ToolFailed:
            raise
        except TimeoutError:
            raise ToolFailed("timeout") from None
        except asyncio.CancelledError:
            if _is_this_task_cancelled():
                raise
            raise ToolFailed("failed") from None  # something within the tool was cancelled
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a tool may raise anything
            raise ToolFailed("failed", cause=type(error).__name__) from None


def _is_this_task_cancelled() -> bool:
    """Whether this task was cancelled, and not just something that it awaits."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
