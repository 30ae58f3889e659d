"""What one client has been sent of the model's sound, and how much of it was heard by now."""

import math
from collections import deque
from dataclasses import dataclass
from typing import Final, Protocol

from relay.realtime.events import Frame

START_SECONDS: Final = 0.1
"""Until a player that ran dry is heard again: the network and a jitter buffer."""

_ROUNDING: Final = 0.001  # heard lengths are whole milliseconds
_MAX_ITEMS: Final = 1_000  # whose heard lengths are remembered; the eldest are forgotten


@dataclass(frozen=True, slots=True)
class HeardAudio:
    """How much of an item was heard: `ms` of `of_ms`; `exact` by the client's own clock."""

    item_id: str
    ms: int
    of_ms: int
    exact: bool


@dataclass(slots=True)
class _Item:
    """One item's sound: how much there is and was sent, how much is over, what the client said."""

    all_ms: int = 0
    sent_ms: int = 0
    over_ms: int = 0  # played out for sure: spans that ended
    said_ms: int | None = None
    said_at: float = 0.0


@dataclass(slots=True)
class _Span:
    """Sound that is played without a gap."""

    item_id: str
    start: float
    ms: int

    @property
    def end(self) -> float:
        return self.start + self.ms / 1000


class Playback(Protocol):
    """What is known of the client's player."""

    def heard(self, item_id: str, now: float) -> HeardAudio:
        """How much of the item was heard by now."""

    def ended(self, item_id: str, now: float) -> bool:
        """Whether all that was sent of the item has been heard."""

    def ends_at(self, item_id: str) -> float:
        """When that will be so."""


class Playout:
    """A model of the client's player: sound is heard in the order sent, in real time.

    The model sends several times faster than it is heard (WIRE §2), so what was sent says little of
    what was heard. Times are seconds of one clock, lengths ms.
    """

    def __init__(self) -> None:
        self._items: dict[str, _Item] = {}
        self._spans: list[_Span] = []

    def came(self, item_id: str, ms: int) -> None:
        """So much sound of an item came from the engine; it goes out now or later."""
        if item_id not in self._items:
            self._forget()
        self._items.setdefault(item_id, _Item()).all_ms += ms

    def sent(self, item_id: str, ms: int, now: float) -> None:
        """So much of it went out to the client."""
        item = self._items.get(item_id)
        if ms <= 0 or item is None:
            return
        self._fold(now)
        item.sent_ms += ms
        last = self._spans[-1] if self._spans else None
        if last is not None and last.item_id == item_id:
            last.ms += ms
        else:
            start = last.end if last is not None else now + START_SECONDS
            self._spans.append(_Span(item_id, start, ms))

    def played(self, item_id: str, played_ms: int, now: float) -> None:
        """The client's own clock: so much of the item was played by now (`relay.playback`)."""
        item = self._items.get(item_id)
        if item is not None:
            item.said_ms, item.said_at = min(max(played_ms, 0), item.sent_ms), now

    def heard(self, item_id: str, now: float) -> HeardAudio:
        """How much of the item was heard by now."""
        item = self._items.get(item_id, _Item())
        if item.said_ms is not None:
            ms = item.said_ms + max(0.0, now - item.said_at) * 1000
            return HeardAudio(item_id, min(round(ms), item.sent_ms), item.all_ms, exact=True)
        ms = item.over_ms + sum(_heard_of(s, now) for s in self._spans if s.item_id == item_id)
        return HeardAudio(item_id, min(round(ms), item.sent_ms), item.all_ms, exact=False)

    def ended(self, item_id: str, now: float) -> bool:
        """Whether all there is of the item has been heard; True for one without sound."""
        item = self._items.get(item_id)
        return item is None or self.heard(item_id, now).ms >= item.all_ms

    def is_playing(self, item_id: str) -> bool:
        """Whether the item stands in the player; one that ended a moment ago may still count."""
        return any(span.item_id == item_id for span in self._spans)

    def ends_at(self, item_id: str) -> float:
        """When all of the item will have been heard, as far as it was sent."""
        item = self._items.get(item_id)
        if item is None:
            return 0.0
        if item.sent_ms < item.all_ms:
            return math.inf
        if item.said_ms is not None:
            return item.said_at + (item.sent_ms - item.said_ms) / 1000 + _ROUNDING
        ends = [span.end for span in self._spans if span.item_id == item_id]
        return ends[-1] + _ROUNDING if ends else 0.0

    def interrupt(self, now: float) -> list[HeardAudio]:
        """The player is flushed: what was cut, in the order it would have been heard."""
        self._fold(now)
        names = dict.fromkeys(span.item_id for span in self._spans)
        held = [name for name, item in self._items.items() if item.sent_ms < item.all_ms]
        cut = [self.heard(name, now) for name in dict.fromkeys((*names, *held))]
        self._spans.clear()
        for heard in cut:
            item = self._items[heard.item_id]
            item.over_ms, item.said_ms = heard.ms, None
            item.sent_ms = item.all_ms = heard.ms
        return [heard for heard in cut if heard.ms < heard.of_ms]

    def short_at(self, lead_ms: int) -> float:
        """From when on the client has at most so much sound that it has not heard yet."""
        return self._spans[-1].end - lead_ms / 1000 if self._spans else 0.0

    def _fold(self, now: float) -> None:
        while self._spans and self._spans[0].end <= now:
            span = self._spans.pop(0)
            self._items[span.item_id].over_ms += span.ms

    def _forget(self) -> None:
        if len(self._items) >= _MAX_ITEMS:
            playing = {span.item_id for span in self._spans}
            eldest = next((name for name in self._items if name not in playing), None)
            if eldest is not None:
                del self._items[eldest]


def _heard_of(span: _Span, now: float) -> float:
    return min(max(0.0, (now - span.start) * 1000), span.ms)


class AtOnce:
    """A player that has heard everything the moment it is sent: for recordings, which have none."""

    def heard(self, item_id: str, now: float) -> HeardAudio:
        """All of nothing."""
        return HeardAudio(item_id, 0, 0, exact=True)

    def ended(self, item_id: str, now: float) -> bool:
        """Always."""
        return True

    def ends_at(self, item_id: str) -> float:
        """Long ago."""
        return 0.0


# ---- How much of an answer was heard, as text.

MS_PER_CHARACTER: Final = 65  # of speech, where the sound itself went another way (WIRE §2)


def heard_text(text: str, heard_ms: int | None, audio_ms: int) -> str:
    """The whole words of `text` that fit in `heard_ms` of its `audio_ms`; all when not cut.

    Speech has no aligned text on this wire, so this goes by ratio (PROTOCOL §5.4). `audio_ms` 0
    means that no sound came this way, and then its length is guessed from the text.
    """
    if heard_ms is None:
        return text
    length = audio_ms or len(text) * MS_PER_CHARACTER
    if heard_ms >= length:
        return text
    end = max(0, round(len(text) * heard_ms / length))
    if not text[end : end + 1].isspace():
        end = text.rfind(" ", 0, end) + 1
    return text[:end].rstrip()


# ---- Sound held back so that a client never has more of it than a bounded lead.

HELD_BYTES: Final = 8 * 1024 * 1024  # two minutes of sound; beyond it everything is sent at once


@dataclass(frozen=True, slots=True)
class _Held:
    """One frame that waits; `ms` is 0 and `item_id` empty for what is no sound."""

    frame: bytes
    item_id: str
    ms: int


class Pacing:
    """Keeps frames in order: whatever comes behind held sound waits with it.

    An interruption then flushes what was not sent yet, also at clients that know nothing of it.
    Times are seconds of one clock.
    """

    def __init__(self, playout: Playout, lead_ms: int) -> None:
        self._playout = playout
        self._lead_ms = lead_ms
        self._held: deque[_Held] = deque()
        self._bytes = 0

    @property
    def is_holding(self) -> bool:
        """Whether anything waits."""
        return bool(self._held)

    def sound(self, frame: Frame, item_id: str, ms: int, now: float) -> list[Frame]:
        """Sound comes: what may be sent now."""
        self._hold(_Held(bytes(frame), item_id, ms))
        return self.due(now)

    def other(self, frame: Frame, now: float) -> list[Frame]:
        """Anything else comes: it is sent now unless it stands behind held sound."""
        if not self._held:
            return [frame]
        self._hold(_Held(bytes(frame), "", 0))
        return self.due(now)

    def due(self, now: float) -> list[Frame]:
        """What may be sent by now."""
        free: list[Frame] = []
        while self._held and (self._bytes > HELD_BYTES or self._may_go(now)):
            held = self._held.popleft()
            self._bytes -= len(held.frame)
            self._playout.sent(held.item_id, held.ms, now)
            free.append(held.frame)
        return free

    def next(self) -> float:
        """When something more may be sent; infinity when nothing waits."""
        return self._playout.short_at(self._lead_ms) if self._held else float("inf")

    def flush(self) -> list[Frame]:
        """The sound that waits is dropped, the rest may be sent now."""
        rest: list[Frame] = [held.frame for held in self._held if not held.ms]
        self._held.clear()
        self._bytes = 0
        return rest

    def _hold(self, held: _Held) -> None:
        self._held.append(held)
        self._bytes += len(held.frame)

    def _may_go(self, now: float) -> bool:
        return not self._held[0].ms or now >= self._playout.short_at(self._lead_ms)
