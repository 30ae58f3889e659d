"""What a client does to items while answers run."""

import pytest

from relay.engines.cascade import machine as machine_module
from relay.parts.interfaces import FunctionCall, Reply, SpokenMessage
from tests.engines.cascade.driving import TEXT, Event, Talk, scripted, types

CALLS = Reply((FunctionCall("f"), SpokenMessage("And so on, " * 20)), interleaving="in_turn")


def early_talk() -> Talk:
    """A talk whose function call is whole while its response goes on."""
    talk = Talk(scripted(replies=(CALLS, "Then: {heard}")))
    talk.say("session.update", session=TEXT)
    talk.type("Go")
    talk.say("response.create")
    while not talk.of("response.function_call_arguments.done"):
        talk.wait(0.005)
    talk.forget()
    return talk


def output(text: str, **more: object) -> dict[str, object]:
    item = {"type": "function_call_output", "call_id": "call_x", "output": text}
    return {"type": "conversation.item.create", "item": item, **more}


def ids(events: list[Event]) -> list[str]:
    return [event["item"]["id"] for event in events if event["type"] == "conversation.item.added"]


def test_4_6_an_output_that_comes_early_joins_after_the_response():
    talk = early_talk()

    assert talk.send(output("one")) == []
    assert talk.send(output("two")) == []
    rest = talk.finish()

    kinds = types(rest)
    after = kinds.index("response.done")
    assert kinds[after:] == [
        "response.done",
        "rate_limits.updated",
        *["conversation.item.added", "conversation.item.done"] * 2,
    ]
    outputs = [event["item"]["output"] for event in rest if "output" in event.get("item", {})]
    assert outputs == ["one", "one", "two", "two"]
    talk.say("response.create")
    talk.finish()
    assert talk.last("response.output_text.done")["text"] == "Then: two"


def test_an_output_joins_before_the_response_that_waits_behind():
    talk = Talk(scripted("Go.", "And?", replies=(CALLS, "Then: {heard}")))
    patient = {"type": "server_vad", "interrupt_response": False}
    audio = {"input": {"turn_detection": patient}}
    talk.say("session.update", session={**TEXT, "audio": audio})
    talk.speak()
    talk.wait(0.05)
    talk.speak()  # its answer waits for the first one's end
    talk.send(output("one"))

    talk.finish()

    assert talk.of("response.output_text.done")[-1]["text"] == "Then: one"


def test_what_a_user_types_meanwhile_joins_at_once():
    talk = early_talk()

    assert types(talk.type("Wait")) == ["conversation.item.added", "conversation.item.done"]


def test_an_early_output_whose_place_has_gone_is_refused_when_its_time_comes():
    talk = early_talk()
    place = ids(talk.type("Gone soon"))[0]
    assert talk.send(output("late", previous_item_id=place, event_id="mine")) == []
    talk.say("conversation.item.delete", item_id=place)

    talk.finish()

    error = talk.last("error")["error"]
    assert error["code"] == "item_create_invalid_previous_item_id"
    assert error["event_id"] == "mine"


def test_there_is_an_end_to_what_may_wait(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(machine_module, "MAX_DEFERRED", 1)
    talk = early_talk()
    talk.send(output("one"))

    (error,) = talk.send(output("two"))

    assert error["error"]["code"] == "rate_limit_exceeded"


def test_an_approval_that_nobody_asked_for_is_an_item_like_any():
    talk = Talk()
    item = {"type": "mcp_approval_response", "approval_request_id": "x", "approve": True}

    answered = talk.say("conversation.item.create", item=item)

    assert types(answered) == ["conversation.item.added", "conversation.item.done"]
