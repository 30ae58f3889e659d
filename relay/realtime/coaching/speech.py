"""A coach's voice in one session: heard as an ordinary answer, written down, told to the model."""

from collections import deque
from collections.abc import Callable
from enum import Enum
from math import inf
from operator import mul
from typing import Any, Final

from relay.realtime.client_encoder import ClientEncoder
from relay.realtime.coaching.items import BYTES_PER_MS, CoachItems, CoachTurn
from relay.realtime.effects import (
    Effect,
    PlayCoachAudio,
    RecordUtterance,
    RuleOutcome,
    ToClient,
    ToEngine,
    TranscribeCoachAudio,
)
from relay.realtime.events import AUDIO_DELTA, SPEECH_STARTED, BadEvent, Event, encode
from relay.realtime.playout import HeardAudio, cut_to_heard
from relay.realtime.requests import RequestTracker
from relay.realtime.transcript import Transcript

# ---- Where speech begins and ends in a stream of PCM16: an energy gate with a pre-roll; pure.

WINDOW_MS: Final = 20
WINDOW_BYTES: Final = 960  # of PCM16 mono 24 kHz
LOUD: Final = 400
"""Root mean square of a window that may be speech: -38 dB of full scale, above a quiet room."""
STARTS_WINDOWS: Final = 2  # a click is shorter
PRE_ROLL_WINDOWS: Final = 10  # 200 ms: the soft beginning of a word
HANG_WINDOWS: Final = 35  # 700 ms: a pause within a sentence is shorter
HANG_SECONDS: Final = HANG_WINDOWS * WINDOW_MS / 1000
MOST_WINDOWS: Final = 3000  # one minute: a turn that never ends would never be written down


class VoiceEdge(Enum):
    """Speech begins, speech ends."""

    BEGIN = "begin"
    END = "end"


class EnergyVad:
    """Cuts a stream into turns. Its clock is the sound itself, and the wall where none comes."""

    def __init__(self) -> None:
        self._rest = b""
        self._before: deque[bytes] = deque(maxlen=PRE_ROLL_WINDOWS)
        self._loud = 0  # windows in a row
        self._quiet = 0
        self._length = 0
        self._heard_at = 0.0
        self.is_open = False

    def feed(self, pcm: bytes, now: float) -> list[VoiceEdge | bytes]:
        """The next piece of sound, at `now` seconds: the edges in it, and the sound of speech."""
        if now >= self._heard_at + HANG_SECONDS:
            self._forget()  # another stream, for all that is known
        self._heard_at = now
        sound = self._rest + pcm
        whole = len(sound) // WINDOW_BYTES * WINDOW_BYTES
        self._rest = sound[whole:]
        found: list[VoiceEdge | bytes] = []
        for start in range(0, whole, WINDOW_BYTES):
            found += self._window(sound[start : start + WINDOW_BYTES])
        return _joined(found)

    def due(self, now: float) -> bool:
        """Whether an open turn is over because nothing comes any more."""
        return self.is_open and now >= self.next()

    def next(self) -> float:
        """When to ask `due`; infinity when no turn is open."""
        return self._heard_at + HANG_SECONDS if self.is_open else inf

    def close(self) -> None:
        """The turn is over, whatever is being said; what follows may begin another one."""
        self.is_open = False
        self._loud = self._quiet = self._length = 0
        self._before.clear()

    def _forget(self) -> None:
        """What came before stands in no connection with what comes."""
        self._rest = b""
        self._before.clear()

    def _window(self, window: bytes) -> list[VoiceEdge | bytes]:
        loud = _is_loud(window)
        self._loud = self._loud + 1 if loud else 0
        self._quiet = 0 if loud else self._quiet + 1
        if not self.is_open:
            self._before.append(window)
            return self._opened() if self._loud >= STARTS_WINDOWS else []
        self._length += 1
        if self._quiet < HANG_WINDOWS and self._length < MOST_WINDOWS:
            return [window]
        self.close()
        return [window, VoiceEdge.END]

    def _opened(self) -> list[VoiceEdge | bytes]:
        found: list[VoiceEdge | bytes] = [VoiceEdge.BEGIN, *self._before]
        self.is_open = True
        self._length = len(self._before)
        self._before.clear()
        return found


def _is_loud(window: bytes) -> bool:
    samples: list[int] = memoryview(window).cast("h").tolist()
    power: int = sum(map(mul, samples, samples))
    return power > LOUD * LOUD * len(samples)


def _joined(found: list[VoiceEdge | bytes]) -> list[VoiceEdge | bytes]:
    """Windows of one piece in a row become one piece of sound."""
    joined: list[VoiceEdge | bytes] = []
    for piece in found:
        if isinstance(piece, bytes) and joined and isinstance(joined[-1], bytes):
            joined[-1] += piece
        else:
            joined.append(piece)
    return joined


WORDS_SECONDS: Final = 3.0
"""How long an answer's end waits for its words; later ones follow by themselves."""
MOST_UNKNOWN: Final = 64
"""Turns whose words may still come; those of an earlier one are lost."""
_TRUNCATE: Final = "conversation.item.truncate"
_CANCEL: Final = "response.cancel"
_ABOUT_ITEM: Final = frozenset(
    {_TRUNCATE, "conversation.item.retrieve", "conversation.item.delete"}
)
_NONE_ACTIVE: Final = "Cancellation failed: no active response found"


class CoachSpeech:
    """Costs next to nothing until a coach speaks. Times are Unix seconds of one clock.

    At most one answer of a coach's is open in the client's eyes. Its ids hold a part of the
    session's, since clients bring old items along. `relinked` links an item to one that the client
    knows where a hidden call stands before it.
    """

    def __init__(
        self,
        session_id: str,
        transcript: Transcript,
        client: ClientEncoder,
        requests: RequestTracker,
        relinked: Callable[[Event], Event],
    ) -> None:
        self._name = f"relay_coach_{session_id[:8]}"
        self._transcript = transcript
        self._client = client
        self._requests = requests
        self._relinked = relinked
        self._items = CoachItems()
        self._gate = EnergyVad()
        self._turns: dict[int, CoachTurn] = {}  # whose words are not known
        self._open: CoachTurn | None = None
        self._coach = ""
        self._made = 0
        self._words_by = inf

    def hear(self, coach: str, pcm: bytes, now: float) -> list[Effect]:
        """Sound of the coach who has the word: PCM16 mono 24 kHz."""
        self._coach = coach
        actions: list[Effect] = []
        for piece in self._gate.feed(pcm, now):
            if piece is VoiceEdge.BEGIN:
                actions += self._begin(now)
            elif piece is VoiceEdge.END:
                actions += self._silent(now)
            elif isinstance(piece, bytes):
                actions += self._sound(piece)
        return actions

    def words(self, number: int, text: str | None, now: float) -> list[Effect]:
        """What was understood of a turn; None where that failed."""
        turn = self._turns.pop(number, None)
        if turn is None:
            return []
        turn.words = text.strip() or None if text else None
        if turn is self._open:
            return self._close(now) + self._up(turn)
        if turn.words is None:
            return []
        actions = self._tell(turn.spelled(), now)
        late = turn.told("conversation.item.retrieved", item=turn.item(done=True))
        actions += [RecordUtterance(said) for said in self._transcript.observe(late, now)]
        return actions + self._up(turn)

    def stop(self, now: float) -> list[Effect]:
        """The coach has the word no more."""
        self._gate.close()
        return self._silent(now)

    def heard(self, heard: HeardAudio) -> bool:
        """Take how much was heard of what was cut, if it is the coach's; whether it is."""
        turn = self._items.find(heard.item_id)
        if turn is not None:
            turn.heard_ms = heard.ms
        return turn is not None

    def observe(self, event: Event, now: float) -> None:
        """Follow the engine's items, hidden ones too."""
        self._items.observe(event, now)

    def from_engine(self, event: Event, now: float) -> RuleOutcome:
        """The event as the client may see it; none where it is about a coach's item.

        A coach's answer ends before the engine's begins. When the learner speaks, players drop
        what is left of an answer, so the coach goes on in a new one.
        """
        seen = self._items.visible(event)
        if seen is None:
            return RuleOutcome()
        waits = self._open is not None and not self._gate.is_open
        if waits and seen["type"] == "response.created":
            return RuleOutcome([seen], before=self._close(now))
        if seen["type"] == SPEECH_STARTED:
            return RuleOutcome([seen], after=self._cut_off("turn_detected", now))
        return RuleOutcome([seen])

    def from_client(self, event: Event, now: float) -> RuleOutcome:
        """The event as the engine shall see it, none for one to `answer`; raises BadEvent."""
        if self._is_ours(event):
            self._check_length(event)
            return RuleOutcome()
        named = event.get("response_id")
        if event["type"] == _CANCEL and str(named).startswith(f"resp_{self._name}_"):
            raise _refused(_NONE_ACTIVE, event, "response_cancel_not_active")
        return RuleOutcome([self._items.checked(event)])

    def _is_ours(self, event: Event) -> bool:
        """Whether a client's event is about a coach's answer, which the engine does not know."""
        if event["type"] == _CANCEL:  # one that names no response means the one being said
            named, turn = event.get("response_id"), self._open
            return turn is not None and self._gate.is_open and named in (None, turn.response_id)
        return event["type"] in _ABOUT_ITEM and event.get("item_id") in self._items

    def _check_length(self, event: Event) -> None:
        turn = self._items.find(event.get("item_id")) if event["type"] == _TRUNCATE else None
        if turn is not None and event["audio_end_ms"] > turn.audio_ms:
            wanted = event["audio_end_ms"]
            raise _refused(
                f"Audio content of {turn.audio_ms}ms is already shorter than {wanted}ms", event
            )

    def answer(self, event: Event, now: float) -> list[Effect]:
        """What becomes of a client's event that `from_client` kept from the engine."""
        if not self._is_ours(event):
            return []
        turn = self._items.find(event.get("item_id"))
        if turn is None:
            return self._cut_off("client_cancelled", now)
        if event["type"] == _TRUNCATE:
            turn.heard_ms = event["audio_end_ms"]
            cut = {"content_index": 0, "audio_end_ms": turn.heard_ms}
            told = turn.told("conversation.item.truncated", item_id=turn.item_id, **cut)
        elif event["type"] == "conversation.item.retrieve":
            item = turn.item(done=turn is not self._open)
            told = turn.told("conversation.item.retrieved", item=item)
        else:
            return self._deleted(turn, now)
        return self._tell([told], now)

    def next(self) -> float:
        """When to ask `due`."""
        return min(self._gate.next(), self._words_by)

    def due(self, now: float) -> list[Effect]:
        """What the time asks for."""
        actions = self.stop(now) if self._gate.due(now) else []
        return actions + (self._close(now) if now >= self._words_by else [])

    def _begin(self, now: float) -> list[Effect]:
        actions = self._close(now)
        self._made += 1
        name = f"{self._name}_{self._made}"
        turn = CoachTurn(
            number=self._made,
            coach_id=self._coach,
            item_id=f"item_{name}",
            response_id=f"resp_{name}",
            previous=self._transcript.last_item(self._items.gone),
            anchor=self._items.tail,
        )
        self._open = self._turns[turn.number] = turn
        self._turns.pop(turn.number - MOST_UNKNOWN, None)
        self._items.add(turn)
        self._transcript.coach_ids[turn.item_id] = turn.coach_id
        return actions + self._tell(turn.began(), now)

    def _sound(self, pcm: bytes) -> list[Effect]:
        turn = self._open
        if turn is None:
            return []
        ms = len(pcm) // BYTES_PER_MS
        turn.audio_ms += ms
        self._transcript.add_audio(turn.item_id, ms)
        shown = self._client.forward(encode(turn.sound(pcm)), AUDIO_DELTA)
        frames = [action.frame for action in shown if isinstance(action, ToClient)]
        return [
            *(PlayCoachAudio(frame, turn.item_id, ms) for frame in frames),
            TranscribeCoachAudio(turn.number, pcm),
        ]

    def _silent(self, now: float) -> list[Effect]:
        """No more sound comes of the open turn: now its words are wanted."""
        turn = self._open
        if turn is None or self._words_by < inf:
            return []
        self._words_by = now + WORDS_SECONDS
        return [*self._tell(turn.silent(), now), TranscribeCoachAudio(turn.number, None)]

    def _cut_off(self, reason: str, now: float) -> list[Effect]:
        if self._open is None or not self._gate.is_open:
            return []
        self._open.cut = reason
        return self.stop(now)

    def _close(self, now: float) -> list[Effect]:
        """The open answer ends, with its words or without."""
        turn, self._open, self._words_by = self._open, None, inf
        if turn is None:
            return []
        return self._tell(turn.spelled() + turn.ended(), now)

    def _tell(self, events: list[Event], now: float) -> list[Effect]:
        """Events as the engine would send them: written down, and shown to the client."""
        actions: list[Effect] = []
        for event in events:
            settled = self._transcript.observe(event, now)
            actions += self._client.encode(self._relinked(event))
            actions += [RecordUtterance(utterance) for utterance in settled]
        return actions

    def _up(self, turn: CoachTurn) -> list[Effect]:
        """Tell the model what was said in its place, as far as it was heard."""
        text = cut_to_heard(turn.words or "", turn.heard_ms, turn.audio_ms)
        if not text or turn.is_deleted:
            return []
        content = [{"type": "output_text", "text": text}]
        item = {"id": turn.item_id, "type": "message", "role": "assistant", "content": content}
        event: dict[str, Any] = {"type": "conversation.item.create", "item": item}
        before = self._items.before(turn)
        if before is not None:
            event["previous_item_id"] = before
        turn.is_sent = True
        return [ToEngine(encode(self._requests.stamp(event)))]

    def _deleted(self, turn: CoachTurn, now: float) -> list[Effect]:
        self._items.delete(turn)
        told = turn.told("conversation.item.deleted", item_id=turn.item_id)
        actions = self._tell([told], now)
        if turn.is_sent:
            up = {"type": "conversation.item.delete", "item_id": turn.item_id}
            actions.append(ToEngine(encode(self._requests.stamp(up))))
        return actions


def _refused(message: str, event: Event, code: str = "invalid_value") -> BadEvent:
    return BadEvent(message, code=code, event_id=event.get("event_id"))
