"""The strands of one response: which of them speaks next, and when each is opened and ended."""

from collections import deque
from collections.abc import Sequence
from dataclasses import replace

from relay.engines.offline import mcp
from relay.engines.offline.calls import FunctionStrand, McpStrand
from relay.engines.offline.delivery import Pace
from relay.engines.offline.items import Item
from relay.engines.offline.replies import FunctionCall, McpCall, Message, Output, Weave
from relay.engines.offline.request import Request
from relay.engines.offline.strands import MessageStrand, Slot, Strand


class Weaving:
    """The strands of one response, put out in the order that its weave asks for."""

    def __init__(self, strands: Sequence[Strand], weave: Weave) -> None:
        self.strands = strands
        self._weave = weave
        self._unsaid = deque(strands)
        self._open: list[Strand] = []

    @property
    def finished(self) -> bool:
        """Tell whether all is said; some of it may still be open."""
        return not self._unsaid

    @property
    def ready(self) -> bool:
        """Tell whether the next piece is there, and no mouth is awaited for it."""
        return self._speaker is not None

    @property
    def begun(self) -> bool:
        """Tell whether anything was announced."""
        return any(strand.items for strand in self.strands)

    @property
    def items(self) -> list[Item]:
        """Return the items that were announced."""
        return [item for strand in self.strands for item in strand.items]

    @property
    def words(self) -> int:
        """Return how many words, or pieces of arguments, were sent."""
        return sum(strand.delivery.words for strand in self.strands if strand.delivery)

    @property
    def audio_bytes(self) -> int:
        """Return how much sound was sent."""
        return sum(strand.delivery.audio_bytes for strand in self.strands if strand.delivery)

    def say(self) -> float:
        """Send the next piece; returns how many seconds lie between it and the one after."""
        strand = self._speaker
        if strand is None or strand.delivery is None:
            return 0.0
        self._open_for(strand)
        for piece in strand.delivery.take():
            strand.tell(piece)
        self._unsaid.remove(strand)
        if strand.delivery.finished:
            self._finish()
        elif self._weave == "alternating":
            self._unsaid.append(strand)
        else:
            self._unsaid.appendleft(strand)
        return strand.delivery.step

    def close(self, status: str) -> None:
        """End what is open, in order; the last one always is."""
        self._close(self._open, status)

    @property
    def _speaker(self) -> Strand | None:
        """Return who speaks next, None while a mouth is awaited for it."""
        whoever = self._unsaid if self._weave == "alternating" else list(self._unsaid)[:1]
        return next((strand for strand in whoever if strand.delivery is not None), None)

    def _open_for(self, speaker: Strand) -> None:
        for strand in self.strands if self._weave == "alternating" else [speaker]:
            if not strand.items:
                strand.open()
                self._open.append(strand)

    def _finish(self) -> None:
        if self._weave == "in_turn" and self._unsaid:
            self._close(self._open, "completed")
        elif self._weave == "overlapping":
            self._close(self._open[:-1], "completed")

    def _close(self, these: list[Strand], status: str) -> None:
        for strand in list(these):
            self._open.remove(strand)
            strand.close(status)


def strands_of(
    outputs: Sequence[Output], request: Request, first: Slot, pace: Pace
) -> list[Strand]:
    """Return the strands of an answer, each in its slot from the first on."""
    strands: list[Strand] = []
    slot = first
    for output in outputs:
        match output:
            case Message():
                strands.append(MessageStrand(slot, output, request.spoken, pace))
            case FunctionCall():
                strands.append(FunctionStrand(slot, output, pace))
            case McpCall():
                asks = mcp.needs_approval(request.tools, output.server_label, output.name)
                following = replace(slot, index=slot.index + 1)
                strands.append(McpStrand(slot, output, pace, following if asks else None))
                slot = following if asks else slot
        slot = replace(slot, index=slot.index + 1)
    return strands
