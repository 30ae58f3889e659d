"""Turns a coach's audio into answers: plays them to the learner, records them, tells the model."""

from collections import deque
from collections.abc import Callable
from enum import Enum
from math import inf
from operator import mul
from typing import Final

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

TRANSCRIPT_SECONDS: Final = 3.0
"""Seconds the end of an answer waits for its transcript; a later one follows by itself."""

MAX_UNTRANSCRIBED: Final = 64
"""Turns whose transcript may still come; the transcript of an earlier one is lost."""

WINDOW_MS: Final = 20
WINDOW_BYTES: Final = 960  # of PCM16 mono 24 kHz

LOUD: Final = 400
"""Root mean square of a window that may be speech: -38 dB of full scale, above a quiet room."""

START_WINDOWS: Final = 2  # a click is shorter
PRE_ROLL_WINDOWS: Final = 10  # 200 ms: the soft beginning of a word
HANG_WINDOWS: Final = 35  # 700 ms: a pause within a sentence is shorter
HANG_SECONDS: Final = HANG_WINDOWS * WINDOW_MS / 1000
MAX_TURN_WINDOWS: Final = 3000  # one minute: a turn without an end would never be transcribed

_TRUNCATE: Final = "conversation.item.truncate"
_CANCEL: Final = "response.cancel"
_ABOUT_ITEM: Final = frozenset(
    {_TRUNCATE, "conversation.item.retrieve", "conversation.item.delete"}
)
_NONE_ACTIVE: Final = "Cancellation failed: no active response found"


class CoachSpeech:
    """The speech of the coach who has the floor. Times are Unix seconds of one clock.

    The client sees at most one answer of a coach's in progress. Ids contain a part of the session's
    id, since clients replay items of earlier sessions. `relinked` links an event to an item
    that the client knows, where a hidden one stands before it.
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
        self._vad = EnergyVad()
        self._untranscribed: dict[int, CoachTurn] = {}  # by turn number
        self._turn: CoachTurn | None = None  # whose answer is in progress
        self._coach = ""
        self._turn_count = 0
        self._transcript_due = inf  # when the answer ends without its transcript

    def take_audio(self, coach: str, pcm: bytes, now: float) -> list[Effect]:
        """Take audio of the coach who has the floor: PCM16 mono 24 kHz."""
        self._coach = coach
        effects: list[Effect] = []
        for piece in self._vad.feed(pcm, now):
            if piece is VoiceEdge.BEGIN:
                effects += self._begin_turn(now)
            elif piece is VoiceEdge.END:
                effects += self._end_audio(now)
            elif isinstance(piece, bytes):
                effects += self._play(piece)
        return effects

    def transcribed(self, number: int, text: str | None, now: float) -> list[Effect]:
        """Take the transcript of a turn; None if its transcription failed."""
        turn = self._untranscribed.pop(number, None)
        if turn is None:
            return []
        turn.text = text.strip() or None if text else None
        if turn is self._turn:
            return self._close(now) + self._tell_engine(turn)
        if turn.text is None:
            return []
        effects = self._publish(turn.transcript_events(), now)
        late = turn.event("conversation.item.retrieved", item=turn.item(done=True))
        effects += [RecordUtterance(said) for said in self._transcript.observe(late, now)]
        return effects + self._tell_engine(turn)

    def stop(self, now: float) -> list[Effect]:
        """End the coach's turn, as when the coach gives back the floor."""
        self._vad.close()
        return self._end_audio(now)

    def note_heard(self, heard: HeardAudio) -> bool:
        """Note how much of a cut item was heard; False if the item is not a coach's."""
        turn = self._items.find(heard.item_id)
        if turn is not None:
            turn.heard_ms = heard.ms
        return turn is not None

    def observe(self, event: Event, now: float) -> None:
        """Follow the engine's items, hidden ones included."""
        self._items.observe(event, now)

    def from_engine(self, event: Event, now: float) -> RuleOutcome:
        """The event as the client may see it; none if it is about a coach's item.

        A coach's answer ends before the engine's begins. When the learner speaks, players drop
        what is left of an answer, so the coach goes on in a new one.
        """
        visible = self._items.visible(event)
        if visible is None:
            return RuleOutcome()
        is_waiting = self._turn is not None and not self._vad.is_open
        if is_waiting and visible["type"] == "response.created":
            return RuleOutcome([visible], before=self._close(now))
        if visible["type"] == SPEECH_STARTED:
            return RuleOutcome([visible], after=self._cut_off("turn_detected", now))
        return RuleOutcome([visible])

    def from_client(self, event: Event, now: float) -> RuleOutcome:
        """The event as the engine may see it, none for one to `answer`; raises BadEvent."""
        if self._is_ours(event):
            self._check_length(event)
            return RuleOutcome()
        response_id = event.get("response_id")
        if event["type"] == _CANCEL and str(response_id).startswith(f"resp_{self._name}_"):
            raise _refused(_NONE_ACTIVE, event, "response_cancel_not_active")
        return RuleOutcome([self._items.for_engine(event)])

    def answer(self, event: Event, now: float) -> list[Effect]:
        """Answer a client's event that `from_client` kept from the engine."""
        if not self._is_ours(event):
            return []
        turn = self._items.find(event.get("item_id"))
        if turn is None:
            return self._cut_off("client_cancelled", now)
        if event["type"] == _TRUNCATE:
            turn.heard_ms = event["audio_end_ms"]
            cut = {"content_index": 0, "audio_end_ms": turn.heard_ms}
            reply = turn.event("conversation.item.truncated", item_id=turn.item_id, **cut)
        elif event["type"] == "conversation.item.retrieve":
            item = turn.item(done=turn is not self._turn)
            reply = turn.event("conversation.item.retrieved", item=item)
        else:
            return self._delete(turn, now)
        return self._publish([reply], now)

    def next(self) -> float:
        """When to call `due`."""
        return min(self._vad.next(), self._transcript_due)

    def due(self, now: float) -> list[Effect]:
        """Handle expired deadlines: end a turn without audio, or the wait for a transcript."""
        effects = self.stop(now) if self._vad.due(now) else []
        return effects + (self._close(now) if now >= self._transcript_due else [])

    def _begin_turn(self, now: float) -> list[Effect]:
        effects = self._close(now)
        self._turn_count += 1
        name = f"{self._name}_{self._turn_count}"
        turn = CoachTurn(
            number=self._turn_count,
            coach_id=self._coach,
            item_id=f"item_{name}",
            response_id=f"resp_{name}",
            previous=self._transcript.last_item(self._items.gone),
            anchor=self._items.tail,
        )
        self._turn = self._untranscribed[turn.number] = turn
        self._untranscribed.pop(turn.number - MAX_UNTRANSCRIBED, None)
        self._items.add(turn)
        self._transcript.coach_ids[turn.item_id] = turn.coach_id
        return effects + self._publish(turn.opening_events(), now)

    def _play(self, pcm: bytes) -> list[Effect]:
        turn = self._turn
        if turn is None:
            return []
        ms = len(pcm) // BYTES_PER_MS
        turn.audio_ms += ms
        self._transcript.add_audio(turn.item_id, ms)
        encoded = self._client.forward(encode(turn.audio_event(pcm)), AUDIO_DELTA)
        frames = [effect.frame for effect in encoded if isinstance(effect, ToClient)]
        return [
            *(PlayCoachAudio(frame, turn.item_id, ms) for frame in frames),
            TranscribeCoachAudio(turn.number, pcm),
        ]

    def _end_audio(self, now: float) -> list[Effect]:
        """End the audio of the answer in progress, and wait for its transcript."""
        turn = self._turn
        if turn is None or self._transcript_due < inf:
            return []
        self._transcript_due = now + TRANSCRIPT_SECONDS
        done = self._publish([turn.audio_done_event()], now)
        return [*done, TranscribeCoachAudio(turn.number, None)]

    def _cut_off(self, reason: str, now: float) -> list[Effect]:
        if self._turn is None or not self._vad.is_open:
            return []
        self._turn.cut_reason = reason
        return self.stop(now)

    def _close(self, now: float) -> list[Effect]:
        """End the answer in progress, with its transcript or without."""
        turn, self._turn, self._transcript_due = self._turn, None, inf
        if turn is None:
            return []
        return self._publish(turn.transcript_events() + turn.closing_events(), now)

    def _publish(self, events: list[Event], now: float) -> list[Effect]:
        """Record events as if the engine had sent them, and show them to the client."""
        effects: list[Effect] = []
        for event in events:
            utterances = self._transcript.observe(event, now)
            effects += self._client.encode(self._relinked(event))
            effects += [RecordUtterance(utterance) for utterance in utterances]
        return effects

    def _tell_engine(self, turn: CoachTurn) -> list[Effect]:
        """Send the engine what was said in the model's place, as far as it was heard."""
        text = cut_to_heard(turn.text or "", turn.heard_ms, turn.audio_ms)
        if not text or turn.is_deleted:
            return []
        content = [{"type": "output_text", "text": text}]
        item = {"id": turn.item_id, "type": "message", "role": "assistant", "content": content}
        create: Event = {"type": "conversation.item.create", "item": item}
        previous = self._items.previous_for_engine(turn)
        if previous is not None:
            create["previous_item_id"] = previous
        turn.is_sent = True
        return [ToEngine(encode(self._requests.stamp(create)))]

    def _delete(self, turn: CoachTurn, now: float) -> list[Effect]:
        self._items.delete(turn)
        reply = turn.event("conversation.item.deleted", item_id=turn.item_id)
        effects = self._publish([reply], now)
        if turn.is_sent:
            delete = {"type": "conversation.item.delete", "item_id": turn.item_id}
            effects.append(ToEngine(encode(self._requests.stamp(delete))))
        return effects

    def _is_ours(self, event: Event) -> bool:
        """Whether a client's event is about a coach's answer, which the engine does not know."""
        if event["type"] == _CANCEL:  # without a response id it means the one in progress
            response_id, turn = event.get("response_id"), self._turn
            return (
                turn is not None and self._vad.is_open and response_id in (None, turn.response_id)
            )
        return event["type"] in _ABOUT_ITEM and event.get("item_id") in self._items

    def _check_length(self, event: Event) -> None:
        turn = self._items.find(event.get("item_id")) if event["type"] == _TRUNCATE else None
        if turn is not None and event["audio_end_ms"] > turn.audio_ms:
            wanted = event["audio_end_ms"]
            raise _refused(
                f"Audio content of {turn.audio_ms}ms is already shorter than {wanted}ms", event
            )


def _refused(message: str, event: Event, code: str = "invalid_value") -> BadEvent:
    return BadEvent(message, code=code, event_id=event.get("event_id"))


class VoiceEdge(Enum):
    """The beginning or the end of speech."""

    BEGIN = "begin"
    END = "end"


class EnergyVad:
    """Voice activity detection by loudness, with a pre-roll: cuts a stream of PCM16 into turns.

    Its clock is the audio itself, and the time where no audio comes.
    """

    def __init__(self) -> None:
        self._rest = b""  # less than a window
        self._pre_roll: deque[bytes] = deque(maxlen=PRE_ROLL_WINDOWS)
        self._loud = 0  # windows in a row
        self._quiet = 0  # windows in a row
        self._length = 0  # windows of the open turn
        self._last_audio = 0.0
        self.is_open = False

    def feed(self, pcm: bytes, now: float) -> list[VoiceEdge | bytes]:
        """Take the next audio at `now` seconds; returns the edges in it and the audio of speech."""
        if now >= self._last_audio + HANG_SECONDS:
            self._forget()  # a gap: this may be another stream
        self._last_audio = now
        audio = self._rest + pcm
        whole = len(audio) // WINDOW_BYTES * WINDOW_BYTES
        self._rest = audio[whole:]
        found: list[VoiceEdge | bytes] = []
        for start in range(0, whole, WINDOW_BYTES):
            found += self._window(audio[start : start + WINDOW_BYTES])
        return _joined(found)

    def due(self, now: float) -> bool:
        """Whether the open turn has ended because no more audio came."""
        return self.is_open and now >= self.next()

    def next(self) -> float:
        """When to ask `due`; infinity if no turn is open."""
        return self._last_audio + HANG_SECONDS if self.is_open else inf

    def close(self) -> None:
        """End the turn in mid-speech; what follows may begin another one."""
        self.is_open = False
        self._loud = self._quiet = self._length = 0
        self._pre_roll.clear()

    def _forget(self) -> None:
        self._rest = b""
        self._pre_roll.clear()

    def _window(self, window: bytes) -> list[VoiceEdge | bytes]:
        loud = _is_loud(window)
        self._loud = self._loud + 1 if loud else 0
        self._quiet = 0 if loud else self._quiet + 1
        if not self.is_open:
            self._pre_roll.append(window)
            return self._open() if self._loud >= START_WINDOWS else []
        self._length += 1
        if self._quiet < HANG_WINDOWS and self._length < MAX_TURN_WINDOWS:
            return [window]
        self.close()
        return [window, VoiceEdge.END]

    def _open(self) -> list[VoiceEdge | bytes]:
        found: list[VoiceEdge | bytes] = [VoiceEdge.BEGIN, *self._pre_roll]
        self.is_open = True
        self._length = len(self._pre_roll)
        self._pre_roll.clear()
        return found


def _is_loud(window: bytes) -> bool:
    samples: list[int] = memoryview(window).cast("h").tolist()
    power: int = sum(map(mul, samples, samples))
    return power > LOUD * LOUD * len(samples)


def _joined(found: list[VoiceEdge | bytes]) -> list[VoiceEdge | bytes]:
    """The same with windows in a row joined into one piece of audio."""
    joined: list[VoiceEdge | bytes] = []
    for piece in found:
        if isinstance(piece, bytes) and joined and isinstance(joined[-1], bytes):
            joined[-1] += piece
        else:
            joined.append(piece)
    return joined
