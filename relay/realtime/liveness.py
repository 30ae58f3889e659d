"""Tells a living engine from one that is gone: by its events, and by pings while there are none."""

from math import inf
from typing import Final

PING_SECONDS: Final = 12.0
"""Silence of the engine after which it is pinged, and the time that it then has for a pong or an
event. When its last audio came is known to one such period: it is found dead within 36 s."""
OWED_SECONDS: Final = 10.0
"""Silence after which an engine that owes a turn is pinged once more."""
OWED_PONG_SECONDS: Final = 5.0
"""Time that such an engine has for a pong or an event."""
LISTEN_SECONDS: Final = 3.0
"""Silence after which there is a first look for a voice in the client's audio."""
LISTEN_AGAIN_SECONDS: Final = 6.0
"""Time between further looks: they cost, and the pings find a dead engine nearly as soon."""
LATE_SECONDS: Final = 1.0
"""A verdict that is later than this is put off once: this process stood still, not the engine."""

_OWING: Final = {"input_audio_buffer.commit": "turn", "response.create": "response"}
"""What the engine owes once it was sent these."""
_VOICE: Final = "voice"
_SPEECH: Final = "speech"
_BEGUN: Final = {
    "input_audio_buffer.speech_started": _SPEECH,
    "input_audio_buffer.speech_stopped": "turn",
    "response.created": "response",
}
"""What it has begun with these, and so owes the end of."""
_PAID: Final = {
    "input_audio_buffer.speech_stopped": {_SPEECH},
    "input_audio_buffer.committed": {_SPEECH, "turn"},
    "input_audio_buffer.cleared": {_SPEECH, "turn"},
    "response.done": {"response"},
}
_CALLERS: Final = {_VOICE, _SPEECH}
"""What may wait for more of the caller's audio: the engine need not be to blame."""


class EngineLiveness:
    """Decides when an engine is pinged, when it is listened for a voice, and when it is gone.

    An event is as good as a pong. Pings that were never answered count only while nothing else
    comes, so an engine that talks is never ended. Times are seconds of one clock.
    """

    def __init__(self) -> None:
        self.has_new_debt = False
        """Whether something became owed whose time `start_waiting` has not been told yet."""
        self._heard_voice = False
        self._owed: set[str] = set()
        self._events = self._unseen = 0
        self._ping_at = self._verdict_at = self._extra_at = self._listen_at = inf
        self._was_put_off = False

    @property
    def _is_watched(self) -> bool:
        """Whether the engine is ready; before that another deadline counts."""
        return self._ping_at < inf or self._verdict_at < inf

    @property
    def owes_answer(self) -> bool:
        """Whether the engine was asked for something and has neither done nor refused it."""
        return bool(self._owed - _CALLERS)

    @property
    def owes_turn(self) -> bool:
        """Whether a turn of the learner has ended that the engine has not told of yet."""
        return "turn" in self._owed

    @property
    def owes_response(self) -> bool:
        """Whether an answer was asked for or has begun, and has not ended."""
        return "response" in self._owed

    @property
    def heard_speech(self) -> bool:
        """Whether somebody spoke of whom nothing has come yet.

        The client's audio had a voice in it since the engine's last event, or the engine has heard
        speech begin and not end.
        """
        return self._heard_voice or _SPEECH in self._owed

    def sent(self, kind: str) -> None:
        """Note an event of this type that goes to the engine."""
        if kind in _OWING:
            self._owe(_OWING[kind])

    def voice(self) -> None:
        """Note that our own detector found a voice in the client's audio."""
        self._heard_voice = True
        self._owe(_VOICE)

    def start_waiting(self, now: float) -> None:
        """Wait from now on for what has become owed."""
        self.has_new_debt = False
        if self._is_watched:
            self._extra_at = min(self._extra_at, now + OWED_SECONDS)

    def heard(self, kind: str, now: float) -> None:
        """Note an event of this type that came from the engine."""
        self._events += 1
        if kind in _PAID:
            self._owed -= _PAID[kind]
        if kind in _BEGUN:
            self._owed.add(_BEGUN[kind])
        elif kind == "error":
            self._owed.clear()
        self._alive(now)

    def look(self, frames: int, *, is_read: bool, now: float) -> None:
        """Take the number of the engine's frames so far: some pass without being told to `heard`.

        While it is not read (`is_read`), nothing can come, and nothing is held against it.
        """
        unseen = frames - self._events
        if (unseen != self._unseen or not is_read) and self._is_watched:
            self._alive(now)
        self._unseen = unseen

    def next(self) -> float:
        """When to call `look`, and then `ping_due` and `listen_due`."""
        return min(self._ping_at, self._verdict_at, self._extra_at, self._listen_at)

    def ping_due(self, now: float) -> bool:
        """Whether the engine must be pinged now; `pinged` takes the outcome."""
        return now >= min(self._ping_at, self._verdict_at, self._extra_at)

    def listen_due(self, now: float) -> bool:
        """Whether to look for a voice in the client's audio now; once for each period."""
        if now < self._listen_at:
            return False
        self._listen_at = now + LISTEN_AGAIN_SECONDS if not self._owed else inf
        return not self._owed

    def pinged(self, unanswered: int, now: float) -> bool:
        """Take how many earlier pings the engine has not answered; True if it is gone."""
        if unanswered and now >= self._verdict_at:
            if now - self._verdict_at <= LATE_SECONDS or self._was_put_off:
                return True
            self._was_put_off = True
            self._verdict_at = now + OWED_PONG_SECONDS
            return False
        is_extra = now >= self._extra_at
        answer_by = now + (OWED_PONG_SECONDS if is_extra else PING_SECONDS)
        self._verdict_at = min(self._verdict_at, answer_by) if unanswered else answer_by
        self._ping_at = inf  # the verdict is the next ping
        if is_extra:
            self._extra_at = inf
        return False

    def _owe(self, debt: str) -> None:
        self.has_new_debt = self.has_new_debt or debt not in self._owed
        self._owed.add(debt)

    def _alive(self, now: float) -> None:
        self._owed.discard(_VOICE)
        self._heard_voice = self._was_put_off = False
        self._ping_at, self._verdict_at = now + PING_SECONDS, inf
        self._extra_at = now + OWED_SECONDS if self._owed else inf
        self._listen_at = now + LISTEN_SECONDS if not self._owed else inf
