"""A conversation as PyPI's `pipecat-ai` holds it with its OpenAI realtime service, in its own venv.

The learner writes first and then speaks; what Pipecat adds in the middle goes to the model as a
system message. Prints the messages that its context keeps, the seconds of sound that were played,
and its errors.
"""

import asyncio
import json
import sys
import time
from pathlib import Path

from loguru import logger
from pipecat.adapters.llm.schemas.function_schema import FunctionSchema
from pipecat.adapters.llm.schemas.tools_schema import ToolsSchema
from pipecat.frames.frames import (
    BotStoppedSpeakingFrame,
    EndFrame,
    InputAudioRawFrame,
    LLMMessagesAppendFrame,
    LLMRunFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import LLMContextAggregatorPair
from pipecat.services.openai.realtime.events import (
    AudioConfiguration,
    AudioInput,
    InputAudioTranscription,
    SessionProperties,
    TurnDetection,
)
from pipecat.services.openai.realtime.llm import OpenAIRealtimeLLMService
from pipecat.transports.base_input import BaseInputTransport
from pipecat.transports.base_output import BaseOutputTransport
from pipecat.transports.base_transport import TransportParams
from pipecat.workers.runner import WorkerRunner

ORIGIN, KEY, SAID = sys.argv[1:]
RATE = 24_000
PIECE = 4800  # bytes of a tenth of a second
MOMENT = 0.2
WEATHER = FunctionSchema(
    name="home-weather",
    description="The weather of a city.",
    properties={"city": {"type": "string"}},
    required=["city"],
)


class Microphone(BaseInputTransport):
    """Gives what is said, else silence, at the pace of sound."""

    def __init__(self, params):
        super().__init__(params)
        self.said, self.answers, self.news = b"", 0, asyncio.Event()
        self.errors: list[str] = []
        self._feeding = None

    async def start(self, frame):
        await super().start(frame)
        await self.set_transport_ready(frame)
        self._feeding = self.create_task(self._feed())

    async def cleanup(self):
        if self._feeding is not None:
            await self.cancel_task(self._feeding)
        await super().cleanup()

    async def process_frame(self, frame, direction):
        await super().process_frame(frame, direction)
        if isinstance(frame, BotStoppedSpeakingFrame):
            self.answers += 1
            self.news.set()

    async def answered(self, count):
        """Wait until so many answers have been played, whole or in part, or until an error."""
        while self.answers < count and not self.errors:
            await self.news.wait()
            self.news.clear()
        await asyncio.sleep(2 * MOMENT)  # what was written is in a device's buffer for a while

    async def _feed(self):
        due = time.monotonic()
        while True:
            due += 0.1
            await asyncio.sleep(due - time.monotonic())
            piece, self.said = self.said[:PIECE].ljust(PIECE, b"\0"), self.said[PIECE:]
            await self.push_audio_frame(InputAudioRawFrame(piece, RATE, 1))


class Loudspeaker(BaseOutputTransport):
    """Begins after a moment and plays at the pace of sound: a write returns when it has played."""

    def __init__(self, params):
        super().__init__(params)
        self.seconds, self._free_at = 0.0, 0.0

    async def start(self, frame):
        await super().start(frame)
        await self.set_transport_ready(frame)

    async def write_audio_frame(self, frame):
        length = len(frame.audio) / (2 * frame.sample_rate)
        now = time.monotonic()
        is_idle = now > self._free_at + 0.1
        self._free_at = (now + MOMENT if is_idle else self._free_at) + length
        await asyncio.sleep(self._free_at - time.monotonic())
        if any(frame.audio):
            self.seconds += length
        return True


class Call:
    """One pipeline, and what happens in it."""

    def __init__(self):
        params = TransportParams(
            audio_in_enabled=True,
            audio_in_sample_rate=RATE,
            audio_out_enabled=True,
            audio_out_sample_rate=RATE,
        )
        self.context = LLMContext(
            [{"role": "user", "content": "Good morning."}], ToolsSchema(standard_tools=[WEATHER])
        )
        pair = LLMContextAggregatorPair(self.context)
        self.microphone, self.speaker = Microphone(params), Loudspeaker(params)
        self.service = self._service()

        @self.service.event_handler("on_error")
        async def on_error(_service, frame):
            self.microphone.errors.append(frame.error)
            self.microphone.news.set()

        parts = [self.microphone, pair.user(), self.service, self.speaker, pair.assistant()]
        self.worker = PipelineWorker(
            Pipeline(parts),
            params=PipelineParams(audio_in_sample_rate=RATE, audio_out_sample_rate=RATE),
            enable_rtvi=False,
            idle_timeout_secs=None,
        )

    def _service(self):
        heard = AudioInput(
            transcription=InputAudioTranscription(), turn_detection=TurnDetection(type="server_vad")
        )
        service = OpenAIRealtimeLLMService(
            api_key=KEY,
            base_url=f"{ORIGIN.replace('http', 'ws', 1)}/v1/realtime",
            settings=OpenAIRealtimeLLMService.Settings(
                system_instruction="Be brief.",
                session_properties=SessionProperties(audio=AudioConfiguration(input=heard)),
            ),
        )

        async def weather(params):
            await params.result_callback("rain")

        service.register_function("home-weather", weather)
        return service

    def speak(self):
        self.microphone.said += Path(SAID).read_bytes()


async def converse(call):
    await call.worker.queue_frames([LLMRunFrame()])
    await call.microphone.answered(1)
    call.speak()
    heard = call.speaker.seconds
    while call.speaker.seconds < heard + 1.0:  # a second of it is heard
        await asyncio.sleep(0.02)
    call.speak()
    await call.microphone.answered(3)
    asked = {"role": "user", "content": "What is the weather in Oslo?"}
    await call.service.queue_frame(LLMMessagesAppendFrame([asked], run_llm=True))
    await call.microphone.answered(4)


async def main():
    logger.remove()
    logger.add(sys.stderr, level="WARNING")
    call = Call()
    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(call.worker)
    running = asyncio.create_task(runner.run())
    await converse(call)
    await call.worker.queue_frames([EndFrame()])
    await running
    rows = [[said["role"], said.get("content") or ""] for said in call.context.get_messages()]
    told = {"rows": rows, "seconds": call.speaker.seconds, "errors": call.microphone.errors}
    sys.stdout.write(json.dumps(told))


asyncio.run(main())
