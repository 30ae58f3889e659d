"""Faults that weigh: a provider that does not read, and an item of five mebibytes."""

import asyncio
import base64
from pathlib import Path

from relay.simulator.faults import LargeItem, SlowReader
from tests.scenarios.faulty import FIRST, PLAIN, Bad, Caller, bad_day

NUMBERS = range(1_000_000, 1_000_400)
"""Of pieces of half a second of sound: 12.8 MB."""
RESTS = (1, 3, 8)
"""Seconds: one of them is longer than a conversation takes, on a busy machine too."""


async def floods(caller: Caller) -> None:
    """Send numbered sound as fast as it is taken."""
    for number in NUMBERS:
        audio = base64.b64encode(number.to_bytes(4, "little") * 6000).decode()
        await caller.line.send({"type": "input_audio_buffer.append", "audio": audio})


async def test_a_provider_that_does_not_read_for_a_while_gets_all_of_it_in_order(
    tmp_path: Path,
) -> None:
    for seconds in RESTS:
        if await floods_one_that_rests(tmp_path / str(seconds), seconds):
            return
    raise AssertionError("it delays another caller until it reads on")


async def floods_one_that_rests(folder: Path, seconds: float) -> bool:
    """Flood it; True when another caller's whole conversation was over before it read on."""
    fault = SlowReader(seconds=seconds, after_events=1, only=FIRST)
    async with bad_day(folder, fault) as here, here.two() as (sick, well):
        turnless = {"type": "realtime", "audio": {"input": {"turn_detection": None}}}
        await sick.line.send({"type": "session.update", "session": turnless})
        flood = asyncio.ensure_future(floods(sick))
        await well.converses_to_the_last_word()
        delays_nobody = not read_of_it(here)
        await flood
        await sick.at_rest()
    assert here.told(well) == PLAIN
    assert read_of_it(here) == list(NUMBERS)
    return delays_nobody


def read_of_it(here: Bad) -> list[int]:
    """The numbers of the flood that the provider has read, in its order."""
    sound = [event["audio"] for event in here.went_up if event["type"].endswith("append")]
    numbers = [int.from_bytes(base64.b64decode(audio)[:4], "little") for audio in sound]
    return [number for number in numbers if number in NUMBERS]


async def test_a_retrieved_item_of_five_mebibytes_arrives_whole_and_delays_nobody(
    tmp_path: Path,
) -> None:
    fault = LargeItem(only=FIRST)
    async with bad_day(tmp_path, fault) as here, here.two() as (sick, well):
        await sick.converses_to_the_last_word()
        item = sick.of("conversation.item.added")[0]["item"]
        await sick.line.send({"type": "conversation.item.retrieve", "item_id": item["id"]})
        await well.converses_to_the_last_word()  # before the other one has read it
        await sick.hears(lambda: sick.of("conversation.item.retrieved"))
    retrieved = sick.of("conversation.item.retrieved")[0]["item"]
    assert retrieved["id"] == item["id"]
    assert len(retrieved["content"][0]["audio"]) == 5 << 20
    assert here.told(sick) == here.told(well) == PLAIN
