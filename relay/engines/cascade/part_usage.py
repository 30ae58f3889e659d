"""Counts what the parts of a session used, by model, where a provider charges for it."""

from dataclasses import dataclass

from relay.engines.cascade.effects import Event


@dataclass(frozen=True, slots=True)
class ServedBy:
    """Says among the pieces of a result that this model makes it, not the one that was asked."""

    model: str


@dataclass(frozen=True, slots=True)
class PartModels:
    """The names of the parts' models, and of all that are billed.

    Usage is told by part where any is billed: also one that only takes over for another.
    """

    transcriber: str = ""
    responder: str = ""
    synthesizer: str = ""
    billed: frozenset[str] = frozenset()


class PartUsage:
    """What models used and no event has told yet; only those that are billed are told."""

    def __init__(self, models: PartModels) -> None:
        self.models = models
        self._used: dict[str, Event] = {}

    def count(self, model: str, **amounts: float) -> None:
        """Add what a model used: tokens, `characters`, `seconds` of speech."""
        if model in self.models.billed:
            used = self._used.setdefault(model, {})
            for name, amount in amounts.items():
                used[name] = used.get(name, 0) + amount

    def take(self) -> list[Event]:
        """Return what is to be told, one object a model, and forget it."""
        told = [
            {"model": model, **{name: round(amount, 3) for name, amount in amounts.items()}}
            for model, amounts in self._used.items()
        ]
        self._used.clear()
        return told
