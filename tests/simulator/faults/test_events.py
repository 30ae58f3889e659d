"""Faults of single events: too many, too few, too large, or in another shape."""

import base64

import msgspec

from relay.simulator.faults import (
    Condition,
    Errors,
    EventDoubled,
    EventLate,
    EventMissing,
    KeyOrder,
    LargeItem,
    SessionExpired,
    UnknownEvents,
    UnknownFields,
)
from tests.engines.cascade.driving import types, valid
from tests.simulator.faults.faulty import answered, faulty, listening, writing


def test_errors_that_end_nothing():
    talk = writing(Errors(every=5, code="server_error"))
    answered(talk)

    errors = talk.of("error")
    assert len(errors) >= 2
    assert valid(errors[0])["error"]["code"] == "server_error"
    assert errors[0]["error"]["event_id"] is None
    assert talk.last("response.done")["response"]["status"] == "completed"


def test_errors_may_come_by_chance():
    talk = writing(Errors(every=1, only=Condition(probability=0.3)), seed=5)
    answered(talk)
    places = [event["type"] == "error" for event in talk.events]

    again = writing(Errors(every=1, only=Condition(probability=0.3)), seed=5)
    answered(again)
    assert [event["type"] == "error" for event in again.events] == places
    assert 0 < sum(places) < len(places) / 2


def test_unknown_events():
    talk = writing(UnknownEvents(every=4, type="session.mood.updated"))
    answered(talk)

    unknown = talk.of("session.mood.updated")
    assert len(unknown) >= 3
    assert len({event["event_id"] for event in talk.events}) == len(talk.events)


def test_unknown_fields():
    talk = writing(UnknownFields(name="x_new"))
    answered(talk)

    assert all("x_new" in event for event in talk.events)
    done = talk.last("response.done")["response"]
    assert "x_new" in done
    assert "x_new" in done["usage"]
    assert "x_new" in done["output"][0]
    assert "x_new" in done["output"][0]["content"][0]
    assert "x_new" in talk.last("response.content_part.done")["part"]
    assert list(done)[:2] == ["object", "id"]
    for event in talk.events:
        valid(event)  # a lenient client still reads it


def test_keys_in_reverse_order():
    talk = writing(KeyOrder(only=Condition(response=1)))
    told = answered(talk)

    assert {list(event)[-1] for event in told} == {"type"}
    assert b'"type":"response.done"}' in msgspec.json.encode(talk.last("response.done"))
    assert next(iter(talk.type("More")[0])) == "type"


def test_a_retrieved_item_of_five_mebibytes():
    talk = listening(LargeItem())
    talk.speak()
    item_id = talk.last("input_audio_buffer.committed")["item_id"]

    (retrieved,) = talk.say("conversation.item.retrieve", item_id=item_id)

    part = retrieved["item"]["content"][0]
    assert part["type"] == "input_audio"
    assert len(part["audio"]) == 5 * 1024 * 1024
    assert len(base64.b64decode(part["audio"])) == 5 * 1024 * 1024 // 4 * 3
    assert len(msgspec.json.encode(retrieved)) > 5 * 1024 * 1024


def test_an_item_without_content_stays_small():
    talk = faulty(LargeItem(bytes=1000))
    item = {"id": "call", "type": "function_call", "name": "f", "arguments": "{}"}
    talk.say("conversation.item.create", item=item)

    (retrieved,) = talk.say("conversation.item.retrieve", item_id="call")

    assert "audio" not in str(retrieved)


def test_an_event_that_does_not_come():
    talk = writing(EventMissing(event="response.done", only=Condition(response=1)))
    answered(talk)
    assert talk.of("response.done") == []

    answered(talk)
    assert len(talk.of("response.done")) == 1


def test_an_event_that_comes_twice():
    talk = writing(EventDoubled(event="conversation.item.added"))

    added = talk.type("More")

    assert types(added) == ["conversation.item.added"] * 2 + ["conversation.item.done"]
    assert added[0]["event_id"] != added[1]["event_id"]
    assert added[0]["item"] == added[1]["item"]


def test_an_event_that_comes_late():
    talk = writing(EventLate(event="response.created", seconds=30))
    told = types(answered(talk))

    assert told[0] == "response.output_item.added"
    assert told[-1] == "response.created"


def test_a_close_is_not_altered_by_faults_of_events():
    talk = faulty(UnknownFields(), KeyOrder(), Errors(every=1), SessionExpired(seconds=1))

    talk.wait(1)

    assert talk.closed is not None
    assert talk.closed.code == 1001
    assert types(talk.events)[-1] == "error"
