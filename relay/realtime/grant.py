"""The caller of a session and its grant, as plain data."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

Role = Literal["learner", "coach", "admin"]

HIDDEN: Final = frozenset({"instructions", "server_tools"})
"""Fields that clients do not see unless an agent says otherwise."""

# A prompt could replace what the server set, a trace could show it.
_WITH_ANY_LOCK: Final = frozenset({"prompt", "tracing"})
_SETTABLE: Final = ("voice", "instructions", "tools", "output_modalities")


@dataclass(frozen=True, slots=True)
class Caller:
    """The claims of a verified token.

    `sub` is the user's id, `expires_at` in Unix seconds, `agent_id` the only agent that the token
    is for, if it names one. `session` are the settings that a client secret is bound to; None for
    a user's own token.
    """

    sub: str
    role: Role
    expires_at: float
    agent_id: str | None = None
    session: Mapping[str, Any] | None = field(default=None, repr=False, hash=False)


@dataclass(frozen=True, slots=True)
class ServerTool:
    """A function that the model may call and that runs here, unseen by the client.

    `url`, `entry_point` (`package.module:function`) or `knowledge`, the name of a knowledge base
    to search, says what runs. `secret_env` names the environment variable with the secret for
    `url`, which is sent in `header`: as a bearer token if that is `Authorization`, else as it is. A
    call may take `timeout_s` and answer `max_bytes`.
    """

    name: str
    description: str
    parameters: dict[str, Any]
    url: str | None = None
    entry_point: str | None = None
    knowledge: str | None = None
    secret_env: str | None = None
    header: str = "Authorization"
    timeout_s: float = 10.0
    max_bytes: int = 65536

    @property
    def definition(self) -> dict[str, Any]:
        """The tool as a session's `tools` list it."""
        return {
            "type": "function",
            "name": self.name,
            "description": self.description,
            "parameters": self.parameters,
        }


@dataclass(frozen=True, slots=True)
class Bounds:
    """Bounds that an agent sets on its sessions; None sets none.

    `pace_ms` is how far ahead of playback audio may be sent. Budgets are in micro-dollars a UTC
    day: of all sessions of the agent together, and of one user's sessions of it.
    """

    session_seconds: float | None = None
    idle_seconds: float | None = None
    max_output_tokens: int | None = None
    pace_ms: int | None = None
    budget_micro: int | None = None
    user_budget_micro: int | None = None

    @property
    def is_budgeted(self) -> bool:
        """Whether a budget may be exhausted."""
        return self.budget_micro is not None or self.user_budget_micro is not None


@dataclass(frozen=True, slots=True)
class Grant:
    """The rights and settings of a session, decided once when it is admitted.

    `model`, `voice`, `instructions`, `tools` and `output_modalities` are the server's unless they
    are None: the client cannot change them, except for those in `overridable`, which are defaults.
    `extra_locks` names session fields that the client cannot change although the server does not
    set them. `server_tools` are added to the tools that a session has. `hidden` names what of all
    this the client does not see. With a `greeting` the model speaks first. Without `store_text` no
    text of the session is written anywhere. `system_items` says what becomes of a client's system
    items where the instructions are the server's: dropped, or answered as if they were taken.
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
    overridable: frozenset[str] = frozenset()
    extra_locks: frozenset[str] = frozenset()
    hidden: frozenset[str] = HIDDEN
    bounds: Bounds = Bounds()
    store_text: bool = True
    system_items: Literal["drop", "answer"] = "drop"

    @property
    def locked_fields(self) -> frozenset[str]:
        """Names of the session fields that the client cannot set (`model` always is one)."""
        ours = self.extra_locks.union(
            name
            for name in _SETTABLE
            if getattr(self, name) is not None and name not in self.overridable
        )
        if self.server_tools or "tools" in ours:
            ours |= {"tool_choice"}
        if ours or self.bounds.max_output_tokens is not None:
            ours |= _WITH_ANY_LOCK
        return ours | {"model"}

    @property
    def server_tool_names(self) -> frozenset[str]:
        """Names that tools of the client cannot have."""
        return frozenset(tool.name for tool in self.server_tools)
