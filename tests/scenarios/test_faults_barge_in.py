"""An answer is interrupted while something else goes wrong: it is cut once, to what was heard."""

from contextlib import AsyncExitStack
from pathlib import Path

import msgspec
import pytest

from relay.parts.simple import Script
from relay.simulator.faults import (
    Condition,
    Errors,
    EventDoubled,
    EventLate,
    EventMissing,
    ResponseCut,
    ResponseNotCreated,
    TranscriptionBeforeItem,
    TranscriptionDoubled,
    TranscriptionFailed,
    TranscriptionInterim,
    TranscriptionLate,
    TranscriptionOutOfOrder,
    UnknownFields,
)
from relay.simulator.faults.plan import Fault
from tests.scenarios.faulty import SPOKEN, Bad, Caller, bad_day, together

LONG = "One tells a long story here, unless somebody interrupts it."
SCRIPT = Script(replies=(LONG, "As you like."))
WHOLE = [
    ("user", SPOKEN[200], "final"),
    ("assistant", LONG, "interrupted"),
    ("user", SPOKEN[400], "final"),
    ("assistant", "As you like.", "final"),
]
STARTED = "input_audio_buffer.speech_started"
FAULTS: tuple[Fault, ...] = (
    EventMissing(event="conversation.item.truncated"),
    EventDoubled(event="conversation.item.truncated"),
    EventLate(event="conversation.item.truncated", seconds=0.2),
    EventDoubled(event=STARTED),
    EventDoubled(event="conversation.item.done"),
    EventLate(event="conversation.item.done", seconds=0.1),
    EventDoubled(event="response.done"),
    EventMissing(event="response.output_item.done"),
    Errors(every=2),
    UnknownFields(),
    ResponseNotCreated(),
    TranscriptionLate(seconds=0.3),
    TranscriptionOutOfOrder(),
    TranscriptionBeforeItem(),
    TranscriptionDoubled(),
    TranscriptionInterim(),
)


async def barges_in(caller: Caller, tells: bool = True) -> None:
    """Let an answer play for a moment, talk over it, and tell the engine what was heard."""
    await caller.says(200)
    await caller.hears(lambda: caller.answers() >= 1)
    first = caller.of("response.output_audio.delta")[0]["item_id"]
    await caller.line.send({"type": "relay.playback", "item_id": first, "played_ms": 300})
    before = caller.counts[STARTED]
    await caller.says(400)
    await caller.hears(lambda: caller.counts[STARTED] > before)
    if tells:
        where = {"item_id": first, "content_index": 0, "audio_end_ms": 300}
        await caller.line.send({"type": "conversation.item.truncate", **where})
    await caller.hears(lambda: caller.answers() >= 2)
    second = caller.of("response.output_audio.delta")[-1]["item_id"]
    await caller.line.send({"type": "relay.playback", "item_id": second, "played_ms": 60_000})
    await caller.written_down(2)
    await caller.at_rest()


def wrong(here: Bad, caller: Caller) -> object:
    """What is not as it should be; None when all is well."""
    if here.told(caller) != WHOLE:
        return here.told(caller)
    cut = here.utterances(caller)[1]
    heard_well = cut.heard_ms is not None and 300 <= cut.heard_ms < 3000
    word_by_word = LONG.startswith(cut.heard_text) and 0 < len(cut.heard_text) < len(LONG)
    return None if heard_well and word_by_word and not cut.heard_estimated else cut


@pytest.mark.parametrize("tells", [True, False], ids=["truncates", "only tells the relay"])
async def test_an_interruption_is_noted_once_whatever_else_goes_wrong(
    tmp_path: Path, tells: bool
) -> None:
    faults = [
        msgspec.structs.replace(fault, only=Condition(session=number))
        for number, fault in enumerate(FAULTS, start=1)
    ]
    async with bad_day(tmp_path, *faults, script=SCRIPT) as here, AsyncExitStack() as calls:
        callers = [
            await calls.enter_async_context(here.call(f"ada{n}")) for n in range(len(FAULTS))
        ]
        await together(*(barges_in(caller, tells) for caller in callers))
    pairs = zip(FAULTS, callers, strict=True)
    assert {str(f): w for f, c in pairs if (w := wrong(here, c)) is not None} == {}


async def test_an_acknowledged_cut_is_the_truth_to_the_millisecond(tmp_path: Path) -> None:
    fault = TranscriptionFailed()
    async with bad_day(tmp_path, fault, script=SCRIPT) as here, here.call() as caller:
        await barges_in(caller)
    cut, last = (u for u in here.utterances(caller) if u.role == "assistant")
    assert (cut.heard_ms, cut.heard_estimated, cut.state) == (300, False, "interrupted")
    assert (last.text, last.state) == ("As you like.", "final")


async def test_a_connection_that_breaks_after_an_interruption_keeps_it(tmp_path: Path) -> None:
    fault = ResponseCut(after_deltas=1, only=Condition(response=2))
    async with bad_day(tmp_path, fault, script=SCRIPT) as here, here.call() as caller:
        await caller.says(200)
        await caller.hears(lambda: caller.answers() >= 1)
        await caller.written_down()
        await caller.says(400)
        assert await caller.ended() == (1011, "OpenAI connection closed")
    told = here.told(caller)
    assert told[:2] == WHOLE[:2] or told[:2] == [WHOLE[0], ("assistant", LONG, "unheard")]
    assert len(told) <= 4
