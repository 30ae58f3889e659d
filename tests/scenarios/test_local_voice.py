"""The local voice in whole sessions: it understands people, answers shortly, and nobody else.

Audio is sent faster than real time: turns are found by the audio's own clock.
"""

import asyncio
import base64
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
from websockets.asyncio.client import ClientConnection, connect

from relay.app import App, running
from relay.parts.interfaces import SAMPLE_RATE
from tests.components import needs, require
from tests.engines.cascade.recordings import prompt, prompt_names, prompt_texts, word_errors
from tests.parts.sounds import decoded, music, noise, silence
from tests.scenarios.stage import Event, loaded, token
from tests.word_errors import level_words, plain_words

pytestmark = [pytest.mark.slow, needs("voice", "voice_llm", "human_recordings", "ffmpeg")]

PAUSE: Final = silence(1.5)
"""Longer than the pause within an unfinished sentence may be."""

PATIENCE: Final = 120.0
"""Seconds for one answer on a busy machine."""

TRANSCRIBED: Final = "conversation.item.input_audio_transcription.completed"
LONGEST_ANSWER: Final = 6.0
ADVERTISEMENT: Final = re.compile(r"api|key|openai|ollama|install|setting", re.IGNORECASE)


class Speaker:
    """A client that speaks and gathers what comes back."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self.events: list[Event] = []

    async def settle(self, **turns: Any) -> None:
        """Set how turns are taken, with transcripts."""
        detection = {"type": "server_vad", "silence_duration_ms": 500, **turns}
        audio = {"input": {"transcription": {"model": "whisper-1"}, "turn_detection": detection}}
        session = {"type": "realtime", "audio": audio}
        await self.send("session.update", session=session)
        await self.until("session.updated")

    async def send(self, kind: str, **fields: Any) -> None:
        await self._socket.send(msgspec.json.encode({"type": kind, **fields}), text=True)

    async def append(self, pcm: bytes) -> None:
        """Send audio, a second at a time."""
        for start in range(0, len(pcm), 2 * SAMPLE_RATE):
            audio = base64.b64encode(pcm[start : start + 2 * SAMPLE_RATE]).decode()
            await self.send("input_audio_buffer.append", audio=audio)

    async def until(self, kind: str, count: int = 1) -> list[Event]:
        """Read until so many events of a type came; returns all that came with them."""
        came: list[Event] = []
        async with asyncio.timeout(PATIENCE):
            while sum(event["type"] == kind for event in came) < count:
                came.append(msgspec.json.decode(await self._socket.recv()))
        self.events += came
        return came

    async def heard(self, pcm: bytes) -> str:
        """Say something; returns what was understood of it, over all turns that it became."""
        await self.append(pcm + PAUSE)
        await self.send("input_audio_buffer.clear")
        came = await self.until("input_audio_buffer.cleared")
        turns = sum(event["type"] == "input_audio_buffer.committed" for event in came)
        done = sum(event["type"] == TRANSCRIBED for event in came)
        came += await self.until(TRANSCRIBED, turns - done) if turns > done else []
        return " ".join(event["transcript"] for event in came if event["type"] == TRANSCRIBED)

    async def answer_to(self, pcm: bytes) -> tuple[str, str, float]:
        """Say something; returns what was understood, the answer, and its seconds of sound."""
        await self.append(pcm + PAUSE)
        came = await self.until("response.done")
        understood = [event["transcript"] for event in came if event["type"] == TRANSCRIBED]
        deltas = [event for event in came if event["type"] == "response.output_audio.delta"]
        seconds = sum(len(base64.b64decode(e["delta"])) for e in deltas) / 2 / SAMPLE_RATE
        (message,) = came[-1]["response"]["output"]
        return " ".join(understood), message["content"][0]["transcript"].strip(), seconds


@asynccontextmanager
async def local_voice(folder: Path) -> AsyncIterator[App]:
    settings = loaded(folder, relay_engine="offline", relay_llm="local")
    async with running(settings) as app:
        yield app


@asynccontextmanager
async def speaker(app: App, **turns: Any) -> AsyncIterator[Speaker]:
    headers = {"Authorization": f"Bearer {token()}"}
    url = f"ws://127.0.0.1:{app.listener.port}/v1/realtime"
    async with connect(url, additional_headers=headers, compression=None, max_size=None) as socket:
        client = Speaker(socket)
        await client.settle(**turns)
        yield client


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[App]:
    async with local_voice(tmp_path) as made:
        yield made


def sentences() -> list[str]:
    """The prompts with four words or more and no figures."""
    texts = prompt_texts()
    names = [name for name in prompt_names() if not re.search(r"\d", texts[name])]
    return [name for name in names if len(plain_words(texts[name])) >= 4]


async def test_at_most_six_words_in_a_hundred_are_misunderstood(
    app: App, record_property: Callable[[str, str], None]
) -> None:
    names, plain, level, words = sentences(), 0, 0, 0
    texts = prompt_texts()
    async with speaker(app, create_response=False) as client:
        for name in names:
            understood = await client.heard(prompt(name))
            plain += word_errors(plain_words(texts[name]), plain_words(understood))
            level += word_errors(level_words(texts[name]), level_words(understood))
            words += len(plain_words(texts[name]))

    wrong = {"plain": plain / words, "levelled": level / words}
    record_property("word errors", str(wrong))
    assert len(names) >= 193
    assert wrong["plain"] <= 0.06, wrong


async def test_sounds_that_are_no_speech_become_no_words(app: App) -> None:
    sounds = {
        "silence": silence(60),
        **{kind: noise(kind, 60, 1000) for kind in ("white", "pink", "hum")},
        **{kind: music(kind, 60) for kind in ("chords", "drums", "both")},
    }
    understood = {}
    async with speaker(app, create_response=False) as client:
        for kind, pcm in sounds.items():
            understood[kind] = await client.heard(pcm)

    assert {kind: text for kind, text in understood.items() if text} == {}


FITS: Final = {
    "hello": r"hello|hi\b|good to|welcome|nice",
    "one-moment-please": r"time|here|wait|ready|hurry|rush",
    "queue-thankyou": r"welcome|pleasure|glad|any time",
    "please-try-again": r"again|repeat|another|rephrase|once more",
    "im-sorry": r"no problem|all right|alright|fine|worry|okay|no need|happens",
    "vm-sorry": r"again|differently|simpl|other words|another way|mean|clear|no problem|worry",
    "something-terribly-wrong": r"wrong|happen|what|sorry|help|tell me",
    "sorry-youre-having-problems": r"thank|kind|appreciate|all right|help",
    "tt-weasels": r"weasel|phone|happen|really|oh|sorry|more",
    "goodbye": r"bye|see you|take care|talk",
}
"""What counts as fitting an answer to each.

To somebody who did not understand (`vm-sorry`), saying the same once more fits too.
"""


async def test_at_least_eight_of_ten_answers_fit_what_was_said(
    app: App, record_property: Callable[[str, str], None]
) -> None:
    told: dict[str, tuple[str, str, float]] = {}
    async with speaker(app) as client:
        for name in FITS:
            told[name] = await client.answer_to(prompt(name))

    record_property("conversation", str(told))
    fit = [
        name
        for name, (_, answer, _) in told.items()
        if re.search(FITS[name], answer, re.IGNORECASE)
    ]
    assert len(fit) >= 8, told
    assert max(seconds for _, _, seconds in told.values()) <= LONGEST_ANSWER
    assert [answer for _, answer, _ in told.values() if ADVERTISEMENT.search(answer)] == []


async def test_no_answer_is_long_or_an_advertisement(
    app: App, record_property: Callable[[str, str], None]
) -> None:
    names = sentences()[::12]
    told: dict[str, tuple[str, float]] = {}
    async with speaker(app) as client:
        for name in names:
            _, answer, seconds = await client.answer_to(prompt(name))
            told[prompt_texts()[name]] = (answer, round(seconds, 1))

    record_property("answers", str(told))
    assert {said: one for said, one in told.items() if one[1] > LONGEST_ANSWER} == {}
    assert {said: one for said, one in told.items() if ADVERTISEMENT.search(one[0])} == {}


async def test_four_people_at_once_are_not_mixed_up(app: App) -> None:
    names = ["conf-onlyperson", "vm-nobodyavail", "ss-noservice", "agent-alreadyon"]
    texts = prompt_texts()

    async def talk(name: str) -> tuple[str, str, float]:
        async with speaker(app) as client:
            return await client.answer_to(prompt(name))

    async with asyncio.TaskGroup() as group:
        talks = {name: group.create_task(talk(name)) for name in names}

    for name, one in talks.items():
        said, heard = level_words(texts[name]), level_words(one.result()[0])
        assert word_errors(said, heard) <= len(said) // 4, (name, one.result())
        assert one.result()[1]


async def test_after_a_voice_interrupts_nothing_more_of_the_answer_comes(app: App) -> None:
    async with speaker(app) as client:
        await client.append(prompt("something-terribly-wrong") + PAUSE)
        await client.until("response.output_audio.delta")
        await client.append(prompt("conf-onlyperson")[: 2 * SAMPLE_RATE] + PAUSE)
        came = await client.until("response.done", 2)

    kinds = [event["type"] for event in came]
    started = kinds.index("input_audio_buffer.speech_started")
    second = kinds.index("response.created", started)
    assert "response.output_audio.delta" not in kinds[started:second]


@pytest.mark.parametrize("language", ["spanish", "french", "italian"])
async def test_what_is_said_in_another_language_is_not_understood(app: App, language: str) -> None:
    folder = require(f"{language}_recordings")
    prompts = sorted(path for path in folder.glob("*.g722") if path.stat().st_size > 16_000)[:20]
    async with speaker(app, create_response=False) as client:
        understood = [await client.heard(decoded(str(path))) for path in prompts]

    assert sum(not text for text in understood) >= 16, understood
