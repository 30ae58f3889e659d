"""The conversation as PyPI's `livekit-agents` with its OpenAI plugin holds it, in its own venv.

`talk` holds it, `reconnect SECONDS [CONVERSATION]` goes on over a second connection, which the
plugin opens after so many seconds, and `refused` waits for the end of a session that is not
admitted. Prints the history of the session, the seconds of sound that were played, and its errors.
"""

import asyncio
import contextlib
import json
import logging
import sys
import time
from pathlib import Path

from livekit import rtc  # type: ignore[attr-defined, unused-ignore]
from livekit.agents import Agent, AgentSession, APIError, function_tool
from livekit.agents.voice import io
from livekit.plugins import openai
from openai.types.realtime.realtime_audio_input_turn_detection import ServerVad

ORIGIN, KEY, SAID, MODE, *MORE = sys.argv[1:]
RATE = 24_000
PIECE = 4800  # bytes of a tenth of a second
MOMENT = 0.2
SPOKEN = "message", "function_call", "function_call_output"


class Microphone(io.AudioInput):
    """Gives what is said, else silence, at the pace of sound."""

    def __init__(self):
        super().__init__(label="microphone")
        self.said = b""
        self._next = time.monotonic()

    def speak(self):
        self.said += Path(SAID).read_bytes()

    async def __anext__(self):
        self._next += 0.1
        await asyncio.sleep(self._next - time.monotonic())
        piece, self.said = self.said[:PIECE].ljust(PIECE, b"\0"), self.said[PIECE:]
        return rtc.AudioFrame(piece, RATE, 1, PIECE // 2)


class Loudspeaker(io.AudioOutput):
    """Begins after a moment and plays what comes at the pace of sound until it is stopped."""

    def __init__(self):
        super().__init__(label="loudspeaker", capabilities=io.AudioOutputCapabilities(pause=False))
        self.begun, self.seconds, self.heard = 0.0, 0.0, 0.0
        self._playing = None

    @property
    def played(self):
        return max(0.0, min(self.seconds, time.monotonic() - self.begun))

    async def capture_frame(self, frame):
        await super().capture_frame(frame)
        if not self.seconds:
            self.begun = time.monotonic() + MOMENT
            self.on_playback_started(created_at=time.time())
        self.seconds += frame.duration

    def flush(self):
        super().flush()
        if self.seconds:
            self._playing = asyncio.create_task(self._play_out())

    def clear_buffer(self):
        if self._playing is not None:
            self._playing.cancel()
        if self.seconds:
            self._finish(interrupted=True)

    async def _play_out(self):
        while self.played < self.seconds:
            await asyncio.sleep(0.02)
        self._finish(interrupted=False)

    def _finish(self, *, interrupted):
        position, self.seconds, self._playing = self.played, 0.0, None
        self.heard += 0.0 if interrupted else position
        self.on_playback_finished(playback_position=position, interrupted=interrupted)

    async def until(self, seconds):
        while self.played < seconds:
            await asyncio.sleep(0.02)


class Guide(Agent):
    def __init__(self):
        super().__init__(instructions="Be brief.")

    @function_tool(name="home-weather")
    async def weather(self, city: str) -> str:
        """The weather of a city."""
        return "rain"


class Reconnected(logging.Handler):
    """Tells of the plugin's line about a new connection."""

    def __init__(self):
        super().__init__()
        self.event = asyncio.Event()

    def emit(self, record):
        if record.getMessage().startswith("reconnected to"):
            self.event.set()


class Talk:
    """A session without a room, and what it tells."""

    def __init__(self, query="", seconds=None):
        model = openai.realtime.RealtimeModel(
            model="gpt-realtime-2.1",
            base_url=f"{ORIGIN}/v1{query}",
            api_key=KEY,
            turn_detection=ServerVad(type="server_vad"),
            max_session_duration=seconds,
        )
        self.agent = Guide()
        self.session = AgentSession(llm=model, aec_warmup_duration=None)
        self.microphone, self.speaker = Microphone(), Loudspeaker()
        self.session.input.audio, self.session.output.audio = self.microphone, self.speaker
        self.errors: list[list[object]] = []
        self.fatal, self.news = asyncio.Event(), asyncio.Event()
        self.session.on("error", self._note)
        self.session.on("conversation_item_added", lambda _: self.news.set())

    def _note(self, event):
        error = event.error.error
        code = getattr(getattr(error, "body", None), "code", None)
        self.errors.append([code or str(error), event.error.recoverable])
        if not event.error.recoverable:
            self.fatal.set()

    @property
    def rows(self):
        return [row(item) for item in self.session.history.items if item.type in SPOKEN]

    async def answered(self, count):
        """Wait until so many answers have been played, whole or in part."""
        while sum(role == "assistant" for role, _ in self.rows) < count:
            await self.news.wait()
            self.news.clear()

    async def replayed(self, count):
        """Wait until the new connection has confirmed so many items.

        Until then the plugin takes the conversation for empty and puts what is written in front.
        """
        while len(self.agent.realtime_llm_session.chat_ctx.items) < count:
            await asyncio.sleep(0.02)

    async def write(self, text):
        await self.session.generate_reply(user_input=text).wait_for_playout()


def row(item):
    if item.type == "message":
        return [item.role, item.text_content or ""]
    return [item.type, getattr(item, "output", "") or getattr(item, "arguments", "")]


async def converse(talk):
    talk.microphone.speak()
    await talk.answered(1)
    writing = asyncio.create_task(talk.write("Tell me of Barbara."))
    await talk.speaker.until(1.0)  # a second of it is heard
    talk.microphone.speak()
    await writing
    await talk.answered(3)
    await talk.write("What is the weather in Oslo?")  # it calls the function and answers by itself


async def go_on(talk):
    new = Reconnected()
    logging.getLogger("livekit").addHandler(new)
    logging.getLogger("livekit.agents").setLevel(logging.DEBUG)
    talk.microphone.speak()
    await talk.answered(1)
    await new.event.wait()
    await talk.replayed(2)
    await talk.write("And now in writing.")


async def give_up(talk):
    """Wait for the error after which it dials no more; it then fails to close, and says so."""
    await talk.fatal.wait()


async def main():
    seconds = float(MORE[0]) if MORE else None
    talk = Talk("".join(f"?conversation_id={name}" for name in MORE[1:]), seconds)
    await talk.session.start(agent=talk.agent, record=False)
    await {"talk": converse, "reconnect": go_on, "refused": give_up}[MODE](talk)
    rows = talk.rows
    with contextlib.suppress(APIError):
        await talk.session.aclose()
    told = {"rows": rows, "seconds": talk.speaker.heard, "errors": talk.errors}
    sys.stdout.write(json.dumps(told))


asyncio.run(main())
