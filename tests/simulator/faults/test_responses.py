"""Faults of responses."""

import pytest

from relay.engines.cascade.effects import Close
from relay.parts.interfaces import FunctionCall, Reply, SpokenMessage, as_reply
from relay.simulator.faults import (
    Condition,
    RateLimitsMissing,
    ResponseCut,
    ResponseFailed,
    ResponseIncomplete,
    ResponseInterleaved,
    ResponseNotCreated,
)
from relay.simulator.faults.responses import response_incomplete, response_interleaved
from tests.engines.cascade.driving import Talk, scripted, types
from tests.simulator.faults.faulty import answered, faulty, writing

SIX = scripted(replies=("One two three four five six.",))


def test_4_10_a_failed_response_has_no_item():
    talk = writing(ResponseFailed(), parts=SIX)

    told = answered(talk)

    assert types(told) == ["response.created", "response.done"]
    done = told[-1]["response"]
    assert (done["status"], done["output"], done["usage"]["total_tokens"]) == ("failed", [], 0)
    assert done["status_details"]["error"]["code"] == "inference_rate_limit_exceeded"


def test_4_10_a_quota_that_is_spent_on_the_second_response():
    fault = ResponseFailed(
        code="insufficient_quota",
        type="insufficient_quota",
        message="You exceeded your current quota.",
        only=Condition(response=2),
    )
    talk = writing(fault, parts=SIX)
    for _ in range(3):
        answered(talk)

    done = [event["response"] for event in talk.of("response.done")]
    assert [response["status"] for response in done] == ["completed", "failed", "completed"]
    assert done[1]["status_details"]["error"]["type"] == "insufficient_quota"


@pytest.mark.parametrize("reason", ["max_output_tokens", "content_filter"])
def test_4_10_an_incomplete_response_has_half_its_words(reason: str):
    talk = writing(ResponseIncomplete(reason=reason), parts=SIX)  # type: ignore[arg-type]
    answered(talk)

    done = talk.last("response.done")["response"]
    assert done["status"] == "incomplete"
    assert done["status_details"] == {"type": "incomplete", "reason": reason}
    (item,) = done["output"]
    assert item["status"] == "incomplete"
    assert item["content"][0]["text"] == "One two three"
    assert talk.of("rate_limits.updated") == []


def test_5_11_interleaved_items():
    talk = writing(ResponseInterleaved(), parts=SIX)
    answered(talk)

    indexes = [event["output_index"] for event in talk.of("response.output_text.delta")]
    assert indexes == [0, 1, 0, 1, 0, 1]
    items = talk.last("response.done")["response"]["output"]
    assert [item["phase"] for item in items] == ["commentary", "final_answer"]
    texts = [item["content"][0]["text"] for item in items]
    assert texts == ["One two three", "four five six."]


def test_5_11_interleaved_items_are_spoken_both():
    talk = faulty(ResponseInterleaved(), parts=SIX)
    answered(talk)

    assert len({event["item_id"] for event in talk.of("response.output_audio.delta")}) == 2
    assert len(talk.of("response.output_audio.done")) == 2


def test_a_reply_of_several_items_only_alternates():
    reply = Reply((SpokenMessage("Let me see."), FunctionCall("f")))

    woven = response_interleaved(ResponseInterleaved(), reply)

    assert (woven.outputs, woven.interleaving) == (reply.outputs, "alternating")


def test_5_13_a_response_that_was_never_created():
    talk = writing(ResponseNotCreated(), parts=SIX)

    told = types(answered(talk))

    assert told[0] == "response.output_item.added"
    assert told[-2:] == ["response.done", "rate_limits.updated"]


def test_a_connection_lost_in_the_middle_of_a_response():
    talk = writing(ResponseCut(after_deltas=2, only=Condition(response=2)), parts=SIX)
    answered(talk)
    talk.forget()

    answered(talk)

    assert len(talk.of("response.output_text.delta")) == 2
    assert talk.of("response.done") == []
    assert talk.closed == Close(1006, "")


def test_no_limits_after_a_response():
    talk = writing(RateLimitsMissing(only=Condition(response=1)), parts=SIX)
    answered(talk)
    assert talk.of("rate_limits.updated") == []

    answered(talk)
    assert len(talk.of("rate_limits.updated")) == 1


def test_a_response_is_found_by_the_turn_before_it():
    talk = writing(ResponseFailed(only=Condition(turn=2)), parts=SIX)
    answered(talk)
    talk.type("And now?")
    answered(talk)

    statuses = [event["response"]["status"] for event in talk.of("response.done")]
    assert statuses == ["completed", "failed"]


def test_ready_made_audio_is_halved_with_its_words():
    reply = Reply((SpokenMessage("One two.", pcm=bytes(range(8))),))

    (half,) = response_incomplete(ResponseIncomplete(), reply).outputs
    halves = response_interleaved(ResponseInterleaved(), reply).outputs

    assert half == SpokenMessage("One", pcm=bytes(range(4)))
    assert [(h.text, h.pcm) for h in halves if isinstance(h, SpokenMessage)] == [
        ("One", bytes(range(4))),
        ("two.", bytes(range(4, 8))),
    ]


@pytest.mark.parametrize("outputs", [(), (FunctionCall("f"),)])
def test_a_reply_without_words_can_be_incomplete_too(outputs: tuple[FunctionCall, ...]):
    reply = response_incomplete(ResponseIncomplete(), Reply(outputs))

    assert reply.outputs == outputs
    assert reply.ending.status == "incomplete"
    assert response_interleaved(ResponseInterleaved(), as_reply("")).outputs == (
        SpokenMessage("", phase="commentary"),
        SpokenMessage("", phase="final_answer"),
    )


def statuses(talk: Talk) -> list[str]:
    return [event["response"]["status"] for event in talk.of("response.done")]


def test_the_same_seed_chooses_the_same_responses():
    talk = writing(ResponseFailed(only=Condition(probability=0.5)), parts=SIX, seed=3)
    for _ in range(20):
        answered(talk)

    assert 3 < statuses(talk).count("failed") < 17
    again = writing(ResponseFailed(only=Condition(probability=0.5)), parts=SIX, seed=3)
    for _ in range(20):
        answered(again)
    assert statuses(again) == statuses(talk)
