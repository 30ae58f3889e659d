"""Counts what the parts of a session used, by model, where a provider charges for it."""

from dataclasses import dataclass

from relay.engines.cascade.effects import Event
from relay.engines.cascade.items import characters_as_tokens, request_tokens
from relay.parts.interfaces import ReplyRequest, TokenUsage


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


class ReplyTokens:
    """The tokens of one response's reply, and of those that broke off before another took over.

    `model` is who replies. What its provider has not counted is estimated from the characters.
    """

    def __init__(self, model: str) -> None:
        self.model = model
        self._asked: ReplyRequest | None = None
        self._counted: TokenUsage | None = None
        self._received = 0
        self._ended = False
        self._broken_off: list[tuple[str, TokenUsage]] = []

    def ask(self, request: ReplyRequest) -> None:
        """Note what the model is asked."""
        self._asked = request

    def receive(self, characters: int) -> None:
        """Note what the model wrote."""
        self._received += characters

    def count(self, tokens: TokenUsage) -> None:
        """Note what its provider counted."""
        self._counted = tokens

    def start_over(self, model: str) -> None:
        """Keep what was used so far: this model replies from now on."""
        if (used := self._used) is not None:
            self._broken_off.append((self.model, used))
        self.model, self._counted, self._received = model, None, 0

    def end(self) -> None:
        """Note the end of the reply: a request that failed before it brought anything is free."""
        self._ended = True

    @property
    def by_model(self) -> list[tuple[str, TokenUsage]]:
        """Return who used what, in their order."""
        used = self._used
        return self._broken_off if used is None else [*self._broken_off, (self.model, used)]

    @property
    def counted(self) -> TokenUsage | None:
        """Return all of them where a provider counted, or some broke off; else None."""
        if self._counted is None and not self._broken_off:
            return None
        return sum((tokens for _, tokens in self.by_model), TokenUsage(0, 0))

    @property
    def _used(self) -> TokenUsage | None:
        if self._counted is not None or self._asked is None:
            return self._counted
        if self._ended and not self._received:
            return None
        return TokenUsage(request_tokens(self._asked), characters_as_tokens(self._received))
