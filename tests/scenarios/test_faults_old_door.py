"""The same faults at S3's door, whose clients know old names alone and play in real time."""

from contextlib import AsyncExitStack
from pathlib import Path

import msgspec

from relay.simulator.faults import (
    Condition,
    Errors,
    EventDoubled,
    EventLate,
    KeyOrder,
    RateLimitsMissing,
    ResponseNotCreated,
    TranscriptionBeforeItem,
    TranscriptionDoubled,
    TranscriptionInterim,
    TranscriptionLate,
    TranscriptionOutOfOrder,
    UnknownEvents,
    UnknownFields,
)
from relay.simulator.faults.plan import Fault
from tests.scenarios.faulty import PLAIN, TRANSCRIPTION, Bad, Caller, bad_day, together

FAULTS: tuple[Fault, ...] = (
    Errors(every=3),
    UnknownEvents(every=3),
    UnknownFields(),
    KeyOrder(),
    TranscriptionLate(seconds=0.5),
    TranscriptionOutOfOrder(seconds=0.5),
    TranscriptionBeforeItem(),
    TranscriptionDoubled(),
    TranscriptionInterim(),
    ResponseNotCreated(),
    RateLimitsMissing(),
    EventDoubled(event="response.done"),
    EventLate(event=TRANSCRIPTION + "completed", seconds=0.2),
)
OLD = {"response.audio.delta", "response.audio_transcript.delta", "conversation.item.created"}
NEW = {"response.output_audio.delta", "conversation.item.added", "conversation.item.done"}


async def converses(here: Bad, caller: Caller) -> None:
    """A whole conversation with a client that plays: it goes on when all was heard and stored."""
    stored, name = here.stage.stored, caller.conversation_id
    await caller.says(200)
    await caller.hears(lambda: caller.answers() >= 1)
    await stored(name, 2)
    await caller.types()
    await caller.hears(lambda: caller.answers() >= 2)
    await stored(name, 4)
    await caller.says(400)
    await caller.hears(lambda: caller.answers() >= 3)
    await stored(name, 6)


async def test_what_changes_nothing_changes_nothing_here_either(tmp_path: Path) -> None:
    faults = [
        msgspec.structs.replace(fault, only=Condition(session=number))
        for number, fault in enumerate(FAULTS, start=1)
    ]
    async with bad_day(tmp_path, *faults) as here, AsyncExitStack() as calls:
        callers = {
            type(fault).__name__: await calls.enter_async_context(here.old_call(f"ada{number}"))
            for number, fault in enumerate(FAULTS)
        }
        plain = await calls.enter_async_context(here.old_call("bob"))
        await together(*(converses(here, caller) for caller in (*callers.values(), plain)))
    everybody = callers | {"nobody": plain}
    assert {k: t for k, c in everybody.items() if (t := here.told(c)) != PLAIN} == {}
    assert {k for k, c in callers.items() if not here.same(c, plain)} == set()
    for caller in everybody.values():
        assert caller.counts.keys() >= OLD
        assert not NEW & caller.counts.keys()
