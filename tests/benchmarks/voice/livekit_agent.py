"""A LiveKit Agents session in a call, for the comparison; no room, no server.

`python -m tests.benchmarks.voice.livekit_agent PLAN REPORT`, with the interpreter of its own
environment. Its Silero plugin ends a turn and its OpenAI plugin asks the model. It has no
transcriber and no synthesizer of its own that work on this machine: the two classes below put
faster-whisper and Piper behind its interfaces, with the options that cost least.
"""

import asyncio
import os
import sys
import time
from pathlib import Path
from typing import Any, Final

import numpy as np
from faster_whisper import WhisperModel  # type: ignore[import-not-found, import-untyped, unused-ignore]
from livekit import rtc  # type: ignore[import-not-found, attr-defined, unused-ignore]
from livekit.agents import (  # type: ignore[import-not-found, import-untyped, unused-ignore]
    Agent,
    AgentSession,
    stt,
    tts,
    utils,
)
from livekit.agents.voice import io  # type: ignore[import-not-found, import-untyped, unused-ignore]
from livekit.plugins import openai, silero  # type: ignore[import-not-found, import-untyped, unused-ignore]
from piper import PiperVoice  # type: ignore[import-not-found, import-untyped, unused-ignore]

from tests.benchmarks.voice.call import Call, Plan
from tests.benchmarks.voice.conversation import converse

RATE: Final = 16_000
"""Hz of the microphone: what its detector and Whisper take."""


class Transcriber(stt.STT):  # type: ignore[misc, unused-ignore]
    """faster-whisper, in a thread."""

    def __init__(self, folder: str) -> None:
        super().__init__(capabilities=stt.STTCapabilities(streaming=False, interim_results=False))
        self._model = WhisperModel(folder, device="cpu", compute_type="int8")

    async def _recognize_impl(self, buffer: Any, *, language: Any, conn_options: Any) -> Any:
        frame = rtc.combine_audio_frames(buffer)
        samples = np.frombuffer(frame.data, dtype=np.int16).astype(np.float32) / 32768.0
        text = await asyncio.to_thread(self._transcribe, samples)
        return stt.SpeechEvent(
            type=stt.SpeechEventType.FINAL_TRANSCRIPT,
            alternatives=[stt.SpeechData(language="en", text=text)],
        )

    def _transcribe(self, samples: Any) -> str:
        segments, _ = self._model.transcribe(
            samples,
            language="en",
            beam_size=1,
            without_timestamps=True,
            condition_on_previous_text=False,
        )
        return " ".join(segment.text.strip() for segment in segments)


class Synthesizer(tts.TTS):  # type: ignore[misc, unused-ignore]
    """Piper, in a thread."""

    def __init__(self, voice: str) -> None:
        self.voice = PiperVoice.load(voice)
        super().__init__(
            capabilities=tts.TTSCapabilities(streaming=False),
            sample_rate=self.voice.config.sample_rate,
            num_channels=1,
        )

    def synthesize(self, text: str, *, conn_options: Any = None) -> Any:
        more = {} if conn_options is None else {"conn_options": conn_options}
        return Speech(tts=self, input_text=text, **more)


class Speech(tts.ChunkedStream):  # type: ignore[misc, unused-ignore]
    """One text being spoken, sentence by sentence."""

    def __init__(self, *, conn_options: Any, **more: Any) -> None:
        super().__init__(conn_options=conn_options, **more)

    async def _run(self, output_emitter: Any) -> None:
        output_emitter.initialize(
            request_id=utils.shortuuid(),
            sample_rate=self._tts.sample_rate,
            num_channels=1,
            mime_type="audio/pcm",
        )
        chunks = iter(self._tts.voice.synthesize(self._input_text))
        while (chunk := await asyncio.to_thread(next, chunks, None)) is not None:
            output_emitter.push(chunk.audio_int16_bytes)
        output_emitter.flush()


class Microphone(io.AudioInput):  # type: ignore[misc, unused-ignore]
    """Feeds the call's frames into the session."""

    def __init__(self, call: Call) -> None:
        super().__init__(label="microphone")
        self._frames = call.frames()

    async def __anext__(self) -> Any:
        pcm = await anext(self._frames)
        return rtc.AudioFrame(pcm, RATE, 1, len(pcm) // 2)


class Loudspeaker(io.AudioOutput):  # type: ignore[misc, unused-ignore]
    """Takes an answer as fast as it is made, and tells when it has been played."""

    def __init__(self, call: Call) -> None:
        super().__init__(label="loudspeaker", capabilities=io.AudioOutputCapabilities(pause=False))
        self._call = call
        self._pushed = self._left = 0.0
        self._playing: asyncio.Task[None] | None = None

    async def capture_frame(self, frame: Any) -> None:
        await super().capture_frame(frame)
        if not self._pushed:
            self.on_playback_started(created_at=time.time())
        self._pushed += frame.duration
        self._left = self._call.played(bytes(frame.data), frame.sample_rate)

    def flush(self) -> None:
        super().flush()
        if self._pushed:
            self._playing = asyncio.create_task(self._play_out(self._pushed, self._left))
            self._pushed = 0.0

    def clear_buffer(self) -> None:
        self._call.stopped()
        self._left = 0.0
        if self._playing is not None and not self._playing.done():
            self._playing.cancel()
            self.on_playback_finished(playback_position=0.0, interrupted=True)

    async def _play_out(self, length: float, left: float) -> None:
        await asyncio.sleep(max(0.0, left))
        self.on_playback_finished(playback_position=length, interrupted=False)


def make_session(plan: Plan) -> Any:
    """A session that ends a turn after the plan's silence, by its detector alone."""
    silence = plan.silence_ms / 1000
    return AgentSession(
        vad=silero.VAD.load(min_silence_duration=silence),
        stt=Transcriber(plan.whisper),
        llm=openai.LLM(model=plan.model, base_url=plan.base_url, api_key="none"),
        tts=Synthesizer(plan.piper),
        turn_handling={"turn_detection": "vad", "endpointing": {"min_delay": silence}},
        aec_warmup_duration=None,
    )


def listen(session: Any, call: Call) -> None:
    """Have the call note what the session tells."""

    def on_user_state(event: Any) -> None:
        if event.new_state == "listening":
            call.mark("stopped")

    def on_transcript(event: Any) -> None:
        if event.is_final:
            call.transcribed(event.transcript)

    session.on("user_state_changed", on_user_state)
    session.on("user_input_transcribed", on_transcript)


async def main(plan: Plan, report: Path) -> None:
    """Hold the plan's conversation."""
    call, session = Call(RATE), make_session(plan)
    listen(session, call)
    session.input.audio, session.output.audio = Microphone(call), Loudspeaker(call)
    await session.start(agent=Agent(instructions=plan.instructions), record=False)
    await converse(call, plan, os.getpid(), report)
    await session.aclose()


if __name__ == "__main__":
    asyncio.run(main(Plan.read(Path(sys.argv[1])), Path(sys.argv[2])))
