"""Four sessions that speak at once, and one with the whole voice on this machine."""

import asyncio
import base64
import time
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from relay.audio.wav import wav_of
from relay.parts.simple import Script
from tests.components import needs
from tests.doors.sessions.old_client import SessionsClient, SessionSocket, sessions_door
from tests.engines.cascade.recordings import prompt, prompt_texts, word_errors
from tests.word_errors import level_words

TURNS = 3
SAID = "vm-tempgreeting"
"""A prompt of some three seconds."""
Note = Callable[[str, object], None]


async def test_S0_25_S0_48_four_sessions_speak_at_once_and_hear_their_own(
    tmp_path: Path, record_property: Note
) -> None:
    heard = [f"Sentence number {number}." for number in range(4 * TURNS)]
    names = [f"s{number}" for number in range(4)]
    before = memory()
    async with sessions_door(tmp_path, Script(heard=heard)) as client:
        async with asyncio.TaskGroup() as group:
            talks = [group.create_task(talk(client, name)) for name in names]
        records = [await client.record(name) for name in names]
        grown = memory() - before

    took = sorted(chain.from_iterable(talk.result() for talk in talks))
    figures = {"seconds": took[len(took) // 2], "most": took[-1], "MiB": grown / 1024**2}
    record_property("four sessions", figures)
    print(figures)  # noqa: T201 - the figures that the documents state
    said = [[entry["text"] for entry in record["transcript"]] for record in records]
    assert sorted(chain.from_iterable(said)) == sorted(heard), "each sentence in one session"
    for record, own in zip(records, said, strict=True):
        assert len(own) == TURNS
        assert [one["text"] for one in record["aiResponses"]] == [f"You said: {one}" for one in own]
    assert grown < 100 * 1024**2


async def talk(client: SessionsClient, name: str) -> list[float]:
    """Speak a few turns; how long each took, in seconds. Each is answered with one sound."""
    await client.create(name, clientContext={"name": name})
    took = []
    async with client.socket("audio", name) as ear:
        for _ in range(TURNS):
            began = time.monotonic()
            answer = await client.speak(name)
            took.append(time.monotonic() - began)
            assert answer["data"]["aiResponse"] == f"You said: {answer['data']['transcript']}"
            await whole_sound(ear)
        with pytest.raises(TimeoutError):
            await ear.next("audio_response", within=0.3)
    return took


async def whole_sound(ear: SessionSocket) -> int:
    """Bytes of the next answer's sound; its frames are numbered without a gap."""
    numbers, size = [], 0
    frame: dict[str, Any] = {}
    while "final" not in frame:
        frame = await ear.next("audio_response", within=60)
        numbers.append(frame["sequence"])
        size += len(base64.b64decode(frame["audioData"]))
    assert numbers == list(range(len(numbers)))
    return size


@pytest.mark.slow
@needs("voice", "voice_llm", "human_recordings")
async def test_S0_29_S0_48_a_person_is_answered_by_the_voice_on_board(
    tmp_path: Path, record_property: Note
) -> None:
    audio = base64.b64encode(wav_of(prompt(SAID))).decode()
    async with sessions_door(tmp_path, relay_engine="offline", relay_llm="local") as client:
        await client.create(clientContext={"name": "Mia"})
        first, whole, answer = [], [], {}
        async with client.socket("audio") as ear:
            for _ in range(3):
                began = time.monotonic()
                turn = asyncio.ensure_future(client.speak(audioData=audio))
                await ear.next("audio_response", within=60)
                first.append(time.monotonic() - began)
                answer = (await turn)["data"]
                whole.append(time.monotonic() - began)
                while "final" not in ear.seen[-1]:
                    await ear.next("audio_response", within=60)

    figures = {"first sound": sorted(first)[1], "whole": sorted(whole)[1], "each": first}
    record_property("sessions, local", figures)
    print(figures, answer)  # noqa: T201 - the figures that the documents state
    text = level_words(prompt_texts()[SAID])
    assert word_errors(text, level_words(answer["transcript"])) <= len(text) // 5
    assert answer["aiResponse"]
    assert not answer["aiResponse"].startswith("You said"), "that would be the simulator"
    assert sorted(first)[1] < 5.0


def memory() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
