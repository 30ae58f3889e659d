"""Responses: which may run, what they answer, and the order of their events."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from relay.engines.cascade.outputs import Pace
from relay.engines.cascade.responses import MAX_RUNNING, OutputInterleaver
from relay.parts.interfaces import (
    FunctionCall,
    Interleaving,
    Parts,
    Reply,
    ReplyDelta,
    ReplyEnding,
    ReplyPiece,
    ReplyRequest,
    SpokenMessage,
    SynthesisRequest,
    failed,
    incomplete,
)
from relay.parts.simple import (
    LoudnessDetector,
    ToneSynthesizer,
    scripted_parts,
)
from tests.engines.cascade.driving import TEXT, Talk, scripted, types

OUT_OF_BAND = {"conversation": "none", "output_modalities": ["text"]}


def text_talk() -> Talk:
    talk = Talk()
    talk.say("session.update", session=TEXT)
    talk.type("first")
    talk.forget()
    return talk


def user(text: str) -> dict[str, Any]:
    content = [{"type": "input_text", "text": text}]
    return {"type": "message", "role": "user", "content": content}


def test_metadata_is_echoed():
    talk = text_talk()

    (created,) = talk.say("response.create", response={"metadata": {"client_event_id": "x"}})
    talk.finish()

    assert created["response"]["metadata"] == {"client_event_id": "x"}
    assert talk.last("response.done")["response"]["metadata"] == {"client_event_id": "x"}


def test_a_response_may_differ_from_its_session():
    talk = Talk()
    talk.type("first")

    wanted = {
        "output_modalities": ["audio"],
        "max_output_tokens": 7,
        "audio": {"output": {"voice": "sage"}},
    }
    (created,) = talk.say("response.create", response=wanted)
    (speech,) = talk.work

    assert created["response"]["max_output_tokens"] == 7
    assert created["response"]["audio"]["output"]["voice"] == "sage"
    assert isinstance(speech.request, SynthesisRequest)
    assert speech.request.voice == "sage"


def test_an_answer_is_about_the_last_thing_the_user_said():
    talk = text_talk()
    talk.type("second")
    system = {"type": "message", "role": "system", "content": [{"type": "input_text", "text": "z"}]}
    talk.say("conversation.item.create", item=system)

    talk.say("response.create")
    talk.finish()

    assert talk.last("response.output_text.done")["text"] == "You said: second"


def test_the_input_of_a_response_replaces_the_conversation():
    talk = text_talk()

    talk.say("response.create", response={"input": [user("other")]})
    talk.finish()

    assert talk.last("response.output_text.done")["text"] == "You said: other"


def test_the_input_may_refer_to_an_item():
    talk = text_talk()
    second = talk.type("second")[0]["item"]["id"]
    talk.type("third")

    talk.say("response.create", response={"input": [{"type": "item_reference", "id": second}]})
    talk.finish()

    assert talk.last("response.output_text.done")["text"] == "You said: second"


def test_a_response_with_nothing_said_before_it():
    talk = Talk(scripted(replies=("I did not catch that.",)))
    talk.say("response.create")
    talk.finish()

    said = talk.last("response.output_audio_transcript.done")["transcript"]
    assert said == "I did not catch that."


def test_an_out_of_band_response_joins_no_conversation():
    talk = text_talk()

    talk.say("response.create", response=OUT_OF_BAND)
    talk.finish()

    assert types(talk.events) == [
        "response.created",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta*",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.done",
        "rate_limits.updated",
    ]
    done = talk.last("response.done")["response"]
    assert done["conversation_id"] is None
    (error,) = talk.say("conversation.item.retrieve", item_id=done["output"][0]["id"])
    assert error["error"]["code"] == "item_retrieve_invalid_item_id"


def test_out_of_band_responses_run_beside_the_conversations():
    talk = text_talk()
    talk.say("response.create")
    for _ in range(MAX_RUNNING - 1):
        talk.say("response.create", response=OUT_OF_BAND)

    (error,) = talk.say("response.create", response=OUT_OF_BAND)
    talk.finish()

    assert error["error"]["code"] == "rate_limit_exceeded"
    statuses = [event["response"]["status"] for event in talk.of("response.done")]
    assert statuses == ["completed"] * MAX_RUNNING


def test_one_response_of_many_is_cancelled_by_its_id():
    talk = text_talk()
    talk.say("response.create")
    (extra,) = talk.say("response.create", response=OUT_OF_BAND)

    (done,) = talk.say("response.cancel", response_id=extra["response"]["id"])
    talk.finish()

    assert done["response"]["id"] == extra["response"]["id"]
    assert talk.last("response.done")["response"]["status"] == "completed"
    (error,) = talk.say("response.cancel", response_id=extra["response"]["id"])
    assert error["error"]["code"] == "response_cancel_not_active"


def test_a_cancelled_response_ignores_its_synthesis():
    talk = Talk()
    talk.type("Hello")
    talk.say("response.create")
    talk.say("response.cancel")

    assert talk.finish() == []


@pytest.mark.parametrize(
    ("response", "code", "param"),
    [
        ({"bogus": 1}, "unknown_parameter", "response.bogus"),
        ({"conversation": "other"}, "invalid_value", "response.conversation"),
        ({"output_modalities": []}, "invalid_value", "response.output_modalities"),
        ({"metadata": {"a": 1}}, "invalid_type", "response.metadata.a"),
        ({"metadata": {"a": "x" * 513}}, "string_above_max_length", "response.metadata.a"),
        ({"input": [{}]}, "missing_required_parameter", "response.input[0].type"),
        ({"input": [{"type": "item_reference"}]}, "invalid_type", "response.input[0].id"),
        (
            {"input": [{"type": "item_reference", "id": "nobody"}]},
            "invalid_value",
            "item_id",
        ),
        (
            {"audio": {"output": {"format": {"type": "audio/pcmu"}}}},
            "invalid_value",
            "response.audio.output.format.type",
        ),
    ],
)
def test_responses_that_are_refused(response: dict[str, Any], code: str, param: str):
    talk = text_talk()

    (error,) = talk.say("response.create", response=response, event_id="r1")

    assert (error["error"]["code"], error["error"]["param"]) == (code, param)
    assert error["error"]["event_id"] == "r1"


class BrokenResponder:
    name = "broken"

    async def respond(self, request: ReplyRequest) -> AsyncIterator[ReplyPiece]:
        if not request.history:
            yield ReplyDelta("")
        raise RuntimeError("no idea")


def test_a_responder_that_fails_ends_its_response_and_nothing_else():
    parts = scripted_parts()
    talk = Talk(
        Parts(LoudnessDetector, parts.transcriber, BrokenResponder, ToneSynthesizer(), "broken")
    )
    talk.type("Hello")

    (created,) = talk.say("response.create")
    error, done = talk.wait(0.1)

    assert created["type"] == "response.created"
    assert error["error"]["code"] == "responder_failed"
    assert done["response"]["status"] == "failed"
    assert "no idea" not in str(done)
    assert len(talk.type("still here")) == 2


def test_a_new_turn_supersedes_the_one_that_was_not_answered_yet():
    talk = Talk(scripted("One.", "Two."))
    turns = {"type": "server_vad", "interrupt_response": False}
    session = {"type": "realtime", "audio": {"input": {"turn_detection": turns}}}
    talk.say("session.update", session=session)
    talk.speak()
    talk.wait(0.05)
    talk.speak()  # waits for the first answer to end
    turns["interrupt_response"] = True
    talk.say("session.update", session=session)

    talk.speak()
    talk.finish()

    statuses = [event["response"]["status"] for event in talk.of("response.done")]
    assert statuses == ["cancelled", "completed"]


def test_a_response_is_announced_with_nothing_in_it():
    talk = Talk()
    talk.type("Hello")

    (created,) = talk.say("response.create")

    response = created["response"]
    assert response["status"] == "in_progress"
    assert response["output"] == []
    assert response["usage"] is None
    assert response["conversation_id"].startswith("conv_")
    assert response["output_modalities"] == ["audio"]


def test_ids_agree_through_the_whole_response():
    talk = Talk()
    talk.type("Hello")
    talk.say("response.create")
    talk.forget()
    talk.finish()

    (response_id,) = {e["response_id"] for e in talk.events if "response_id" in e}
    (item_id,) = {e["item_id"] for e in talk.events if "item_id" in e}
    done = talk.last("response.done")["response"]
    assert done["id"] == response_id
    assert [item["id"] for item in done["output"]] == [item_id]


def test_parts_and_items_are_named_as_on_the_wire():
    talk = Talk(scripted(replies=("Yes.",)))
    talk.type("Hello")
    talk.say("response.create")
    talk.finish()

    assert talk.last("response.content_part.added")["part"] == {"type": "audio", "transcript": ""}
    assert talk.last("response.content_part.done")["part"]["transcript"] == "Yes."
    item = talk.last("response.output_item.done")["item"]
    assert item["content"] == [{"type": "output_audio", "transcript": "Yes."}]
    assert talk.last("response.output_item.added")["item"]["content"] == []


def test_token_deltas_are_padded_and_sound_is_not():
    talk = Talk()
    talk.type("Hello")
    talk.say("response.create")
    talk.finish()

    words = talk.of("response.output_audio_transcript.delta")
    assert all((len(e["delta"]) + len(e["obfuscation"])) % 16 == 0 for e in words)
    assert all("obfuscation" not in e for e in talk.of("response.output_audio.delta"))


def test_what_an_event_said_is_not_changed_by_later_ones():
    talk = Talk()
    talk.type("Hello")
    talk.say("response.create")
    talk.finish()
    item = talk.last("response.output_item.done")["item"]
    before = {**item, "content": [dict(part) for part in item["content"]]}

    where = {"item_id": item["id"], "content_index": 0, "audio_end_ms": 0}
    talk.say("conversation.item.truncate", **where)

    assert talk.last("response.done")["response"]["output"] == [before]


def test_rate_limits_follow_what_is_complete_and_only_that():
    talk = Talk()
    talk.say("session.update", session=TEXT)
    talk.type("Hello")
    talk.say("response.create")
    talk.say("response.cancel")
    assert talk.of("rate_limits.updated") == []

    talk.say("response.create")
    talk.finish()

    (limits,) = talk.last("rate_limits.updated")["rate_limits"]
    used = talk.last("response.done")["response"]["usage"]["total_tokens"]
    assert limits["limit"] - limits["remaining"] == used > 0


def test_a_step_sends_only_so_many_pieces():
    talk = Talk(scripted(replies=("word " * 40,)), pace=Pace(text_seconds=0.01))
    talk.say("session.update", session=TEXT)
    talk.say("response.create")
    talk.now += 10

    for _ in range(4):
        sent = talk._note(talk.machine.tick(talk.now))
        assert len([e for e in sent if e["type"] == "response.output_text.delta"]) == 8


QUOTA = failed("insufficient_quota", "You exceeded your current quota.", "insufficient_quota")


@pytest.mark.parametrize("ending", [QUOTA, incomplete("content_filter")])
def test_4_10_a_response_can_fail_or_be_incomplete(ending: ReplyEnding):
    reply = Reply((SpokenMessage("I was going to say"),), ending=ending)
    talk = Talk(scripted(replies=(reply,)))
    talk.say("response.create")
    talk.finish()

    done = talk.last("response.done")["response"]
    assert done["status"] == ending.status
    assert done["status_details"] == ending.details
    assert done["output"][0]["status"] == "incomplete"
    assert done["usage"]["output_tokens"] > 0
    assert talk.of("rate_limits.updated") == []


def test_4_10_a_response_can_fail_before_its_first_output():
    talk = Talk(scripted(replies=(Reply((), ending=QUOTA), "Better now.")))
    talk.say("session.update", session=TEXT)
    talk.forget()
    talk.say("response.create")
    talk.finish()

    assert types(talk.events) == ["response.created", "response.done"]
    done = talk.last("response.done")["response"]
    assert (done["output"], done["usage"]["total_tokens"]) == ([], 0)

    talk.say("response.create")
    talk.finish()
    assert talk.last("response.output_text.done")["text"] == "Better now."


COMMENTARY = SpokenMessage("Let me look.", phase="commentary")
CALL = FunctionCall("get_weather", {"city": "London"})
ANSWER = SpokenMessage("It is foggy now.", phase="final_answer")


def order(
    *outputs: SpokenMessage | FunctionCall, interleaving: Interleaving = "overlapping"
) -> list[str]:
    """Return what happens to each output: `0+` added, `0.` a delta, `0-` done; runs as one."""
    talk = Talk(scripted(replies=(Reply(outputs, interleaving=interleaving),)))
    talk.say("session.update", session=TEXT)
    talk.say("response.create")
    talk.finish()
    marks = {"added": "+", "delta": ".", "done": "-"}
    told = [
        f"{event['output_index']}{marks[event['type'].rpartition('.')[2]]}"
        for event in talk.events
        if event["type"].startswith("response.") and "output_index" in event
    ]
    return [mark for mark, last in zip(told, ["", *told], strict=False) if mark != last]


def test_ga16_the_last_ones_end_comes_after_the_next_ones_deltas():
    assert order(COMMENTARY, CALL) == ["0+", "0.", "1+", "1.", "0-", "1-"]


def test_three_overlap_two_by_two():
    assert order(COMMENTARY, CALL, ANSWER) == [
        "0+", "0.", "1+", "1.", "0-", "2+", "2.", "1-", "2-",
    ]  # fmt: skip


def test_in_turn_each_ends_before_the_next_begins():
    assert order(COMMENTARY, CALL, interleaving="in_turn") == ["0+", "0.", "0-", "1+", "1.", "1-"]


def test_alternating_deltas_come_by_turns():
    told = order(COMMENTARY, ANSWER, interleaving="alternating")

    assert told == ["0+", "1+", "0.", "1.", "0.", "1.", "0.", "1.", "0-", "1-"]


def test_phases_and_texts_do_not_mix():
    talk = Talk(scripted(replies=(Reply((COMMENTARY, ANSWER), interleaving="alternating"),)))
    talk.say("session.update", session=TEXT)
    talk.say("response.create")
    talk.finish()

    output = talk.last("response.done")["response"]["output"]
    assert [(item["phase"], item["content"][0]["text"]) for item in output] == [
        ("commentary", "Let me look."),
        ("final_answer", "It is foggy now."),
    ]
    for item in output:
        deltas = [e for e in talk.of("response.output_text.delta") if e["item_id"] == item["id"]]
        assert "".join(e["delta"] for e in deltas) == item["content"][0]["text"]


@pytest.mark.parametrize("interleaving", ["in_turn", "overlapping", "alternating"])
def test_several_messages_are_spoken_each_with_its_own_sound(interleaving: Interleaving):
    talk = Talk(scripted(replies=(Reply((COMMENTARY, ANSWER), interleaving=interleaving),)))
    talk.say("response.create")
    texts = [one.request.text for one in talk.work if isinstance(one.request, SynthesisRequest)]
    assert texts == ["Let me look.", "It is foggy now."]

    talk.finish()

    lengths: dict[str, int] = {}
    for event in talk.of("response.output_audio.delta"):
        lengths[event["item_id"]] = lengths.get(event["item_id"], 0) + 1
    assert list(lengths.values()) == [3, 4]  # 720 and 960 ms, 250 ms at a time
    assert talk.last("response.done")["response"]["status"] == "completed"


def test_a_late_synthesis_delays_only_what_follows_it():
    talk = Talk(scripted(replies=(Reply((COMMENTARY, ANSWER), interleaving="overlapping"),)))
    talk.say("response.create")
    first, second = talk.work
    talk.work = [first]
    talk.wait(1.0)
    assert len(talk.of("response.output_item.added")) == 1
    assert talk.of("response.output_item.done") == []

    talk.work = [second]
    talk.finish()

    assert len(talk.of("response.output_item.done")) == 2


def test_a_response_that_is_cut_ends_all_that_is_open():
    talk = Talk(scripted(replies=(Reply((COMMENTARY, CALL, ANSWER), interleaving="alternating"),)))
    talk.say("session.update", session=TEXT)
    talk.say("response.create")
    talk.wait(0.03)

    talk.say("response.cancel")

    items = [event["item"] for event in talk.of("response.output_item.done")]
    assert [item["status"] for item in items] == ["incomplete"] * 3


def test_an_early_synthesis_speeds_nothing_up():
    talk = Talk(scripted(replies=(Reply((COMMENTARY, ANSWER)),)), pace=Pace(burst=1))
    talk.say("response.create")
    first, second = talk.work
    talk.work = [first]
    talk.wait(0.1)
    sent = len(talk.of("response.output_audio.delta"))

    talk.work = [second]
    talk.wait(0.1)

    assert len(talk.of("response.output_audio.delta")) == sent == 1


@pytest.mark.parametrize("interleaving", ["in_turn", "overlapping", "alternating"])
def test_the_last_of_an_incomplete_response_is_incomplete(interleaving: Interleaving):
    reply = Reply(
        (COMMENTARY, ANSWER), interleaving=interleaving, ending=incomplete("max_output_tokens")
    )
    talk = Talk(scripted(replies=(reply,)))
    talk.say("session.update", session=TEXT)
    talk.say("response.create")
    talk.finish()

    statuses = [event["item"]["status"] for event in talk.of("response.output_item.done")]
    first = "incomplete" if interleaving == "alternating" else "completed"
    assert statuses == [first, "incomplete"]


def test_a_response_without_outputs_is_finished():
    outputs = OutputInterleaver()
    outputs.complete = True

    assert outputs.finished
    assert not outputs.ready
    assert outputs.send_next() == 0.0
