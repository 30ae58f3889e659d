"""Models what a client's player has played of the model's audio, and paces what it is sent."""

import math
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, Protocol

from relay.realtime.events import Frame

START_SECONDS: Final = 0.1
"""From sending audio to an idle player until it is heard: the network and a jitter buffer."""

MS_PER_CHARACTER: Final = 65
"""Length of a character of speech, where the audio itself took another way (WIRE §2)."""

HELD_BYTES: Final = 8 * 1024 * 1024
"""Two minutes of audio; beyond it pacing stops and everything is sent at once."""

_OF_ANSWERS: Final = ("response.", "rate_limits.")
"""What the types of an answer's events begin with, and of the one that follows its end."""

_ROUNDING: Final = 0.001  # heard lengths are whole milliseconds
_MAX_ITEMS: Final = 1_000  # items whose heard length is remembered; the oldest are forgotten


@dataclass(frozen=True, slots=True)
class HeardAudio:
    """How much of an item was heard: `ms` of `of_ms`; `exact` if the client reported it."""

    item_id: str
    ms: int
    of_ms: int
    exact: bool


class Playback(Protocol):
    """What the transcript asks of a player. Times are seconds of one clock."""

    def heard(self, item_id: str, now: float) -> HeardAudio:
        """How much of the item has been heard by now."""

    def ended(self, item_id: str, now: float) -> bool:
        """Whether all of the item's audio has been heard."""

    def heard_nothing(self, item_id: str) -> bool:
        """Whether it is certain that no audio of the item was played."""

    def ends_at(self, item_id: str) -> float:
        """When all of the item's audio will have been heard."""


class Playout:
    """A model of the client's player: audio is heard in the order sent, in real time.

    The model sends several times faster than real time (WIRE §2), so what was sent says little
    about what was heard. Times are seconds of one clock, lengths ms.
    """

    def __init__(self) -> None:
        self._items: dict[str, _Item] = {}
        self._spans: list[_Span] = []  # sent and not known to be played out

    def received(self, item_id: str, ms: int) -> None:
        """Count audio of an item that came from the engine; it is sent now or later."""
        item = self._items.get(item_id)
        if item is None:
            self._forget_oldest()
            item = self._items[item_id] = _Item()
        if not item.is_cut:
            item.all_ms += ms

    def sent(self, item_id: str, ms: int, now: float) -> None:
        """Count audio of an item that was sent to the client."""
        item = self._items.get(item_id)
        if ms <= 0 or item is None or item.is_cut:
            return
        self._retire_played(now)
        item.sent_ms += ms
        last = self._spans[-1] if self._spans else None
        if last is not None and last.item_id == item_id:
            last.ms += ms
        else:
            start = last.end if last is not None else now + START_SECONDS
            self._spans.append(_Span(item_id, start, ms))

    def played(self, item_id: str, played_ms: int, now: float) -> None:
        """Take the client's own report of how much of an item it has played (`relay.playback`)."""
        item = self._items.get(item_id)
        if item is not None:
            item.reported_ms, item.reported_at = min(max(played_ms, 0), item.sent_ms), now

    def heard(self, item_id: str, now: float) -> HeardAudio:
        """How much of the item has been heard by now."""
        item = self._items.get(item_id, _Item())
        if item.reported_ms is not None:
            ms = item.reported_ms + max(0.0, now - item.reported_at) * 1000
            return HeardAudio(item_id, min(round(ms), item.sent_ms), item.all_ms, exact=True)
        ms = item.played_ms + sum(s.played_ms(now) for s in self._spans if s.item_id == item_id)
        return HeardAudio(item_id, min(round(ms), item.sent_ms), item.all_ms, exact=False)

    def ended(self, item_id: str, now: float) -> bool:
        """Whether all of the item's audio has been heard; True for one without audio."""
        item = self._items.get(item_id)
        return item is None or self.heard(item_id, now).ms >= item.all_ms

    def heard_nothing(self, item_id: str) -> bool:
        """Whether no audio of the item was ever sent."""
        return item_id not in self._items or self._items[item_id].sent_ms == 0

    def is_playing(self, item_id: str) -> bool:
        """Whether the player holds audio of the item; one that just ended may still count."""
        return any(span.item_id == item_id for span in self._spans)

    def ends_at(self, item_id: str) -> float:
        """When all of the item will have been heard; infinity while some of it is not sent."""
        item = self._items.get(item_id)
        if item is None:
            return 0.0
        if item.sent_ms < item.all_ms:
            return math.inf
        if item.reported_ms is not None:
            return item.reported_at + (item.sent_ms - item.reported_ms) / 1000 + _ROUNDING
        ends = [span.end for span in self._spans if span.item_id == item_id]
        return ends[-1] + _ROUNDING if ends else 0.0

    def interrupt(self, now: float) -> list[HeardAudio]:
        """Flush the player; returns the items that it cut, in the order they would have played.

        Audio of theirs that was on its way is played no more.
        """
        self._retire_played(now)
        playing = dict.fromkeys(span.item_id for span in self._spans)
        held_back = [name for name, item in self._items.items() if item.sent_ms < item.all_ms]
        cut = [self.heard(name, now) for name in dict.fromkeys((*playing, *held_back))]
        self._spans.clear()
        for heard in cut:
            item = self._items[heard.item_id]
            item.played_ms, item.reported_ms = heard.ms, None
            item.sent_ms = item.all_ms = heard.ms
            item.is_cut = True
        return [heard for heard in cut if heard.ms < heard.of_ms]

    def lead_ends_at(self, lead_ms: int) -> float:
        """When the client will be left with at most `lead_ms` of audio that it has not played."""
        return self._spans[-1].end - lead_ms / 1000 if self._spans else 0.0

    def _retire_played(self, now: float) -> None:
        while self._spans and self._spans[0].end <= now:
            span = self._spans.pop(0)
            self._items[span.item_id].played_ms += span.ms

    def _forget_oldest(self) -> None:
        if len(self._items) >= _MAX_ITEMS:
            playing = {span.item_id for span in self._spans}
            oldest = next((name for name in self._items if name not in playing), None)
            if oldest is not None:
                del self._items[oldest]


@dataclass(slots=True)
class _Item:
    """One item's audio in ms: all of it, sent, played in spans that ended, reported as played."""

    all_ms: int = 0
    sent_ms: int = 0
    played_ms: int = 0
    reported_ms: int | None = None
    reported_at: float = 0.0
    is_cut: bool = False


@dataclass(slots=True)
class _Span:
    """Audio of one item that is played without a gap."""

    item_id: str
    start: float
    ms: int

    @property
    def end(self) -> float:
        return self.start + self.ms / 1000

    def played_ms(self, now: float) -> float:
        return min(max(0.0, (now - self.start) * 1000), self.ms)


class InstantPlayback:
    """A player that has heard everything as soon as it is sent: for recordings, which have none."""

    def heard(self, item_id: str, now: float) -> HeardAudio:
        """All of no audio."""
        return HeardAudio(item_id, 0, 0, exact=True)

    def ended(self, item_id: str, now: float) -> bool:
        """Always True."""
        return True

    def heard_nothing(self, item_id: str) -> bool:
        """Always False: audio may have taken another way than the recording."""
        return False

    def ends_at(self, item_id: str) -> float:
        """Always in the past."""
        return 0.0


def cut_to_heard(text: str, heard_ms: int | None, audio_ms: int) -> str:
    """The whole words of `text` that fit in `heard_ms` of its `audio_ms`; all when not cut.

    This API does not align text with audio, so the cut goes by ratio (PROTOCOL §5.4). `audio_ms`
    is 0 where the audio did not pass the relay; its length is then estimated from the text.
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


class Pacing:
    """Holds audio back so that the client never has more of it than a bounded lead.

    An interruption then drops what was not sent, even where the client does not flush its player.
    What belongs to an answer (`response.…`) stays in order with its audio and waits behind it, and
    the kinds `after_playback` wait until it has been heard; anything else is sent at once. Times
    are seconds of one clock.
    """

    def __init__(
        self, playout: Playout, lead_ms: int, after_playback: Collection[str] = ()
    ) -> None:
        self._playout = playout
        self._lead_ms = lead_ms
        self._after_playback = after_playback
        self._held: deque[_HeldFrame] = deque()
        self._bytes = 0

    @property
    def size(self) -> int:
        """Bytes of the frames that wait."""
        return self._bytes

    @property
    def is_holding(self) -> bool:
        """Whether any frame waits."""
        return bool(self._held)

    def push_audio(self, frame: Frame, item_id: str, ms: int, now: float) -> list[Frame]:
        """Queue a frame of audio; returns the frames to send now."""
        self._hold(_HeldFrame(bytes(frame), item_id, ms, self._lead_ms))
        return self.due(now)

    def push_other(self, frame: Frame, kind: str, now: float) -> list[Frame]:
        """Queue any other event of this type where it has to wait; returns the frames to send."""
        if kind in self._after_playback:
            self._hold(_HeldFrame(bytes(frame), "", 0, 0, kind))
            return self.due(now)
        if not self._held or not kind.startswith(_OF_ANSWERS):
            return [frame]
        self._hold(_HeldFrame(bytes(frame), "", 0, None))
        return self.due(now)

    def due(self, now: float) -> list[Frame]:
        """Take out the frames to send by now."""
        free: list[Frame] = []
        while self._held and (
            self._bytes > HELD_BYTES or now >= self._may_be_sent_at(self._held[0])
        ):
            held = self._held.popleft()
            self._bytes -= len(held.frame)
            self._playout.sent(held.item_id, held.ms, now)
            free.append(held.frame)
        return free

    def next(self) -> float:
        """When the next frame may be sent; infinity when none waits."""
        return self._may_be_sent_at(self._held[0]) if self._held else math.inf

    def withdraw(self, kind: str) -> None:
        """Drop the held events of this type, which is among `after_playback`."""
        self._held = deque(held for held in self._held if held.kind != kind)
        self._bytes = sum(len(held.frame) for held in self._held)

    def flush(self) -> list[Frame]:
        """Drop the held audio; returns the other frames, to send now."""
        others: list[Frame] = [held.frame for held in self._held if not held.ms]
        self._held.clear()
        self._bytes = 0
        return others

    def _hold(self, held: "_HeldFrame") -> None:
        self._held.append(held)
        self._bytes += len(held.frame)

    def _may_be_sent_at(self, held: "_HeldFrame") -> float:
        return 0.0 if held.lead_ms is None else self._playout.lead_ends_at(held.lead_ms)


@dataclass(frozen=True, slots=True)
class _HeldFrame:
    """A frame that waits until the client has no more than `lead_ms` of audio left to play.

    None: it waits only for the frames before it. One that is not audio has an empty `item_id` and
    no `ms`; `kind` is the type of one that waits until what plays has been heard.
    """

    frame: bytes
    item_id: str
    ms: int
    lead_ms: int | None
    kind: str = ""
