"""Honest callers whose behaviour looks unusual, and who must notice nothing of any bound."""

import asyncio
import base64
import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.hostile.fast_loop import FastLoop
from tests.hostile.radio import out_of_reach
from tests.scenarios.by_hand import End, client, openai, provided
from tests.scenarios.stage import Event
from tests.websocket.ends import PING

RATE = 48_000
"""Bytes of PCM16 a second, at 24 kHz."""
FRAME = 960
MINUTE = 60 * RATE
PATIENCE = 30.0
COMMIT: Event = {"type": "input_audio_buffer.commit"}
GAP = 8.0
"""Seconds of a phone between two cells."""
CATCHES_UP = 30.0
"""Seconds after a gap: TCP tries again ever more rarely, and may just have tried."""
SPEED = 10.0
SILENCE_SECONDS = 300.0


def append(pcm: bytes) -> Event:
    return {"type": "input_audio_buffer.append", "audio": base64.b64encode(pcm).decode()}


def audio_of(texts: list[bytes]) -> bytes:
    """The sound in all of these events, in order."""
    events = map(json.loads, texts)
    return b"".join(base64.b64decode(event["audio"]) for event in events if "audio" in event)


def appends(texts: list[bytes]) -> int:
    return sum(b"input_audio_buffer.append" in text for text in texts)


async def until(enough: Callable[[], object], within: float = PATIENCE) -> None:
    async with asyncio.timeout(within):
        while not enough():
            await asyncio.sleep(0.01)


def is_unharmed(caller: End) -> bool:
    """Whether the caller was neither ended nor told of any error."""
    return not caller.gone.is_set() and "error" not in caller.types


# ------------------------------------------------------------------------------------ push to talk


@pytest.mark.parametrize("piece", [MINUTE, 10 * RATE, FRAME], ids=["one event", "six", "3,000"])
async def test_a_minute_of_sound_that_is_appended_at_once(tmp_path: Path, piece: int) -> None:
    sound = random.Random(1).randbytes(MINUTE)
    async with provided(tmp_path) as (here, provider), client(here, openai()) as caller:
        call = await provider.call()
        await caller.until("session.created")
        caller.send(*(append(sound[at : at + piece]) for at in range(0, MINUTE, piece)))
        caller.send(COMMIT, {"type": "response.create"})
        await until(lambda: call.texts and b"response.create" in call.texts[-1])
        assert audio_of(call.texts) == sound
        assert [event for event in call.types if "append" not in event][-2:] == [
            "input_audio_buffer.commit",
            "response.create",
        ]
        assert is_unharmed(caller)


# ---------------------------------------------------------------------------------- phone handover


def delta(number: int) -> Event:
    return {
        "type": "response.output_audio.delta",
        "event_id": f"event_{number}",
        "response_id": "resp_1",
        "item_id": "item_1",
        "output_index": 0,
        "content_index": 0,
        "delta": base64.b64encode(number.to_bytes(2, "little") * 2400).decode(),
    }


@pytest.mark.slow
async def test_a_phone_that_is_out_of_reach_for_eight_seconds(tmp_path: Path) -> None:
    """The model speaks on meanwhile, and the phone sends late what its microphone heard."""
    async with provided(tmp_path) as (here, provider), client(here, openai()) as caller:
        call = await provider.call()
        await caller.until("session.created")
        caller.send(append(bytes(FRAME)))
        await until(lambda: call.texts)
        with out_of_reach(caller.raw.writer.get_extra_info("socket")):
            for number in range(80):
                call.send(delta(number))
                await asyncio.sleep(GAP / 80)
        late = [number.to_bytes(2, "little") * 480 for number in range(1, 1 + round(GAP / 0.02))]
        caller.send(*map(append, late))
        await until(lambda: caller.types.count(delta(0)["type"]) == 80, CATCHES_UP)
        await until(lambda: len(audio_of(call.texts)) == FRAME * (1 + len(late)), CATCHES_UP)
        told = [event for event in caller.events if event["type"] == delta(0)["type"]]
        assert [event["delta"] for event in told] == [delta(n)["delta"] for n in range(80)]
        assert audio_of(call.texts) == bytes(FRAME) + b"".join(late)
        assert is_unharmed(caller)
        assert not call.gone.is_set()


# --------------------------------------------------------------------------------- open microphone


async def five_minutes_of_silence(folder: Path, loop: FastLoop) -> None:
    """A person listens into the room and says nothing; then somebody speaks.

    IDLE_TIMEOUT is longer than that: with its default the call would end as `idle`, rightly.
    """
    async with (
        provided(folder, loop.unix, idle_timeout=2 * SILENCE_SECONDS) as (here, provider),
        client(here, openai()) as caller,
    ):
        call = await provider.call()
        await caller.until("session.created")
        began, frames = loop.time(), round(SILENCE_SECONDS / 0.02)
        for number in range(frames):
            caller.send(append(bytes(FRAME)))
            await asyncio.sleep(max(0.0, began + 0.02 * (number + 1) - loop.time()))
        # What the relay itself says to an engine comes too, so events are not frames of sound.
        await until(lambda: appends(call.texts) == frames, SPEED * PATIENCE)
        assert audio_of(call.texts) == bytes(FRAME * frames)
        call.send({"type": "input_audio_buffer.speech_started", "audio_start_ms": 300_000})
        await caller.until("input_audio_buffer.speech_started")
        assert caller.kinds.count(PING) >= SILENCE_SECONDS / 30 - 2
        assert is_unharmed(caller)
        assert not call.gone.is_set()


@pytest.mark.slow
def test_an_open_microphone_through_five_minutes_of_silence(tmp_path: Path) -> None:
    loop = FastLoop(SPEED)
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(five_minutes_of_silence(tmp_path, loop))
