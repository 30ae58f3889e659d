"""Faults of an answer: it fails, stops, comes in two, is not announced; the call goes on."""

from pathlib import Path

import pytest

from relay.simulator.faults import (
    Condition,
    RateLimitsMissing,
    ResponseCut,
    ResponseFailed,
    ResponseIncomplete,
    ResponseInterleaved,
    ResponseNotCreated,
)
from relay.simulator.faults.plan import Fault
from tests.scenarios.faulty import ANSWERS, FIRST, PLAIN, bad_day, together

SECOND_ANSWER = Condition(session=1, response=2)


@pytest.mark.parametrize(
    ("fault", "missing"),
    [
        (ResponseNotCreated(only=FIRST), "response.created"),
        (RateLimitsMissing(only=FIRST), "rate_limits.updated"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Fault) else "",
)
async def test_what_nobody_needs_may_be_missing(tmp_path: Path, fault: Fault, missing: str) -> None:
    async with bad_day(tmp_path, fault) as here, here.two() as (sick, well):
        await together(sick.converses_to_the_last_word(), well.converses_to_the_last_word())
    assert here.told(sick) == here.told(well) == PLAIN
    assert here.same(sick, well)
    assert well.counts - sick.counts == {missing: 3}
    assert not sick.counts - well.counts


async def test_an_answer_that_failed_is_told_and_the_call_goes_on(tmp_path: Path) -> None:
    fault = ResponseFailed(code="insufficient_quota", only=SECOND_ANSWER)
    async with bad_day(tmp_path, fault) as here, here.two() as (sick, well):
        await together(sick.converses_to_the_last_word(), well.converses_to_the_last_word())
    done = [event["response"] for event in sick.of("response.done")]
    assert [response["status"] for response in done] == ["completed", "failed", "completed"]
    assert done[1]["status_details"]["error"]["code"] == "insufficient_quota"
    assert here.told(sick) == [*PLAIN[:3], *PLAIN[4:]]
    assert here.told(well) == PLAIN


@pytest.mark.parametrize("reason", ["max_output_tokens", "content_filter"])
async def test_an_answer_that_stopped_half_way_is_stored_as_far_as_it_went(
    tmp_path: Path, reason: str
) -> None:
    fault = ResponseIncomplete(reason=reason, only=SECOND_ANSWER)  # type: ignore[arg-type]
    async with bad_day(tmp_path, fault) as here, here.two() as (sick, well):
        await together(sick.converses_to_the_last_word(), well.converses_to_the_last_word())
    done = sick.of("response.done")[1]["response"]
    assert (done["status"], done["status_details"]["reason"]) == ("incomplete", reason)
    said = here.utterances(sick)[3]
    assert (said.text, said.heard_text, said.state) == ("It is", "It is", "interrupted")
    assert here.told(sick)[:3] + here.told(sick)[4:] == PLAIN[:3] + PLAIN[4:]
    assert here.told(well) == PLAIN


async def test_a_comment_and_an_answer_delta_by_delta_are_two_utterances(tmp_path: Path) -> None:
    fault = ResponseInterleaved(only=SECOND_ANSWER)
    async with bad_day(tmp_path, fault) as here, here.two() as (sick, well):
        await together(sick.converses_to_the_last_word(), well.converses_to_the_last_word())
    deltas = sick.of("response.output_audio_transcript.delta")
    woven = [event["output_index"] for event in deltas]
    assert woven != sorted(woven)
    two = [("assistant", "It is", "final"), ("assistant", "fine there.", "final")]
    assert here.told(sick) == [*PLAIN[:3], *two, *PLAIN[4:]]
    assert here.told(well) == PLAIN


async def test_a_connection_that_breaks_in_an_answer_ends_this_call_and_no_other(
    tmp_path: Path,
) -> None:
    fault = ResponseCut(after_deltas=3, only=SECOND_ANSWER)
    async with bad_day(tmp_path, fault) as here, here.two() as (sick, well):
        await sick.says(200)
        await sick.answered()
        await sick.written_down()
        await sick.types()
        assert await sick.ended() == (1011, "OpenAI connection closed")
        assert sick.line.types[-1] == "error"
        await well.converses_to_the_last_word()
    assert here.told(well) == PLAIN
    *before, last = here.utterances(sick)
    assert [(u.role, u.text, u.state) for u in before] == PLAIN[:3]
    assert (last.role, last.state) == ("assistant", "unheard" if last.heard_ms == 0 else "partial")
    assert last.text
    assert ANSWERS[1].startswith(last.text)


async def test_of_an_answer_that_broke_off_only_that_counts_as_heard_which_was_played(
    tmp_path: Path,
) -> None:
    fault = ResponseCut(after_deltas=4)
    async with bad_day(tmp_path, fault) as here, here.call() as caller:
        await caller.types()
        assert await caller.ended() == (1011, "OpenAI connection closed")
    _, answer = here.utterances(caller)
    assert answer.state == ("unheard" if answer.heard_ms == 0 else "partial")
    assert answer.text
    assert answer.audio_ms == 250 * caller.counts["response.output_audio.delta"] > 0
    assert answer.heard_ms is not None
    assert answer.heard_ms < 100, "it broke off before any player could have begun"
    assert answer.heard_text == ""
    assert answer.heard_estimated
