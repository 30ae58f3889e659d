"""Which responses run, and what each is about."""

from typing import Any

import pytest

from relay.engines.cascade.responses import MAX_RUNNING
from relay.parts.interfaces import AudioResponder, Parts
from relay.parts.simple import (
    EchoResponder,
    LoudnessDetector,
    ScriptedResponder,
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
    assert speech.voice == "sage"  # type: ignore[union-attr]


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


def test_a_cancel_overtakes_the_mouth():
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
def test_what_a_response_cannot_be(response: dict[str, Any], code: str, param: str):
    talk = text_talk()

    (error,) = talk.say("response.create", response=response, event_id="r1")

    assert (error["error"]["code"], error["error"]["param"]) == (code, param)
    assert error["error"]["event_id"] == "r1"


class BrokenBrain:
    def reply(self, heard: str) -> str:
        raise RuntimeError("no idea")


def test_a_brain_that_fails_fails_its_response_and_nothing_else():
    parts = scripted_parts()
    talk = Talk(
        Parts(LoudnessDetector, parts.transcriber, BrokenBrain, ToneSynthesizer(), "broken")
    )
    talk.type("Hello")

    created, done = talk.say("response.create")

    assert created["type"] == "response.created"
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


def test_who_is_a_parrot():
    assert isinstance(EchoResponder(), AudioResponder)
    assert not isinstance(ScriptedResponder(("x",)), AudioResponder)
