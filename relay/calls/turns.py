"""A Realtime client in this process that speaks by turns, for doors without a Realtime socket."""

import asyncio
import base64
import uuid
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol

from relay.interfaces import Accept, ConnectRequest, Door, Frame
from relay.local_connection import LocalConnection
from relay.realtime import endings
from relay.realtime.endings import Ending, SessionRefused
from relay.realtime.events import Event, decode, encode

APPEND_BYTES: Final = 48_000
"""Of PCM16 in one `append`: a second."""
LEAST_BYTES: Final = 4_800
"""Audio below 100 ms holds no word, and the Realtime API refuses to take it for a turn."""
OPEN_SECONDS: Final = 20.0
"""Until a session is ready: looking up the caller and opening the engine have tighter bounds."""
CONFIRM_SECONDS: Final = 10.0
"""Until the engine has confirmed an item, has room for sound, or has ended a stopped answer."""
HEAR_SECONDS: Final = 60.0
"""Until a turn is transcribed."""
ANSWER_SECONDS: Final = 120.0
"""Until an answer has ended; it is cancelled then."""
MAX_REMEMBERED: Final = 64
"""Answers in progress, and those that have ended and may still send something, each."""
COACH: Final = "resp_relay_coach_"
"""What the ids of a coach's answers begin with (`realtime.coaching.speech`)."""

_ENDINGS: Final = {
    **{(ending.code, ending.reason): ending for ending in reversed(endings.ALL)},
    (1000, ""): endings.ENDED_BY_COACH,  # the client ends it by `close` alone
}


class TurnFailed(Exception):  # noqa: N818 - it is one turn's misfortune
    """A turn came to nothing; the next may succeed. `code` says why, the text is safe to show."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Answer:
    """What was said to the learner in one response.

    `failure` is the code of the error that ended it, None where none did. `from_coach`: a coach
    spoke it.
    """

    response_id: str
    text: str
    status: Literal["completed", "cancelled", "failed", "incomplete"]
    failure: str | None = None
    from_coach: bool = False


class CallListener(Protocol):
    """Told what happens in a call; every method returns at once and does not raise."""

    def heard_text(self, delta: str) -> None:
        """The next characters of what is being understood."""

    def answer_text(self, response_id: str, delta: str) -> None:
        """The next characters of an answer."""

    def answer_audio(self, response_id: str, pcm: bytes) -> None:
        """The next sound of an answer: PCM16, mono, 24 kHz."""

    def answer_done(self, answer: Answer) -> None:
        """An answer has ended, also one that nobody asked for: a coach's, or what one had said."""

    def paused(self, is_paused: bool) -> None:
        """A coach has paused the model, or let it go on."""

    def flushed(self) -> None:
        """Sound that was handed over and has not been played is void."""

    def ended(self, ending: Ending) -> None:
        """The session is over; told once, whoever ended it."""


class _Said:
    """An answer in progress; what comes of a void one is dropped."""

    def __init__(self, response_id: str) -> None:
        self.response_id = response_id
        self.turn: str | None = None
        self.text = ""
        self.item_id = ""
        self.sound_ms = 0
        self.is_void = False
        self.cut_item = ""
        self.from_coach = response_id.startswith(COACH)


class _Asked:
    """The answer that a turn waits for: `said` once it has begun."""

    def __init__(self, turn: str, answer: asyncio.Future[Answer]) -> None:
        self.turn = turn
        self.answer = answer
        self.said: _Said | None = None


class TurnClient:
    """One session, from `open` until it ends. A turn at a time; callers await one another."""

    def __init__(self, connection: LocalConnection, listener: CallListener) -> None:
        self.session_id = ""
        self.conversation_id = ""
        self._connection = connection
        self._listener = listener
        self._ending: Ending | None = None
        self._waiting: dict[str, asyncio.Future[Any]] = {}
        self._commits: list[str] = []
        self._answers: OrderedDict[str, _Said] = OrderedDict()
        self._ended: OrderedDict[str, None] = OrderedDict()  # response ids
        self._given_up: dict[str, None] = {}  # turns whose answer has not begun
        self._last: _Said | None = None  # the last with sound
        self._turn = asyncio.Lock()
        self._room = asyncio.Event()
        self._room.set()
        self._free = asyncio.Event()  # the model is not answering
        self._free.set()
        self._asked: _Asked | None = None

    @classmethod
    async def open(
        cls, accept: Accept, request: ConnectRequest, door: Door, listener: CallListener
    ) -> "TurnClient":
        """Begin a session; raises `SessionRefused` with the ending that refused it."""
        near, far = LocalConnection.pair()
        client = cls(far, listener)
        ready = client._wait("relay.session")
        far.attach(client)
        accept(near, request, door)
        try:
            async with asyncio.timeout(OPEN_SECONDS):
                opened = await ready
        except TimeoutError:
            await client.close()
            raise SessionRefused(endings.ENGINE_TIMED_OUT) from None
        except TurnFailed:
            raise SessionRefused(client._ending or endings.INTERNAL_ERROR) from None
        except asyncio.CancelledError:
            far.close(endings.CLIENT_LEFT.code, "")
            raise
        client.session_id = opened["session_id"]
        client.conversation_id = opened["conversation_id"]
        return client

    # ------------------------------------------------------------------------------ turns

    async def hear(self, pcm: bytes) -> str:
        """Say this (PCM16, mono, 24 kHz); returns what was understood, "" for nothing.

        Raises `TurnFailed`.
        """
        if len(pcm) < LEAST_BYTES:
            return ""
        async with self._turn:
            try:
                await self._append(pcm)
                committed = await self._confirmed("input_audio_buffer.commit", {})
            except BaseException:  # or it would be heard with the next turn
                self._send({"type": "input_audio_buffer.clear"})
                raise
            heard: str = await self._within(HEAR_SECONDS, f"heard {committed}")
            return heard.strip()

    async def _append(self, pcm: bytes) -> None:
        for start in range(0, len(pcm), APPEND_BYTES):
            try:
                async with asyncio.timeout(CONFIRM_SECONDS):
                    await self._room.wait()
            except TimeoutError:
                raise TurnFailed("timeout", "The voice took too long.") from None
            piece = base64.b64encode(pcm[start : start + APPEND_BYTES]).decode()
            self._send({"type": "input_audio_buffer.append", "audio": piece})

    async def say(self, text: str) -> None:
        """Write this into the conversation; raises `TurnFailed`."""
        item_id = f"item_{uuid.uuid4().hex[:24]}"
        content = [{"type": "input_text", "text": text}]
        item = {"id": item_id, "type": "message", "role": "user", "content": content}
        async with self._turn:
            await self._confirmed("conversation.item.create", {"item": item}, item_id)

    async def respond(self) -> Answer:
        """Have the model answer; its text and sound go to the listener meanwhile.

        `cancelled` where it was interrupted, or a coach has the floor. Raises `TurnFailed` where
        the session ends first.
        """
        async with self._turn:
            await self._until_free()
            turn = uuid.uuid4().hex
            key = f"answer {turn}"
            asked = self._asked = _Asked(turn, self._wait(key))
            self._last = None
            create = {"type": "response.create", "response": {"metadata": {"turn": turn}}}
            self._send({**create, "event_id": key})
            try:
                async with asyncio.timeout(ANSWER_SECONDS):
                    return await asked.answer
            except TimeoutError:
                raise TurnFailed("timeout", "The answer took too long.") from None
            finally:
                if asked.answer.cancelled():
                    self._give_up(asked)
                self._asked = None
                self._waiting.pop(key, None)

    async def _until_free(self) -> None:
        """Wait for the end of an answer that was stopped, or that a coach had the model say."""
        try:
            async with asyncio.timeout(CONFIRM_SECONDS):
                await self._free.wait()
        except TimeoutError:  # the engine refuses to answer, if it is not
            self._given_up.clear()
            for said in [said for said in self._answers.values() if said.is_void]:
                self._forget(said)

    def interrupt(self, played_ms: int | None = None) -> None:
        """Stop the answer in progress, or what is left of the last one.

        `played_ms` is how much of its sound was heard; None: none of it. What comes of it later is
        dropped, and the conversation keeps what was heard.
        """
        for said in self._answers.values():
            if not said.from_coach:
                self._make_void(said)
        if self._asked is not None and not self._asked.answer.done():
            said = self._give_up(self._asked)
            self._asked.answer.set_result(Answer(said.response_id, said.text, "cancelled"))
        if self._last is not None:
            self._cut(self._last, self._last.item_id, min(played_ms or 0, self._last.sound_ms))
            self._last = None

    def _give_up(self, asked: _Asked) -> _Said:
        """Cancel an answer, also one that has not begun; returns what was said of it."""
        if asked.said is not None:
            self._make_void(asked.said)
            return asked.said
        self._given_up[asked.turn] = None
        self._look_free()
        self._send({"type": "response.cancel"})  # of one that waits for a tool
        return _Said("")

    def _make_void(self, said: _Said) -> None:
        if not said.is_void:
            said.is_void = True
            self._send({"type": "response.cancel", "response_id": said.response_id})

    def _cut(self, said: _Said, item_id: str, heard_ms: int) -> None:
        """Have the conversation keep this much of an item."""
        said.cut_item = item_id
        cut = {"item_id": item_id, "content_index": 0, "audio_end_ms": heard_ms}
        self._send({"type": "conversation.item.truncate", **cut})

    def played(self, played_ms: int) -> None:
        """Tell how much of the last answer's sound was heard."""
        if self._last is not None:
            told = {"item_id": self._last.item_id, "played_ms": played_ms}
            self._send({"type": "relay.playback", **told})

    async def close(self) -> None:
        """End the session."""
        self._connection.close(endings.CLIENT_LEFT.code, "")
        self._end(endings.CLIENT_LEFT)

    # ----------------------------------------------------------------- the engine's events

    def frame(self, frame: Frame) -> None:
        """Take an event of the session."""
        event = decode(frame)
        handle = self._handlers().get(event["type"])
        if handle is not None:
            handle(event)

    def writable(self, ready: bool) -> None:
        """Send no more audio until there is room."""
        (self._room.set if ready else self._room.clear)()

    def closed(self, code: int, reason: str) -> None:
        """The session is over."""
        self._end(_ENDINGS.get((code, reason)) or Ending("closed", code, reason))

    def _handlers(self) -> dict[str, Callable[[Event], None]]:
        return {
            "error": self._failed,
            "relay.session": lambda event: self._settle("relay.session", event),
            "relay.paused": lambda _: self._paused(True),
            "relay.resumed": lambda _: self._paused(False),
            "relay.coach": self._coach,
            "input_audio_buffer.committed": self._committed,
            "conversation.item.added": self._added,
            "conversation.item.input_audio_transcription.delta": self._understood,
            "conversation.item.input_audio_transcription.completed": self._transcribed,
            "conversation.item.input_audio_transcription.failed": self._not_transcribed,
            "response.created": self._created,
            "response.output_audio.delta": self._sound,
            "response.output_audio_transcript.delta": self._text,
            "response.output_text.delta": self._text,
            "response.done": self._done,
        }

    def _failed(self, event: Event) -> None:
        """An error: of the request that it names, or of the session, which then ends."""
        error = event.get("error")
        given = error if isinstance(error, dict) else {}
        code = str(given.get("code") or "failed")
        message = str(given.get("message") or "The turn failed.")
        of = str(given.get("event_id"))
        self._given_up.pop(of.removeprefix("answer "), None)
        self._look_free()
        self._break(of, TurnFailed(code, message))

    def _paused(self, is_paused: bool) -> None:
        if is_paused:
            self._listener.flushed()
        self._listener.paused(is_paused)

    def _coach(self, event: Event) -> None:
        if event.get("speaking"):
            self._listener.flushed()

    def _committed(self, event: Event) -> None:
        if self._commits:
            _ = self._wait(f"heard {event['item_id']}")
            self._settle(self._commits.pop(0), event["item_id"])

    def _added(self, event: Event) -> None:
        item_id = str(event.get("item", {}).get("id"))
        self._settle(item_id, item_id)

    def _understood(self, event: Event) -> None:
        self._listener.heard_text(str(event.get("delta") or ""))

    def _transcribed(self, event: Event) -> None:
        self._settle(f"heard {event['item_id']}", str(event.get("transcript") or ""))

    def _not_transcribed(self, event: Event) -> None:
        error = event.get("error") or {}
        code = str(error.get("code") or "transcription_failed")
        failed = TurnFailed(code, "What was said could not be transcribed.")
        self._break(f"heard {event['item_id']}", failed)

    def _created(self, event: Event) -> None:
        self._said(event["response"])

    def _said(self, response: Event) -> _Said | None:
        """The answer of this response, which begins if it is new; None once it has ended."""
        response_id = response["id"]
        if response_id in self._ended:
            return None
        if response_id not in self._answers:
            said = self._answers[response_id] = _Said(response_id)
            if len(self._answers) > MAX_REMEMBERED:
                self._forget(next(iter(self._answers.values())))
            if not said.from_coach:
                self._begin(said, _turn_of(response))
        return self._answers[response_id]

    def _begin(self, said: _Said, turn: str | None) -> None:
        """Find out who asked for it; some engines return no metadata, and answer in order."""
        asked = self._asked
        said.turn = turn or next(iter(self._given_up), None)
        if said.turn in self._given_up:
            del self._given_up[said.turn]
            self._make_void(said)
        elif asked is not None and (asked.turn == turn or (not turn and asked.said is None)):
            said.turn = asked.turn
            asked.said = said
        self._look_free()

    def _text(self, event: Event) -> None:
        said = self._said({"id": event["response_id"]})
        if said is not None and not said.is_void:
            said.text += event["delta"]
            self._listener.answer_text(said.response_id, event["delta"])

    def _sound(self, event: Event) -> None:
        said = self._said({"id": event["response_id"]})
        if said is None:
            return
        if said.is_void:
            if said.cut_item != event["item_id"]:
                self._cut(said, event["item_id"], 0)
            return
        pcm = base64.b64decode(event["delta"])
        said.item_id = event["item_id"]
        said.sound_ms += len(pcm) // 48
        if not said.from_coach:
            self._last = said
        self._listener.answer_audio(said.response_id, pcm)

    def _done(self, event: Event) -> None:
        response = event["response"]
        said = self._said(response)
        if said is None:
            return
        self._forget(said)
        if said.is_void:
            return
        details = response.get("status_details") or {}
        failure = (details.get("error") or {}).get("code") or details.get("reason")
        answer = Answer(
            response_id=said.response_id,
            text=said.text,
            status=response["status"],
            failure=None if response["status"] == "completed" else failure,
            from_coach=said.from_coach,
        )
        self._listener.answer_done(answer)
        self._settle(f"answer {_turn_of(response) or said.turn}", answer)

    def _forget(self, said: _Said) -> None:
        """Drop what comes of it from now on."""
        self._answers.pop(said.response_id, None)
        self._ended[said.response_id] = None
        if len(self._ended) > MAX_REMEMBERED:
            self._ended.popitem(last=False)
        self._look_free()

    def _look_free(self) -> None:
        is_busy = self._given_up or any(not said.from_coach for said in self._answers.values())
        (self._free.clear if is_busy and self._ending is None else self._free.set)()

    # ------------------------------------------------------------------------- waiting

    def _send(self, event: Event) -> None:
        self._connection.send(encode(event))

    async def _confirmed(self, kind: str, event: Event, name: str | None = None) -> Any:
        """Send an event and wait until it is confirmed; `name` is what the confirmation names."""
        key = name or uuid.uuid4().hex
        _ = self._wait(key)
        if name is None:
            self._commits.append(key)
        self._send({"type": kind, "event_id": key, **event})
        return await self._within(CONFIRM_SECONDS, key)

    def _wait(self, key: str) -> asyncio.Future[Any]:
        future = self._waiting[key] = asyncio.get_running_loop().create_future()
        if self._ending is not None:
            future.set_exception(self._over())
        return future

    async def _within(self, seconds: float, key: str) -> Any:
        try:
            async with asyncio.timeout(seconds):
                return await self._waiting[key]
        except TimeoutError:
            raise TurnFailed("timeout", "The voice took too long.") from None
        finally:
            self._waiting.pop(key, None)
            if key in self._commits:
                self._commits.remove(key)

    def _settle(self, key: str, result: Any) -> None:
        future = self._waiting.get(key)
        if future is not None and not future.done():
            future.set_result(result)

    def _break(self, key: str, error: TurnFailed) -> None:
        future = self._waiting.get(key)
        if future is not None and not future.done():
            future.set_exception(error)
            future.exception()  # nobody may be waiting any more

    def _over(self) -> TurnFailed:
        ending = self._ending or endings.CLIENT_LEFT
        return TurnFailed(ending.name, ending.advice or "The session has ended.")

    def _end(self, ending: Ending) -> None:
        if self._ending is not None:
            return
        self._ending = ending
        self._room.set()
        self._free.set()
        for key in list(self._waiting):
            self._break(key, self._over())
        self._listener.ended(ending)


def _turn_of(response: Event) -> str | None:
    """The turn that asked for a response, where the engine says so."""
    metadata = response.get("metadata")
    return metadata.get("turn") if isinstance(metadata, dict) else None
