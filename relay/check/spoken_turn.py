"""Takes one whole spoken turn with an engine, in real time, and says where the time went."""

import asyncio
import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from relay.check.engine import (
    INSTRUCTIONS,
    LIVE_SECONDS,
    USER,
    EventCollector,
    EventWaitError,
    LiveCheckFailed,
    LiveCheckOptions,
    ReceivedEvent,
    error_code,
    require_completed,
    send,
)
from relay.check.parts import FRAME_BYTES, SECOND_BYTES, PartTimes
from relay.interfaces import Connection, Engine, EngineRequest
from relay.realtime.endings import SessionRefused
from relay.realtime.events import Event
from relay.tasks import Tasks

FRAME_SECONDS: Final = FRAME_BYTES / SECOND_BYTES
SILENCE_MS: Final = 500
"""Of silence that end the turn: what today's realtime models wait for."""
VOICED: Final = 0.05
"""A frame this loud, beside the loudest sample, has a voice in it."""
_TRANSCRIPTION: Final = "conversation.item.input_audio_transcription"


@dataclass(frozen=True, slots=True)
class SpokenTurnReport:
    """What was heard and answered, and when, in seconds from the last voiced sample.

    `first_sound` is when the first piece of the answer's audio came, `turn_ended` when the engine
    told that the turn was over, `transcribed` when its transcript came, `answered` when the
    responder gave its first words (None where the engine is not made of parts). `parts` are the
    seconds of work, by part: the whole transcript, the first words, the first sound.
    """

    heard: str
    answer: str
    audio_seconds: float
    first_sound: float
    turn_ended: float
    transcribed: float
    answered: float | None
    parts: Mapping[str, float]


async def take_spoken_turn(
    engine: Engine, options: LiveCheckOptions, times: PartTimes, seconds: float = LIVE_SECONDS
) -> SpokenTurnReport:
    """Say the question as a person would, and listen; raises `LiveCheckFailed`.

    `times` observes the engine's parts, where it has some.
    """
    try:
        async with asyncio.timeout(seconds):
            return await _turn(engine, options, times)
    except SessionRefused as refused:
        reason, advice = refused.ending.reason, refused.ending.advice
        raise LiveCheckFailed(f"no session: {reason}. {advice}") from None
    except EventWaitError as error:
        raise LiveCheckFailed(f"the conversation broke off: {error}") from None
    except TimeoutError:
        raise LiveCheckFailed(f"the turn was not over after {seconds:.0f} s") from None


async def _turn(engine: Engine, options: LiveCheckOptions, times: PartTimes) -> SpokenTurnReport:
    connection = await engine.open(EngineRequest(USER, options.model, USER))
    events = EventCollector()
    connection.attach(events)
    try:
        await events.until("session.created")
        send(connection, _session_update(options))
        await events.until("session.updated")
        return await _converse(connection, events, options.question, times)
    finally:
        connection.close(1000, "")


async def _converse(
    connection: Connection, events: EventCollector, question: bytes, times: PartTimes
) -> SpokenTurnReport:
    loop = asyncio.get_running_loop()
    began = loop.time()
    voice_ended = began + voiced_seconds(question)
    microphone = Tasks(lambda *_: None)  # a session that has ended is told by its events
    microphone.run(_speak(connection, question, began), "check microphone")
    try:
        stopped = await events.until("input_audio_buffer.speech_stopped")
        first = await events.until("response.output_audio.delta", "response.done")
        require_completed(await events.until("response.done"), first, "voice")
        heard = await events.until(f"{_TRANSCRIPTION}.completed", f"{_TRANSCRIPTION}.failed")
        spoken = await events.until("response.output_audio_transcript.done")
    finally:
        await microphone.aclose()
    if heard.event["type"].endswith("failed"):
        raise LiveCheckFailed(f"the question was not transcribed: {error_code(heard.event)}")

    def since(at: float) -> float:
        return round(at - voice_ended, 3)

    answered = times.answered_at.get("responder")
    return SpokenTurnReport(
        heard=_text(heard),
        answer=_text(spoken),
        audio_seconds=round(_audio_bytes(events) / SECOND_BYTES, 2),
        first_sound=since(first.at),
        turn_ended=since(stopped.at),
        transcribed=since(heard.at),
        answered=since(answered) if answered is not None else None,
        parts=_work(times),
    )


async def _speak(connection: Connection, question: bytes, began: float) -> None:
    """Send each piece of the question when its last sample is spoken, then silence for ever."""
    loop = asyncio.get_running_loop()
    count = 0
    while True:
        piece = question[count * FRAME_BYTES : (count + 1) * FRAME_BYTES]
        count += 1
        await asyncio.sleep(began + count * FRAME_SECONDS - loop.time())
        audio = base64.b64encode(piece.ljust(FRAME_BYTES, b"\0")).decode()
        send(connection, {"type": "input_audio_buffer.append", "audio": audio})


def voiced_seconds(pcm: bytes) -> float:
    """Return where the last voiced frame of 20 ms ends, in seconds from the beginning."""
    peaks = [_peak(pcm[at : at + FRAME_BYTES]) for at in range(0, len(pcm), FRAME_BYTES)]
    least = max(max(peaks, default=0) * VOICED, 1)
    voiced = [count for count, peak in enumerate(peaks, 1) if peak >= least]
    return (voiced[-1] if voiced else 0) * FRAME_SECONDS


def _peak(frame: bytes) -> int:
    samples = memoryview(frame[: len(frame) & ~1]).cast("h")
    return max(max(samples, default=0), -min(samples, default=0))


def _work(times: PartTimes) -> dict[str, float]:
    found = {
        "transcriber": times.whole.get("transcriber"),
        "responder": times.first.get("responder"),
        "synthesizer": times.first.get("synthesizer"),
    }
    return {part: round(seconds, 3) for part, seconds in found.items() if seconds is not None}


def _session_update(options: LiveCheckOptions) -> Event:
    detection = {"type": "server_vad", "silence_duration_ms": SILENCE_MS}
    heard = {"turn_detection": detection, "transcription": {"model": options.transcription_model}}
    session = {"type": "realtime", "output_modalities": ["audio"], "instructions": INSTRUCTIONS}
    return {"type": "session.update", "session": {**session, "audio": {"input": heard}}}


def _text(received: ReceivedEvent) -> str:
    return str(received.event.get("transcript", ""))


def _audio_bytes(events: EventCollector) -> int:
    deltas = events.all("response.output_audio.delta")
    return sum(len(base64.b64decode(delta.event["delta"])) for delta in deltas)
