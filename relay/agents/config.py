"""Reads agents from a TOML file or a database row, strictly; every mistake is reported by name."""

import dataclasses
import difflib
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    ValidationError,
    field_validator,
    model_validator,
)

from relay.agents.agent import MAX_NAME, MODEL, Agent, StaticCatalog, plain_agent
from relay.agents.knowledge import NAME, knowledge_tool
from relay.realtime.client_encoder import HIDEABLE
from relay.realtime.client_policy import LOCKABLE
from relay.realtime.grant import HIDDEN, Bounds, ServerTool

MAX_FILE: Final = 16 * 1024 * 1024  # bytes; a thousand agents of the longest instructions fit
_AGENTS: Final = "agents"

_TOOL_NAME: Final = r"^[A-Za-z0-9_-]{1,64}$"  # as the Realtime API wants it
_HEADER: Final = r"^[A-Za-z0-9-]{1,64}$"
_ENTRY_POINT: Final = r"^[A-Za-z_][A-Za-z0-9_.]*:[A-Za-z_][A-Za-z0-9_]*$"
_VARIABLE: Final = r"^[A-Z_][A-Z0-9_]{0,127}$"
_MAX_TEXT: Final = 65_536  # characters of instructions: some 16,000 tokens, half a model's context
_MAX_LIST: Final = 128  # the Realtime API's own limit of tools
_MAX_SUBS: Final = 10_000
_SETTABLE: Final = frozenset({"model", "voice", "instructions", "tools", "output_modalities"})

Schema = dict[str, JsonValue]
Seconds = Annotated[float, Field(gt=0, le=86_400)]
Dollars = Annotated[float, Field(gt=0, le=1_000_000)]
ToolName = Annotated[str, Field(pattern=_TOOL_NAME)]

# TOML has types of its own, so nothing is converted: "5" is not a number and 5 not a text.
_STRICT: Final = ConfigDict(extra="forbid", strict=True, frozen=True)


def _no_parameters() -> Schema:
    return {"type": "object", "properties": {}}


def _names(known: frozenset[str]) -> AfterValidator:
    def check(names: list[str]) -> list[str]:
        for name in names:
            if name not in known:
                raise ValueError(f"'{name}' is not one of {', '.join(sorted(known))}")
        return names

    return AfterValidator(check)


class ToolConfig(BaseModel):
    """A function that runs in the client."""

    model_config = _STRICT

    type: Literal["function"] = "function"
    name: ToolName
    description: str = Field(default="", max_length=_MAX_TEXT)
    parameters: Schema = Field(default_factory=_no_parameters)


class ServerToolConfig(BaseModel):
    """A function that runs in the relay: an HTTP endpoint or a Python entry point."""

    model_config = _STRICT

    description: str = Field(default="", max_length=_MAX_TEXT)
    parameters: Schema = Field(default_factory=_no_parameters)
    url: str | None = None
    entry_point: str | None = Field(default=None, pattern=_ENTRY_POINT)
    secret_env: str | None = Field(default=None, pattern=_VARIABLE)
    header: str = Field(default="Authorization", pattern=_HEADER)
    timeout_s: float = Field(default=10.0, gt=0, le=60)
    max_bytes: int = Field(default=65_536, ge=1, le=1_048_576)

    @field_validator("url")
    @classmethod
    def _is_url(cls, value: str | None) -> str | None:
        parts = urlsplit(value or "https://none")
        if parts.scheme not in ("https", "http") or not parts.hostname:
            raise ValueError("must be an address that begins with https://")
        if parts.username is not None or parts.password is not None:
            raise ValueError("must hold no password: name its variable in secret_env")
        return value

    @model_validator(mode="after")
    def _runs_somewhere(self) -> Self:
        if (self.url is None) == (self.entry_point is None):
            raise ValueError("wants either url or entry_point")
        if self.entry_point is not None and self.model_fields_set & {"secret_env", "header"}:
            raise ValueError("secret_env and header belong to url, not to entry_point")
        return self


class AgentLimits(BaseModel):
    """Limits of an agent's sessions, in seconds, tokens and dollars; None: no limit of its own."""

    model_config = _STRICT

    session_seconds: Seconds | None = None
    idle_seconds: Seconds | None = None
    max_output_tokens: int | None = Field(default=None, ge=1, le=1_000_000)
    budget_usd_per_day: Dollars | None = None
    budget_usd_per_user_per_day: Dollars | None = None


class AgentConfig(BaseModel):
    """The keys of an agent; docs/agents.md explains each."""

    model_config = _STRICT

    model: str | None = Field(default=None, pattern=f"^{MODEL.pattern}$")
    voice: str | None = Field(default=None, pattern=r"^[A-Za-z0-9._-]{1,128}$")
    instructions: str | None = Field(default=None, min_length=1, max_length=_MAX_TEXT)
    tools: list[ToolConfig] | None = Field(default=None, max_length=_MAX_LIST)
    knowledge: str | None = Field(default=None, min_length=1, max_length=MAX_NAME)
    server_tools: dict[ToolName, ServerToolConfig] = Field(
        default_factory=dict, max_length=_MAX_LIST
    )
    output_modalities: list[Literal["audio", "text"]] | None = Field(
        default=None, min_length=1, max_length=1
    )
    open: Annotated[list[str], _names(_SETTABLE)] = Field(default_factory=list)
    locked: Annotated[list[str], _names(LOCKABLE)] = Field(default_factory=list)
    hidden: Annotated[list[str], _names(HIDEABLE)] = Field(default_factory=lambda: sorted(HIDDEN))
    roles: list[Literal["learner", "coach", "admin"]] | None = Field(default=None, min_length=1)
    subs: list[Annotated[str, Field(min_length=1)]] | None = Field(
        default=None, min_length=1, max_length=_MAX_SUBS
    )
    greeting: str | None = Field(default=None, min_length=1, max_length=_MAX_TEXT)
    pace_ms: int | None = Field(default=None, ge=20, le=60_000)
    store_text: bool = True
    system_items: Literal["drop", "answer"] = "drop"
    limits: AgentLimits = AgentLimits()

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        unset = [name for name in self.open if getattr(self, name) is None]
        if unset:
            raise ValueError(f"open names '{unset[0]}', which this agent does not set")
        both = set(self.open) & set(self.locked)
        if both:
            raise ValueError(f"'{min(both)}' is both open and locked")
        names = [tool.name for tool in self.tools or ()] + list(self.server_tools)
        names += [NAME] if self.knowledge is not None else []
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise ValueError(f"two tools have the name '{min(twice)}'")
        return self


class InvalidAgent(Exception):  # noqa: N818 - mistakes in a file or row, reported to its author
    """An agent's configuration is invalid; `problems` has each mistake as key and reason."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


def read_agent(agent_id: str, table: Mapping[str, Any]) -> Agent:
    """Read one agent from its table or row; raises `InvalidAgent` with every mistake in it."""
    try:
        config = AgentConfig.model_validate(dict(table))
    except ValidationError as error:
        raise InvalidAgent(tuple(_problems(error))) from None
    return _agent(agent_id, config)


def _agent(agent_id: str, config: AgentConfig) -> Agent:
    plain = plain_agent(agent_id)
    tools, modalities, bounds = config.tools, config.output_modalities, _bounds(config)
    # Under a budget a client may not choose a dearer or an unpriced transcription model.
    locks = {*config.locked, "transcription"} if bounds.is_budgeted else set(config.locked)
    offer = dataclasses.replace(
        plain.offer,
        model=config.model,
        voice=config.voice,
        instructions=config.instructions,
        tools=None if tools is None else tuple(tool.model_dump() for tool in tools),
        output_modalities=None if modalities is None else tuple(modalities),
        server_tools=tuple(_server_tools(config)),
        greeting=config.greeting,
        overridable=frozenset(config.open),
        extra_locks=frozenset(locks),
        hidden=frozenset(config.hidden),
        bounds=bounds,
        store_text=config.store_text,
        system_items=config.system_items,
    )
    return Agent(offer, frozenset(config.roles or ()), frozenset(config.subs or ()))


def _server_tools(config: AgentConfig) -> Iterator[ServerTool]:
    for name, tool in config.server_tools.items():
        yield ServerTool(name=name, **tool.model_dump())
    if config.knowledge is not None:
        yield knowledge_tool(config.knowledge)


def _bounds(config: AgentConfig) -> Bounds:
    limits = config.limits
    return Bounds(
        session_seconds=limits.session_seconds,
        idle_seconds=limits.idle_seconds,
        max_output_tokens=limits.max_output_tokens,
        pace_ms=config.pace_ms,
        budget_micro=_micro(limits.budget_usd_per_day),
        user_budget_micro=_micro(limits.budget_usd_per_user_per_day),
    )


def _micro(dollars: float | None) -> int | None:
    return None if dollars is None else round(dollars * 1_000_000)


def _problems(error: ValidationError) -> Iterator[str]:
    for detail in error.errors(include_url=False, include_input=False):
        key = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in detail["loc"])
        if detail["type"] == "extra_forbidden":
            yield f"{key[1:]}: is not known here{_hint(str(detail['loc'][-1]))}"
        else:
            reason = detail["msg"].removeprefix("Value error, ").removeprefix("Input ")
            yield f"{key[1:]}: {reason}" if key else reason


def _hint(key: str) -> str:
    tables = (AgentConfig, AgentLimits, ServerToolConfig, ToolConfig)
    known = [name for table in tables for name in table.model_fields]
    close = difflib.get_close_matches(key, known, n=1)
    return f"; did you mean {close[0]}?" if close and close[0] != key else ""


class InvalidAgents(Exception):  # noqa: N818 - mistakes in a file, reported to its author
    """The file of agents is invalid; `problems` has each mistake in one line."""

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def load_agents(path: Path) -> StaticCatalog:
    """Read the agents of a file; raises `InvalidAgents` with every mistake in it."""
    tables = _tables(path)
    agents: dict[str, Agent] = {}
    problems = list(_unknown_tables(path, tables))
    named = tables.get(_AGENTS)
    for agent_id, table in named.items() if isinstance(named, dict) else ():
        try:
            agents[agent_id] = read_agent(agent_id, _as_table(agent_id, table))
        except InvalidAgent as invalid:
            problems += [f"{path}: agent {agent_id!r}: {problem}" for problem in invalid.problems]
    if not problems and not agents:
        problems = [f"{path}: has no agent; write one as [agents.NAME]"]
    if problems:
        raise InvalidAgents(*problems)
    return StaticCatalog(agents)


def _tables(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            text = file.read(MAX_FILE + 1)
        if len(text) > MAX_FILE:
            raise InvalidAgents(f"{path}: is larger than {MAX_FILE} bytes")
        return tomllib.loads(text.decode("utf-8-sig"))
    except OSError as error:
        raise InvalidAgents(f"RELAY_AGENTS={path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InvalidAgents(f"{path}: is not UTF-8") from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise InvalidAgents(f"{path}: is not TOML: {error}") from None


def _unknown_tables(path: Path, tables: dict[str, Any]) -> Iterator[str]:
    for key in tables:
        if key != _AGENTS:
            yield f"{path}: {key!r} is not known here; agents are written as [agents.NAME]"
    if not isinstance(tables.get(_AGENTS, {}), dict):
        yield f"{path}: {_AGENTS!r} must be a table; agents are written as [agents.NAME]"


def _as_table(agent_id: str, table: object) -> dict[str, Any]:
    if not agent_id or len(agent_id) > MAX_NAME or not agent_id.isprintable():
        raise InvalidAgent((f"its name must be printable and have 1 to {MAX_NAME} characters",))
    if not isinstance(table, dict):
        raise InvalidAgent(("must be a table",))
    return table
