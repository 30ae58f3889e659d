"""One session of the session API: its record, its call, its turns and its sockets."""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from relay.calls.http import CallRefused
from relay.calls.turns import Answer, TurnClient, TurnFailed
from relay.doors.sessions.playing import AnswerPlayer
from relay.doors.sessions.sockets import SocketOutput
from relay.interfaces import SessionDirectory
from relay.realtime.coaching.control import MAX_WHISPER, Command
from relay.realtime.endings import CLIENT_LEFT, ENDED_BY_COACH, SERVICE_RESTART, Ending
from relay.realtime.records import CoachAction
from relay.summary.extract import SpokenLine, Who

MAX_ENTRIES: Final = 2_000
"""Of a session's transcript, and of its answers; the oldest are left out beyond."""
SHOWN: Final = 5
"""Entries in a transcript update."""
MAX_WAITING: Final = 8
"""Turns of one session at once, the one that is answered among them."""
FALLBACK: Final = "I'm here to support you. Could you tell me more about what you're experiencing?"
"""What `SESSIONS_LEGACY_FALLBACK` answers where no model does."""

Json = dict[str, Any]
OpenCall = Callable[["CoachingSession"], Awaitable[TurnClient]]

_WHO: Final[dict[str, Who]] = {"client": "learner", "coach": "coach"}


@dataclass(frozen=True, slots=True)
class TurnResult:
    """What became of a turn; texts are None where there was none."""

    transcript: str | None
    response: str | None = None
    was_paused: bool = False
    is_fallback: bool = False


def session_not_found() -> CallRefused:
    """What a request is told of a session that is unknown, hidden from it, or over."""
    return CallRefused(404, "", "Session not found")


def stamp() -> str:
    """Now, as the API writes times."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class CoachingSession:
    """A session of the API. Its call is opened anew where a limit of calls has ended it.

    It is the call's listener: what coaches say and pause shows here, too. `open_call` opens a call,
    `ended` is told when the session is over.
    """

    def __init__(
        self,
        name: str,
        owner: str,
        context: Json,
        chunk_size: int,
        open_call: OpenCall,
        ended: Callable[["CoachingSession"], None],
    ) -> None:
        self.name = name
        self.owner = owner
        self.conversation_id: str | None = None
        self.pauses = 0
        self.said: deque[SpokenLine] = deque(maxlen=MAX_ENTRIES)  # by all, as it came
        self.used_at = self.began_at = time.monotonic()
        self.player = AnswerPlayer(self._broadcast_audio, chunk_size)
        self.audio_sockets: set[SocketOutput] = set()
        self.transcript_sockets: set[SocketOutput] = set()
        self.turn = asyncio.Lock()
        self.is_over = False
        self._open_call = open_call
        self._ended = ended
        self._call: TurnClient | None = None
        self._opening = asyncio.Lock()
        self._waiting = 0  # turns
        self._asked = 0  # answers that a turn waits for
        self.record: Json = {
            "id": name,
            "status": "active",
            "createdAt": stamp(),
            "clientContext": context,
            "transcript": [],
            "aiResponses": [],
            "pausedAt": None,
            "resumedAt": None,
        }

    @property
    def is_paused(self) -> bool:
        """Whether a coach has paused the model."""
        return bool(self.record["status"] == "paused")

    # -------------------------------------------------------------------------------- turns

    async def call(self) -> TurnClient:
        """The live call, opened where there is none; raises `SessionRefused`, `CallRefused`."""
        async with self._opening:
            self._check_not_over()
            if self._call is None:
                call = await self._open_call(self)
                try:
                    self._check_not_over()
                except CallRefused:  # `close` did not know this call yet
                    await call.close()
                    raise
                self._call, self.conversation_id = call, call.conversation_id
            return self._call

    def _check_not_over(self) -> None:
        if self.is_over:
            raise session_not_found()

    async def client_turn(self, pcm: bytes, when: str) -> TurnResult:
        """Hear the client, and answer unless paused; raises `TurnFailed`, `SessionRefused`."""
        if self._waiting >= MAX_WAITING:
            raise CallRefused(429, "busy", "Too many turns of this session are waiting", 5)
        self._waiting += 1
        try:
            return await self._client_turn(pcm, when)
        finally:
            self._waiting -= 1

    async def _client_turn(self, pcm: bytes, when: str) -> TurnResult:
        async with self.turn:
            call = await self.call()
            text = await call.hear(pcm)
            if text:
                self.add_entry(text, "client", when)
            if self.is_paused:
                return TurnResult(text, was_paused=True)
            if not text:
                return TurnResult("")
            self._asked += 1
            try:
                answer = await call.respond()
            finally:
                self._asked -= 1
        if answer.status == "failed":
            raise TurnFailed(answer.failure or "failed", "The model failed to answer.")
        if answer.status == "cancelled":
            return TurnResult(text)
        self.add_response(answer.text, "general")
        return TurnResult(text, answer.text)

    def coach_said(self, text: str, when: str, coach: str, directory: SessionDirectory) -> None:
        """Take down what the coach said, and let the model know."""
        self.add_entry(text, "coach", when)
        live = directory.find(self._call.session_id) if self._call else None
        if live is not None:
            told = f"The coach said to the client: {text}"[:MAX_WHISPER]
            live.execute(Command("whisper", coach, told))

    async def command(self, action: CoachAction, coach: str, directory: SessionDirectory) -> None:
        """Pause or resume, as a coach's command does; raises `SessionRefused`."""
        call = await self.call()
        live = directory.find(call.session_id)
        if live is None or live.execute(Command(action, coach)) == "over":
            raise session_not_found()
        self.paused(action == "pause")

    def add_entry(self, text: str, speaker: str, when: str) -> None:
        """Add to the transcript, and push it."""
        entry = {"timestamp": when, "text": text, "speaker": speaker, "confidence": None}
        _append(self.record["transcript"], entry)
        self.said.append(SpokenLine(_WHO[speaker], text))
        self.push_transcript()

    def add_response(self, text: str, category: str) -> None:
        """Add an answer of the model, and push."""
        entry = {"timestamp": stamp(), "text": text, "type": "coaching_response"}
        _append(self.record["aiResponses"], {**entry, "category": category, "confidence": None})
        self.said.append(SpokenLine("model", text))
        self.push_transcript()

    async def close(self, ending: Ending = CLIENT_LEFT) -> None:
        """End the session, its call and its sockets; only the first time counts."""
        if self.is_over:
            return
        self.is_over = True
        self._ended(self)
        self.player.close()
        if self._call is not None:
            await self._call.close()
        for output in (*self.audio_sockets, *self.transcript_sockets):
            output.close(ending)

    # ------------------------------------------------------------------ the call's listener

    def heard_text(self, delta: str) -> None:
        """Nothing: the transcript has whole sentences."""

    def answer_text(self, response_id: str, delta: str) -> None:
        """Nothing: the answer is told as a whole."""

    def answer_audio(self, response_id: str, pcm: bytes) -> None:
        """Play it, where somebody listens."""
        if self.audio_sockets:
            self.player.take(pcm)

    def answer_done(self, answer: Answer) -> None:
        """Take down what no turn asked for: a coach's own words, or what one had said."""
        self.player.finish()
        if answer.from_coach and answer.text:
            self.add_entry(answer.text, "coach", stamp())
        elif not self._asked and answer.text:
            self.add_response(answer.text, "coach_request")

    def paused(self, is_paused: bool) -> None:
        """Show the model paused, or active again."""
        if is_paused == self.is_paused:
            return
        self.pauses += is_paused
        self.record["status"] = "paused" if is_paused else "active"
        self.record["pausedAt" if is_paused else "resumedAt"] = stamp()
        if is_paused:
            self.player.flush()
        self.push_transcript()

    def flushed(self) -> None:
        """Fall silent at once."""
        self.player.flush()

    def ended(self, ending: Ending) -> None:
        """Forget the call; the next turn opens another, unless a coach ended it."""
        self._call = None
        if ending in (ENDED_BY_COACH, SERVICE_RESTART):
            self._ended(self)

    # -------------------------------------------------------------------------- the sockets

    def update(self) -> Json:
        """The latest of the transcript, as it is pushed."""
        entries = self.record["transcript"]
        data = {
            "latestTranscript": entries[-SHOWN:],
            "totalEntries": len(entries),
            "sessionStatus": self.record["status"],
        }
        return {"type": "transcript_update", "timestamp": stamp(), "data": data}

    def push_transcript(self) -> None:
        """Send the latest to who reads along."""
        self._broadcast(self.transcript_sockets, self.update())

    def push_processed(self, milliseconds: int, quality: Json) -> None:
        """Tell the audio sockets that audio was processed."""
        data = {"processingTime": f"{milliseconds}ms", "sessionStatus": self.record["status"]}
        event = {"type": "audio_processed", "timestamp": stamp(), "data": {**data, **quality}}
        self._broadcast_audio(event)

    def _broadcast_audio(self, event: Json) -> None:
        self._broadcast(self.audio_sockets, event)

    def _broadcast(self, outputs: set[SocketOutput], event: Json) -> None:
        for output in outputs:
            output.put(event)


def _append(entries: list[Json], entry: Json) -> None:
    entries.append(entry)
    if len(entries) > MAX_ENTRIES:
        del entries[0]
