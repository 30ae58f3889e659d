"""The prices that RELAY_PRICES adds to the table, and agents whose budget nobody could charge."""

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

from relay.agents.agent import Agents, ListedAgents
from relay.realtime.billing.pricing import Prices
from relay.settings.names import Settings


class BadPrices(Exception):  # noqa: N818 - a mistake in what somebody wrote, told to them
    """A file that holds no prices one can start with; its text is one line."""


def priced(path: Path | None) -> Prices:
    """The table of prices with the file's rows over it; raises `BadPrices`."""
    if path is None:
        return Prices()
    try:
        rows = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadPrices(f"RELAY_PRICES={path} cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadPrices(f"{path}: not TOML: {error}") from None
    for model, row in rows.items():
        if not isinstance(row, Mapping):
            raise BadPrices(f"{path}: {model}: write a table, as in [{model!r}]")
    try:
        return Prices(rows)
    except ValueError as error:
        raise BadPrices(f"{path}: {error}") from None


def unpriced(settings: Settings, agents: Agents, prices: Prices) -> Iterator[str]:
    """Name each agent with a budget whose model or whose writer-down has no price."""
    if settings.relay_engine != "openai" or not isinstance(agents, ListedAgents):
        return
    for agent_id, agent in agents.all.items():
        model = agent.offer.model or settings.openai_realtime_model
        for name in (model, settings.openai_transcription_model):
            if agent.offer.bounds.is_budgeted and prices.find(name) is None:
                yield f"agent {agent_id!r} has a budget, but {name} has no price: see RELAY_PRICES"
