"""Faults of single events: errors, strangers, odd shapes, missing, doubled, late ones."""

from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from relay.simulator.faults import (
    Condition,
    Errors,
    EventDoubled,
    EventLate,
    EventMissing,
    KeyOrder,
    UnknownEvents,
    UnknownFields,
)
from relay.simulator.faults.plan import Fault
from tests.scenarios.faulty import FIRST, PLAIN, TRANSCRIPTION, bad_day, together

KINDS = (
    "input_audio_buffer.speech_started",
    "input_audio_buffer.speech_stopped",
    "input_audio_buffer.committed",
    "conversation.item.added",
    "conversation.item.done",
    "response.created",
    "response.output_item.added",
    "response.content_part.added",
    "response.output_audio.delta",
    "response.output_audio_transcript.delta",
    "response.output_audio.done",
    "response.output_audio_transcript.done",
    "response.content_part.done",
    "response.output_item.done",
    "response.done",
    "rate_limits.updated",
    TRANSCRIPTION + "delta",
    TRANSCRIPTION + "completed",
)
"""Every type of event in a plain conversation, but for the session's own."""

WANTED = {
    (EventMissing, TRANSCRIPTION + "completed"),
    (EventLate, "input_audio_buffer.speech_started"),
}
"""Those that nothing makes up for: without the first words stay partial, and speech that begins a
second late has begun, where the answer plays by then, while it played."""


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Errors(every=3, code="server_error", only=FIRST), "error"),
        (UnknownEvents(every=3, type="session.mood.updated", only=FIRST), "session.mood.updated"),
    ],
    ids=["errors", "strangers"],
)
async def test_events_that_mean_nothing_are_passed_on_and_change_nothing(
    tmp_path: Path, fault: Fault, kind: str
) -> None:
    async with bad_day(tmp_path, fault) as here, here.two() as (sick, well):
        await together(sick.converses_to_the_last_word(), well.converses_to_the_last_word())
    assert here.told(sick) == here.told(well) == PLAIN
    assert here.same(sick, well)
    assert sick.counts[kind] >= 20
    assert Counter({**sick.counts, kind: 0}) == well.counts


async def test_fields_that_nobody_knows_reach_the_client_untouched(tmp_path: Path) -> None:
    fault = UnknownFields(name="x_new", only=FIRST)
    async with bad_day(tmp_path, fault) as here, here.two() as (sick, well):
        await together(sick.converses_to_the_last_word(), well.converses_to_the_last_word())
    assert here.told(sick) == here.told(well) == PLAIN
    assert here.same(sick, well)
    assert sick.counts == well.counts
    assert [e["type"] for e in sick.events if "x_new" not in e] == ["relay.session"]


async def test_keys_the_other_way_round_change_nothing(tmp_path: Path) -> None:
    fault = KeyOrder(only=FIRST)
    async with bad_day(tmp_path, fault) as here, here.two() as (sick, well):
        await together(sick.converses_to_the_last_word(), well.converses_to_the_last_word())
    assert here.told(sick) == here.told(well) == PLAIN
    assert sick.counts == well.counts
    assert here.same(sick, well)
    assert list(sick.of("response.done")[0])[-1] == "type"


@pytest.mark.parametrize("fault", [EventDoubled, EventLate, EventMissing])
async def test_any_event_may_come_twice_or_late_or_not_at_all(
    tmp_path: Path, fault: type[EventDoubled | EventLate | EventMissing]
) -> None:
    kinds = [kind for kind in KINDS if (fault, kind) not in WANTED]
    faults = [fault(event=kind, only=Condition(session=n)) for n, kind in enumerate(kinds, start=1)]
    async with bad_day(tmp_path, *faults) as here, AsyncExitStack() as calls:
        callers = {kind: await calls.enter_async_context(here.call(kind)) for kind in kinds}
        await together(*(caller.converses_to_the_last_word() for caller in callers.values()))
    wrong = {k: t for k, caller in callers.items() if (t := here.told(caller)) != PLAIN}
    assert wrong == {}
