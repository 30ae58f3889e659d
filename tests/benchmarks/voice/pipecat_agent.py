"""A Pipecat agent in a call, for the comparison: everything of its own but the two ends.

`python -m tests.benchmarks.voice.pipecat_agent PLAN REPORT [N]`, with the interpreter of its own
environment; N calls at once have remote parts. Its Silero VAD ends a turn, its Whisper and Piper
services and its OpenAI-compatible model do the rest; only the transport is ours: a microphone and
a loudspeaker without devices.
"""

import asyncio
import os
import sys
from pathlib import Path
from typing import Any, Final

from loguru import logger
from pipecat.audio.vad.silero import SileroVADAnalyzer
from pipecat.audio.vad.vad_analyzer import VADParams
from pipecat.frames.frames import (
    InputAudioRawFrame,
    OutputAudioRawFrame,
    StartFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import (
    PipelineParams,
    PipelineWorker,
)
from pipecat.processors.aggregators.llm_context import (
    LLMContext,
)
from pipecat.processors.aggregators.llm_response_universal import (
    LLMContextAggregatorPair,
    LLMUserAggregatorParams,
)
from pipecat.services.openai.llm import OpenAILLMService
from pipecat.services.openai.stt import OpenAISTTService
from pipecat.services.openai.tts import OpenAITTSService
from pipecat.services.piper.tts import PiperTTSService
from pipecat.services.whisper.stt import WhisperSTTService
from pipecat.transports.base_input import BaseInputTransport
from pipecat.transports.base_output import BaseOutputTransport
from pipecat.transports.base_transport import TransportParams
from pipecat.turns.user_stop import (
    SpeechTimeoutUserTurnStopStrategy,
)
from pipecat.turns.user_turn_strategies import UserTurnStrategies
from pipecat.workers.runner import WorkerRunner

from tests.benchmarks.proc import resident_kib
from tests.benchmarks.voice.call import Call, Plan
from tests.benchmarks.voice.conversation import converse, converse_at_once

IN_RATE: Final = 16_000
"""Hz of the microphone: what its detector and Whisper take."""
OUT_RATE: Final = 24_000


class Microphone(BaseInputTransport):  # type: ignore[misc]
    """Feeds the call's frames into the pipeline."""

    def __init__(self, call: Call, params: TransportParams) -> None:
        super().__init__(params)
        self._call = call
        self._feeding: asyncio.Task[None] | None = None

    async def start(self, frame: StartFrame) -> None:
        await super().start(frame)
        await self.set_transport_ready(frame)
        self._feeding = self.create_task(self._feed())

    async def cleanup(self) -> None:
        if self._feeding is not None:
            await self.cancel_task(self._feeding)
        await super().cleanup()

    async def _feed(self) -> None:
        async for pcm in self._call.frames():
            await self.push_audio_frame(InputAudioRawFrame(pcm, IN_RATE, 1))


class Loudspeaker(BaseOutputTransport):  # type: ignore[misc]
    """Plays at the pace of sound: a write returns when what came before it has been played."""

    def __init__(self, call: Call, params: TransportParams) -> None:
        super().__init__(params)
        self._call = call

    async def start(self, frame: StartFrame) -> None:
        await super().start(frame)
        await self.set_transport_ready(frame)

    async def write_audio_frame(self, frame: OutputAudioRawFrame) -> bool:
        pcm = frame.audio
        await self._call.play_out(pcm, frame.sample_rate)
        return True


def end_turns_after(silence_ms: int) -> dict[str, Any]:
    """The settings that end a turn after so much silence, by the detector alone."""
    detector = SileroVADAnalyzer(params=VADParams(stop_secs=silence_ms / 1000))
    stop = [SpeechTimeoutUserTurnStopStrategy(user_speech_timeout=0)]
    return {"vad_analyzer": detector, "user_turn_strategies": UserTurnStrategies(stop=stop)}


def end_turns_by_default() -> dict[str, Any]:
    """Its own defaults: 0.2 s of silence, and a model that judges whether the turn is over."""
    return {"vad_analyzer": SileroVADAnalyzer()}


def make_worker(call: Call, plan: Plan, services: tuple[Any, Any, Any]) -> PipelineWorker:
    """One call's pipeline over a transcriber, a model and a synthesizer."""
    transcriber, model, synthesizer = services
    turns = end_turns_after(plan.silence_ms) if plan.silence_ms else end_turns_by_default()
    context = LLMContext([{"role": "system", "content": plan.instructions}])
    pair = LLMContextAggregatorPair(context, user_params=LLMUserAggregatorParams(**turns))
    user, assistant = pair.user(), pair.assistant()

    async def on_stopped(*_: object) -> None:
        call.mark("stopped")

    async def on_turn(_user: object, _strategy: object, message: Any) -> None:
        call.transcribed(message.content or "")

    user._vad_controller.add_event_handler("on_speech_stopped", on_stopped)
    user.add_event_handler("on_user_turn_stopped", on_turn)
    params = TransportParams(
        audio_in_enabled=True,
        audio_in_sample_rate=IN_RATE,
        audio_out_enabled=True,
        audio_out_sample_rate=OUT_RATE,
    )
    ends = Microphone(call, params), Loudspeaker(call, params)
    parts = [ends[0], transcriber, user, model, synthesizer, ends[1], assistant]
    return PipelineWorker(
        Pipeline(parts),
        params=PipelineParams(audio_in_sample_rate=IN_RATE, audio_out_sample_rate=OUT_RATE),
        enable_rtvi=False,
        enable_turn_tracking=False,
        idle_timeout_secs=None,
    )


def local_services(plan: Plan) -> tuple[Any, Any, Any]:
    """Its own services over the packaged models; the transcriber in 8 bits, as ours."""
    voice = Path(plan.piper)
    return (
        WhisperSTTService(
            device="cpu",
            compute_type="int8",
            settings=WhisperSTTService.Settings(model=plan.whisper),
        ),
        OpenAILLMService(
            api_key="none",
            base_url=plan.base_url,
            settings=OpenAILLMService.Settings(model=plan.model),
        ),
        PiperTTSService(
            download_dir=voice.parent, settings=PiperTTSService.Settings(voice=voice.stem)
        ),
    )


def remote_services(plan: Plan) -> tuple[Any, Any, Any]:
    """Its own services for OpenAI's addresses."""
    address = {"api_key": "none", "base_url": plan.base_url}
    return (
        OpenAISTTService(**address, settings=OpenAISTTService.Settings(model="whisper-1")),
        OpenAILLMService(**address, settings=OpenAILLMService.Settings(model=plan.model)),
        OpenAITTSService(**address, settings=OpenAITTSService.Settings(model="tts-1")),
    )


async def main(plan: Plan, report: Path, crowd: int) -> None:
    """Hold the plan's conversation; or so many at once, with remote parts."""
    logger.remove()
    logger.add(sys.stderr, level="WARNING")
    empty = resident_kib(os.getpid()) / 1024
    calls = [Call(IN_RATE) for _ in range(crowd or 1)]
    services = remote_services if crowd else local_services
    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(*(make_worker(call, plan, services(plan)) for call in calls))
    running = asyncio.create_task(runner.run())
    if crowd:
        await converse_at_once(calls, plan, os.getpid(), empty, report)
    else:
        await converse(calls[0], plan, os.getpid(), report)
    await runner.cancel()
    await running


if __name__ == "__main__":
    _, given, written, *more = sys.argv
    asyncio.run(main(Plan.read(Path(given)), Path(written), int(more[0]) if more else 0))
