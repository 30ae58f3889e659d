"""The agents of a TOML file: read once, at the start."""

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from relay.access.agent_table import BadAgent, read_agent
from relay.access.agents import Agent, ListedAgents
from relay.access.grants import MAX_NAME

MAX_FILE: Final = 16 * 1024 * 1024  # bytes; a thousand agents of the longest instructions fit
_AGENTS: Final = "agents"


class BadAgents(Exception):  # noqa: N818 - mistakes in what somebody wrote, told to them
    """A file that holds no agents one can start with; `problems` says each in one line."""

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def load_agents(path: Path) -> ListedAgents:
    """The agents of a file; raises `BadAgents` with everything that is wrong in it."""
    tables = _tables(path)
    agents: dict[str, Agent] = {}
    problems = list(_misplaced(path, tables))
    written = tables.get(_AGENTS)
    for agent_id, table in written.items() if isinstance(written, dict) else ():
        try:
            agents[agent_id] = read_agent(agent_id, _as_table(agent_id, table))
        except BadAgent as bad:
            problems += [f"{path}: agent {agent_id!r}: {problem}" for problem in bad.problems]
    if not problems and not agents:
        problems = [f"{path}: has no agent; write one as [agents.NAME]"]
    if problems:
        raise BadAgents(*problems)
    return ListedAgents(agents)


def _tables(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            text = file.read(MAX_FILE + 1)
        if len(text) > MAX_FILE:
            raise BadAgents(f"{path}: is larger than {MAX_FILE} bytes")
        return tomllib.loads(text.decode("utf-8-sig"))
    except OSError as error:
        raise BadAgents(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise BadAgents(f"{path}: is not UTF-8") from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise BadAgents(f"{path}: is no TOML: {error}") from None


def _misplaced(path: Path, tables: dict[str, Any]) -> Iterator[str]:
    for key in tables:
        if key != _AGENTS:
            yield f"{path}: {key!r} is not known here; agents are written as [agents.NAME]"
    if not isinstance(tables.get(_AGENTS, {}), dict):
        yield f"{path}: {_AGENTS!r} must be a table; agents are written as [agents.NAME]"


def _as_table(agent_id: str, table: object) -> dict[str, Any]:
    if not agent_id or len(agent_id) > MAX_NAME or not agent_id.isprintable():
        raise BadAgent((f"its name must be printable and have 1 to {MAX_NAME} characters",))
    if not isinstance(table, dict):
        raise BadAgent(("must be a table",))
    return table
