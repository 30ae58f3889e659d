"""A conversation is taken up again while an answer is being heard: the engine is told all of it."""

import asyncio
import base64
import itertools
import time
from contextlib import AsyncExitStack
from pathlib import Path

from tests.realtime import wire_events as wire
from tests.scenarios.by_hand import PATIENCE, End, Provider, browser, client, openai, provided
from tests.scenarios.stage import Event, new_id

RECONNECTS = 50
SECOND = base64.b64encode(bytes(48_000)).decode()
ANSWER = "one two three four five six seven eight nine ten"


class Clock:
    """The relay's clock, which may be put forward so that more of an answer was heard."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


def goodbye(end: End) -> None:
    end.say_goodbye(1000)


def reset(end: End) -> None:
    end.raw.reset()


def silence(end: End) -> None:
    end.reads.clear()
    end.answers = False


def begun_answer(number: int) -> list[Event]:
    """What an engine says of an answer whose sound lasts a second, up to the middle of it."""
    said = wire.answer("A1", f"{number} {ANSWER}", "U1")
    words = next(n for n, event in enumerate(said) if event["type"].endswith("audio.done"))
    ids = {key: said[words][key] for key in ("response_id", "item_id", "output_index")}
    sound = {"type": "response.output_audio.delta", **ids, "content_index": 0, "delta": SECOND}
    return [*said[:words], sound]


def told(engine: End) -> list[str]:
    """What the engine was told of the past, in order."""
    return [
        event["item"]["content"][0]["text"]
        for event in engine.events
        if event["type"] == "conversation.item.create"
    ]


async def engine_of_call(provider: Provider, number: int) -> End:
    async with asyncio.timeout(PATIENCE):
        while len(provider.calls) <= number:
            await provider._news.wait()
    return provider.calls[number]


async def half_an_answer(end: End, engine: End, number: int, clock: Clock) -> None:
    """The learner asks, and hears half of what is answered."""
    turn = [*wire.spoken_turn("U1", None), wire.heard("U1", f"Question {number}.")]
    engine.send(*turn, *begun_answer(number))
    async with asyncio.timeout(PATIENCE):
        while not any(kind.endswith("audio.delta") for kind in end.types):
            await end._news.wait()
    clock.ahead += 0.5


async def test_fifty_times_the_engine_is_told_the_whole_in_order(tmp_path: Path) -> None:
    """At either door, and however the old socket closes; nobody waits for its end."""
    talk, clock = new_id(), Clock()
    doors = itertools.cycle(
        [openai(more=f"&conversation_id={talk}"), browser(conversation_id=talk)]
    )
    ways = itertools.cycle([goodbye, reset, silence])
    async with provided(tmp_path, clock, max_connects_per_minute=0) as (here, provider):
        async with AsyncExitStack() as sockets:  # the silent ones stay open
            for number in range(RECONNECTS):
                end = await sockets.enter_async_context(client(here, next(doors)))
                await end.until("session.created")
                engine = await engine_of_call(provider, number)
                await half_an_answer(end, engine, number, clock)
                next(ways)(end)
            last = await sockets.enter_async_context(client(here, next(doors)))
            await last.until("session.created")
            last_engine = await engine_of_call(provider, RECONNECTS)
            await last_engine.until("conversation.item.create", 2 * RECONNECTS)
        await here.emptied()

    whole = told(last_engine)
    questions, halves = whole[::2], whole[1::2]
    assert questions == [f"Question {number}." for number in range(RECONNECTS)]
    for number, half in enumerate(halves):
        assert half.startswith(f"{number} one")
        assert f"{number} {ANSWER}".startswith(half)
    for number, engine in enumerate(provider.calls):
        assert told(engine) == whole[: 2 * number]
