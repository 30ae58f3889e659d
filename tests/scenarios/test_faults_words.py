"""Faults of a user's words: whatever comes of them, the store has them once and in their place."""

from pathlib import Path

import pytest

from relay.simulator.faults import (
    EventMissing,
    TranscriptionBeforeItem,
    TranscriptionDoubled,
    TranscriptionEmpty,
    TranscriptionFailed,
    TranscriptionInterim,
    TranscriptionLate,
    TranscriptionOutOfOrder,
)
from relay.simulator.faults.plan import Fault
from tests.scenarios.faulty import FIRST, PLAIN, SPOKEN, TRANSCRIPTION, Told, bad_day, together

COMPLETED = TRANSCRIPTION + "completed"
FAILED = TRANSCRIPTION + "failed"
DELTA = TRANSCRIPTION + "delta"
DELTAS = sum(len(text.split()) for text in SPOKEN.values())
UNSPOKEN = [told for told in PLAIN if told[1] not in SPOKEN.values()]
WORDLESS = [("user", "", "failed") if told not in UNSPOKEN else told for told in PLAIN]


@pytest.mark.parametrize(
    ("fault", "more"),
    [
        (TranscriptionLate(seconds=0.4, only=FIRST), {}),
        (TranscriptionOutOfOrder(only=FIRST), {}),
        (TranscriptionBeforeItem(only=FIRST), {}),
        (TranscriptionDoubled(times=3, only=FIRST), {COMPLETED: 4}),
        (TranscriptionInterim(only=FIRST), {COMPLETED: DELTAS - 2, DELTA: -DELTAS}),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Fault) else "",
)
async def test_words_that_come_otherwise_are_stored_as_ever(
    tmp_path: Path, fault: Fault, more: dict[str, int]
) -> None:
    async with bad_day(tmp_path, fault) as here, here.two() as (sick, well):
        await together(sick.converses_to_the_last_word(), well.converses_to_the_last_word())
    assert here.told(sick) == here.told(well) == PLAIN
    assert here.same(sick, well)
    assert {u.seq for u in here.utterances(sick)} == set(range(1, 7)), "each settled once"
    kinds = sick.counts | well.counts
    assert {k: n for k in kinds if (n := sick.counts[k] - well.counts[k])} == more


async def test_words_before_their_item_were_so_on_the_wire_too(tmp_path: Path) -> None:
    async with bad_day(tmp_path, TranscriptionBeforeItem()) as here, here.call() as caller:
        await caller.converses_to_the_last_word()
    assert caller.line.types.index(DELTA) < caller.line.types.index("input_audio_buffer.committed")
    assert here.told(caller) == PLAIN


async def test_late_words_are_stored_before_the_answer_that_came_before_them(
    tmp_path: Path,
) -> None:
    async with bad_day(tmp_path, TranscriptionLate(seconds=0.3)) as here, here.call() as caller:
        await caller.says(200)
        await caller.answered()
        assert COMPLETED not in caller.line.types
        await caller.written_down()
    assert here.told(caller) == PLAIN[:2]
    user, answer = here.utterances(caller)
    assert user.position < answer.position
    assert user.seq > answer.seq, "the answer settled first"


@pytest.mark.parametrize(
    ("fault", "stored", "told"),
    [
        (TranscriptionEmpty(only=FIRST), UNSPOKEN, {DELTA: -DELTAS}),
        (TranscriptionFailed(only=FIRST), WORDLESS, {DELTA: -DELTAS, COMPLETED: -2, FAILED: 2}),
    ],
    ids=["empty", "failed"],
)
async def test_words_that_nobody_understood_leave_the_rest_as_it_was(
    tmp_path: Path, fault: Fault, stored: list[Told], told: dict[str, int]
) -> None:
    async with bad_day(tmp_path, fault) as here, here.two() as (sick, well):
        await together(sick.converses_to_the_last_word(), well.converses_to_the_last_word())
    assert here.told(well) == PLAIN
    assert here.told(sick) == stored
    answer = here.utterances(sick)[stored.index(PLAIN[1])]
    assert answer.position == here.utterances(well)[1].position, "an empty one keeps its place"
    kinds = sick.counts | well.counts
    assert {k: n for k in kinds if (n := sick.counts[k] - well.counts[k])} == told


async def test_words_that_were_never_whole_are_partial_when_the_call_ends(tmp_path: Path) -> None:
    fault = EventMissing(event=COMPLETED, only=FIRST)
    async with bad_day(tmp_path, fault) as here, here.two() as (sick, well):
        await together(sick.converses(), well.converses_to_the_last_word())
        await sick.at_rest()
    spoken = [(*told[:2], "partial") if told not in UNSPOKEN else told for told in PLAIN]
    assert here.told(sick) == spoken
    assert here.told(well) == PLAIN


async def test_a_caller_who_hangs_up_before_the_words_came_leaves_the_answer(
    tmp_path: Path,
) -> None:
    async with bad_day(tmp_path, TranscriptionLate(seconds=600)) as here, here.call() as caller:
        await caller.says(200)
        await caller.answered()
        await caller.at_rest()
    assert here.told(caller) == PLAIN[1:2]
