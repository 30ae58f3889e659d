"""Who is calling and what they were granted, as plain data the rules can read."""

from dataclasses import dataclass
from typing import Any, Final, Literal

Role = Literal["learner", "coach", "admin"]

HIDDEN: Final = frozenset({"instructions", "server_tools"})
"""What clients are not shown unless an agent says otherwise."""

# What one gets from a prompt or puts into a trace is nobody's to choose where the server chose.
_WITH_ANY_LOCK: Final = frozenset({"prompt", "tracing"})
_SETTABLE: Final = ("voice", "instructions", "tools", "output_modalities")


@dataclass(frozen=True, slots=True)
class Caller:
    """What a verified token says.

    `sub` is the user's id, `expires_at` in Unix seconds, `agent_id` the token's own agent if any.
    """

    sub: str
    role: Role
    expires_at: float
    agent_id: str | None = None


@dataclass(frozen=True, slots=True)
class ServerTool:
    """A function that the model may call and that runs here, where the client does not see it.

    Either `url` or `entry_point` (`package.module:function`) says what runs. `secret_env` names the
    environment variable with the secret for `url`; it travels in `header`, as a bearer token where
    that is `Authorization`, else as it is. An answer has `timeout_s` and at most `max_bytes`.
    """

    name: str
    description: str
    parameters: dict[str, Any]
    url: str | None = None
    entry_point: str | None = None
    secret_env: str | None = None
    header: str = "Authorization"
    timeout_s: float = 10.0
    max_bytes: int = 65536

    @property
    def definition(self) -> dict[str, Any]:
        """The tool as the engine is told of it."""
        return {
            "type": "function",
            "name": self.name,
            "description": self.description,
            "parameters": self.parameters,
        }


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much of it there is; None is no bound of the agent's.

    `pace_ms` is how far ahead of what is heard sound may be sent. The budgets are micro-dollars a
    UTC day: of all the agent's calls together, and of one user's calls of it.
    """

    session_seconds: float | None = None
    idle_seconds: float | None = None
    max_output_tokens: int | None = None
    pace_ms: int | None = None
    budget_micro: int | None = None
    user_budget_micro: int | None = None

    @property
    def is_budgeted(self) -> bool:
        """Whether somebody's money may run out."""
        return self.budget_micro is not None or self.user_budget_micro is not None


@dataclass(frozen=True, slots=True)
class Grant:
    """What this call may do, decided once at the door.

    `model`, `voice`, `instructions`, `tools` and `output_modalities` are the server's where they
    are not None: the client cannot change them, but for those in `open`, which are defaults.
    `locks` names session fields that stay as they are although the server does not set them.
    `server_tools` are added to whatever tools a session has. `hidden` names what clients are not
    shown of that. With a `greeting` the model speaks first. Without `store_text` no word of the
    call is written anywhere.
    """

    caller: Caller
    agent_id: str
    model: str | None = None
    voice: str | None = None
    instructions: str | None = None
    tools: tuple[dict[str, Any], ...] | None = None
    conversation_id: str | None = None
    relay_events: bool = False
    output_modalities: tuple[str, ...] | None = None
    server_tools: tuple[ServerTool, ...] = ()
    greeting: str | None = None
    open: frozenset[str] = frozenset()
    locks: frozenset[str] = frozenset()
    hidden: frozenset[str] = HIDDEN
    bounds: Bounds = Bounds()
    store_text: bool = True

    @property
    def locked(self) -> frozenset[str]:
        """Names of the session fields that are the server's (`model` always is)."""
        ours = self.locks.union(
            name for name in _SETTABLE if getattr(self, name) is not None and name not in self.open
        )
        if self.server_tools or "tools" in ours:
            ours |= {"tool_choice"}
        if ours or self.bounds.max_output_tokens is not None:
            ours |= _WITH_ANY_LOCK
        return ours | {"model"}

    @property
    def server_tool_names(self) -> frozenset[str]:
        """Names that no tool of the client's may have."""
        return frozenset(tool.name for tool in self.server_tools)
