"""One agent as it is written down, in a file or in a row: strictly read, every mistake named."""

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

from relay.agents.agent import MAX_NAME, Agent, StaticCatalog, plain_agent
from relay.realtime.client_encoder import HIDEABLE
from relay.realtime.client_policy import LOCKABLE
from relay.realtime.grant import HIDDEN, Bounds, ServerTool

_MODEL: Final = r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,127}"
_TOOL_NAME: Final = r"^[A-Za-z0-9_-]{1,64}$"  # as the Realtime API wants it
_HEADER: Final = r"^[A-Za-z0-9-]{1,64}$"
_ENTRY_POINT: Final = r"^[A-Za-z_][A-Za-z0-9_.]*:[A-Za-z_][A-Za-z0-9_]*$"
_VARIABLE: Final = r"^[A-Z_][A-Z0-9_]{0,127}$"
_MAX_TEXT: Final = 65_536  # characters of instructions: some 16,000 tokens, half a model's context
_MAX_LIST: Final = 128  # the Realtime API's own bound of tools
_MAX_SUBS: Final = 10_000
_SETTABLE: Final = frozenset({"model", "voice", "instructions", "tools", "output_modalities"})

Schema = dict[str, JsonValue]
Seconds = Annotated[float, Field(gt=0, le=86_400)]
Dollars = Annotated[float, Field(gt=0, le=1_000_000)]
ToolName = Annotated[str, Field(pattern=_TOOL_NAME)]


# TOML has types of its own, so nothing is guessed: "5" is no number and 5 no text.
_STRICT: Final = ConfigDict(extra="forbid", strict=True, frozen=True)


def _no_parameters() -> Schema:
    return {"type": "object", "properties": {}}


def _names(known: frozenset[str]) -> AfterValidator:
    def check(names: list[str]) -> list[str]:
        for name in names:
            if name not in known:
                raise ValueError(f"'{name}' is none of {', '.join(sorted(known))}")
        return names

    return AfterValidator(check)


class ToolConfig(BaseModel):
    """A function that the client carries out."""

    model_config = _STRICT

    type: Literal["function"] = "function"
    name: ToolName
    description: str = Field(default="", max_length=_MAX_TEXT)
    parameters: Schema = Field(default_factory=_no_parameters)


class ServerToolConfig(BaseModel):
    """A function that runs here."""

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
    """How much of it there is."""

    model_config = _STRICT

    session_seconds: Seconds | None = None
    idle_seconds: Seconds | None = None
    max_output_tokens: int | None = Field(default=None, ge=1, le=1_000_000)
    budget_usd_per_day: Dollars | None = None
    budget_usd_per_user_per_day: Dollars | None = None


class AgentConfig(BaseModel):
    """What an agent may set; `docs/agents.md` explains it to people."""

    model_config = _STRICT

    model: str | None = Field(default=None, pattern=f"^{_MODEL}$")
    voice: str | None = Field(default=None, pattern=r"^[A-Za-z0-9._-]{1,128}$")
    instructions: str | None = Field(default=None, min_length=1, max_length=_MAX_TEXT)
    tools: list[ToolConfig] | None = Field(default=None, max_length=_MAX_LIST)
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
    limits: AgentLimits = AgentLimits()

    @model_validator(mode="after")
    def _is_one_will(self) -> Self:
        unset = [name for name in self.open if getattr(self, name) is None]
        if unset:
            raise ValueError(f"open names '{unset[0]}', which this agent does not set")
        both = set(self.open) & set(self.locked)
        if both:
            raise ValueError(f"'{min(both)}' is both open and locked")
        names = [tool.name for tool in self.tools or ()] + list(self.server_tools)
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise ValueError(f"two tools have the name '{min(twice)}'")
        return self


class InvalidAgent(Exception):  # noqa: N818 - a mistake in what somebody wrote, told to them
    """An agent that is not written as it should be; `problems` is each as key and reason."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


def read_agent(agent_id: str, table: Mapping[str, Any]) -> Agent:
    """One agent from its table or row; raises `InvalidAgent` with every mistake in it."""
    try:
        written = AgentConfig.model_validate(dict(table))
    except ValidationError as error:
        raise InvalidAgent(tuple(_told(error))) from None
    return _agent(agent_id, written)


def _agent(agent_id: str, written: AgentConfig) -> Agent:
    plain = plain_agent(agent_id)
    tools, modalities, bounds = written.tools, written.output_modalities, _bounds(written)
    # Where money counts, nobody may have users written down by a dearer or an unpriced model.
    locks = {*written.locked, "transcription"} if bounds.is_budgeted else set(written.locked)
    offer = dataclasses.replace(
        plain.offer,
        model=written.model,
        voice=written.voice,
        instructions=written.instructions,
        tools=None if tools is None else tuple(tool.model_dump() for tool in tools),
        output_modalities=None if modalities is None else tuple(modalities),
        server_tools=tuple(
            ServerTool(name=name, **tool.model_dump())
            for name, tool in written.server_tools.items()
        ),
        greeting=written.greeting,
        open=frozenset(written.open),
        locks=frozenset(locks),
        hidden=frozenset(written.hidden),
        bounds=bounds,
        store_text=written.store_text,
    )
    return Agent(offer, frozenset(written.roles or ()), frozenset(written.subs or ()))


def _bounds(written: AgentConfig) -> Bounds:
    limits = written.limits
    return Bounds(
        session_seconds=limits.session_seconds,
        idle_seconds=limits.idle_seconds,
        max_output_tokens=limits.max_output_tokens,
        pace_ms=written.pace_ms,
        budget_micro=_micro(limits.budget_usd_per_day),
        user_budget_micro=_micro(limits.budget_usd_per_user_per_day),
    )


def _micro(dollars: float | None) -> int | None:
    return None if dollars is None else round(dollars * 1_000_000)


def _told(error: ValidationError) -> Iterator[str]:
    for one in error.errors(include_url=False, include_input=False):
        where = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in one["loc"])
        if one["type"] == "extra_forbidden":
            yield f"{where[1:]}: is not known here{_hint(str(one['loc'][-1]))}"
        else:
            reason = one["msg"].removeprefix("Value error, ").removeprefix("Input ")
            yield f"{where[1:]}: {reason}" if where else reason


def _hint(key: str) -> str:
    tables = (AgentConfig, AgentLimits, ServerToolConfig, ToolConfig)
    known = [name for table in tables for name in table.model_fields]
    close = difflib.get_close_matches(key, known, n=1)
    return f"; did you mean {close[0]}?" if close and close[0] != key else ""


# ---- The agents of a TOML file: read once, at the start.

MAX_FILE: Final = 16 * 1024 * 1024  # bytes; a thousand agents of the longest instructions fit
_AGENTS: Final = "agents"


class InvalidAgents(Exception):  # noqa: N818 - mistakes in what somebody wrote, told to them
    """A file that holds no agents one can start with; `problems` says each in one line."""

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def load_agents(path: Path) -> StaticCatalog:
    """The agents of a file; raises `InvalidAgents` with everything that is wrong in it."""
    tables = _tables(path)
    agents: dict[str, Agent] = {}
    problems = list(_misplaced(path, tables))
    written = tables.get(_AGENTS)
    for agent_id, table in written.items() if isinstance(written, dict) else ():
        try:
            agents[agent_id] = read_agent(agent_id, _as_table(agent_id, table))
        except InvalidAgent as bad:
            problems += [f"{path}: agent {agent_id!r}: {problem}" for problem in bad.problems]
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
        raise InvalidAgents(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InvalidAgents(f"{path}: is not UTF-8") from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise InvalidAgents(f"{path}: is no TOML: {error}") from None


def _misplaced(path: Path, tables: dict[str, Any]) -> Iterator[str]:
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
