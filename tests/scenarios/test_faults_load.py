"""Faults that weigh: a provider that does not read, and an item of five mebibytes."""

import asyncio
import base64
from pathlib import Path

from relay.simulator.faults import LargeItem, SlowReader
from tests.scenarios.faulty import FIRST, PLAIN, Caller, bad_day

NUMBERS = range(1_000_000, 1_000_400)
"""Of pieces of half a second of sound: 12.8 MB, more than sockets and buffers between hold."""


async def floods(caller: Caller) -> None:
    """Send numbered sound as fast as it is taken."""
    for number in NUMBERS:
        audio = base64.b64encode(number.to_bytes(4, "little") * 6000).decode()
        await caller.line.send({"type": "input_audio_buffer.append", "audio": audio})


async def test_a_provider_that_does_not_read_for_a_while_gets_all_of_it_in_order(
    tmp_path: Path,
) -> None:
    fault = SlowReader(seconds=1, after_events=1, only=FIRST)
    async with bad_day(tmp_path, fault) as here, here.two() as (sick, well):
        turnless = {"type": "realtime", "audio": {"input": {"turn_detection": None}}}
        await sick.line.send({"type": "session.update", "session": turnless})
        flood = asyncio.ensure_future(floods(sick))
        await well.converses_to_the_last_word()
        assert not flood.done(), "it cannot get rid of it meanwhile"
        await flood
        await sick.at_rest()
    assert here.told(well) == PLAIN
    sound = [event["audio"] for event in here.went_up if event["type"].endswith("append")]
    numbers = [int.from_bytes(base64.b64decode(audio)[:4], "little") for audio in sound]
    assert [n for n in numbers if n in NUMBERS] == list(NUMBERS)


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
