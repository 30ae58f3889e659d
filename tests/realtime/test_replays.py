"""A client replays history through a conversation that it continues: nothing is twice."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.realtime.earlier import MAX_TURNS
from relay.realtime.records import Record
from tests.realtime import wire_events as wire
from tests.realtime.remembering_engine import Continued, create
from tests.realtime.wire_events import Event
from tests.stores.words import Call

CALL = Call()
HISTORY = (
    CALL.user("My name is Ada.", 1.0, item_id="U1"),
    CALL.assistant("Hello, Ada.", 2.0, item_id="A1"),
    CALL.user("Where is Oslo?", 3.0, item_id="U2"),
    CALL.assistant("In Norway, far up", 4.0, item_id="A2", heard_text="In Norway,"),
)
SAID = ["My name is Ada.", "Hello, Ada.", "Where is Oslo?", "In Norway, far up"]
HEARD = [*SAID[:3], "In Norway,"]
REPLAY = [
    create("U1", "My name is Ada.", "root"),
    create("A1", "Hello, Ada.", "U1", "assistant"),
    create("U2", "Where is Oslo?", "A1"),
    create("A2", "In Norway, far up", "U2", "assistant"),
]
"""As LiveKit's plugin does on a new socket: its own ids, each after the one before."""


def about(kind: str, item_id: str, **more: object) -> Event:
    return {"type": f"conversation.item.{kind}", "item_id": item_id, **more}


def tool_items() -> list[Event]:
    call: Event = {"type": "function_call", "id": "F", "call_id": "c", "name": "map"}
    output = {"type": "function_call_output", "id": "O", "call_id": "c", "output": "{}"}
    made = [{"item": {**call, "arguments": "{}"}, "previous_item_id": "U1"}]
    made.append({"item": output, "previous_item_id": "F"})
    return [{"type": "conversation.item.create", **one} for one in made]


def test_what_a_client_replays_is_neither_told_nor_stored_again() -> None:
    call = Continued(*HISTORY)
    call.send(*REPLAY)
    call.say("U3", "And Bergen?")
    assert call.texts() == HEARD
    assert call.client == ["U1", "A1", "U2", "A2", "U3"]
    assert call.transcript() == [*SAID, "And Bergen?"]


def test_the_client_is_told_of_it_as_by_an_engine_in_the_words_that_were_heard() -> None:
    call = Continued(*HISTORY)
    call.shown.clear()
    call.send(*REPLAY)
    assert [event["type"] for event in call.shown[:2]] == [
        "conversation.item.added",
        "conversation.item.done",
    ]
    items = [event["item"] for event in call.shown[::2]]
    assert [item["id"] for item in items] == ["U1", "A1", "U2", "A2"]
    assert items[3] == {
        "id": "A2",
        "object": "realtime.item",
        "type": "message",
        "status": "completed",
        "role": "assistant",
        "content": [{"type": "output_text", "text": "In Norway,"}],
    }


def test_the_calls_between_them_keep_their_place() -> None:
    call = Continued(*HISTORY)
    call.send(REPLAY[0], *tool_items(), *REPLAY[1:])
    assert call.client == ["U1", "F", "O", "A1", "U2", "A2"]
    assert [item["type"] for item in call.engine][:4] == [
        "message",
        "function_call",
        "function_call_output",
        "message",
    ]
    assert call.texts() == HEARD
    assert call.stored == {}


def test_a_client_that_remembers_only_the_end_keeps_the_order() -> None:
    call = Continued(*HISTORY)
    call.send(create("U2", "Where is Oslo?", "root"), REPLAY[3])
    call.say("U3", "And Bergen?")
    assert call.texts() == HEARD
    assert call.client == ["U2", "A2", "U3"]


def test_what_the_engine_was_not_told_goes_up_in_its_place_and_is_not_stored_again() -> None:
    many = [CALL.user(f"{n}", float(n), item_id=f"U{n}") for n in range(MAX_TURNS + 3)]
    unheard = CALL.assistant("Never.", 200.0, item_id="A", heard_text="", state="unheard")
    call = Continued(*many, unheard)
    call.send(create("U2", "2", "root"), create("U3", "3", "U2"), create("A", "Never.", "U3"))
    assert call.texts() == [*(f"{n}" for n in range(2, MAX_TURNS + 3)), "Never."]
    assert call.client == ["U2", "U3", "A"]
    assert call.stored == {}


def test_a_replayed_item_is_truncated_deleted_and_retrieved_by_the_clients_id() -> None:
    call = Continued(*HISTORY)
    call.send(*REPLAY)
    known = call.engine[1]["id"]
    sent: list[Event] = []
    call.obey = sent.append
    call.send(about("retrieve", "A1"), about("truncate", "A1", content_index=0, audio_end_ms=0))
    reference = {"type": "item_reference", "id": "A1"}
    call.send({"type": "response.create", "response": {"input": [reference]}})
    call.send(about("delete", "A1"))
    assert [event.get("item_id") for event in sent] == [known, known, None, known]
    assert sent[2]["response"]["input"] == [{**reference, "id": known}]
    call.shown.clear()
    retrieved = {"type": "conversation.item.retrieved", "item": {**call.engine[1]}}
    call.emit(retrieved, about("truncated", known), about("deleted", known))
    assert call.shown[0]["item"]["id"] == "A1"
    assert [event["item_id"] for event in call.shown[1:]] == ["A1", "A1"]
    assert call.client == ["U1", "U2", "A2"]


def test_an_item_that_was_replaced_by_another_version_is_told_so() -> None:
    """LiveKit deletes an item and creates it again, with other words."""
    call = Continued(*HISTORY)
    call.send(*REPLAY, about("delete", "A1"), create("A1", "Hi.", "U1", "assistant"))
    assert call.texts() == [HEARD[0], "Hi.", *HEARD[2:]]
    assert call.client == ["U1", "A1", "U2", "A2"]
    assert call.transcript() == SAID
    call.send(about("delete", "A1"))
    assert call.texts() == [HEARD[0], *HEARD[2:]]
    assert call.client == ["U1", "U2", "A2"]


def test_what_is_replayed_twice_is_refused_as_an_engine_does() -> None:
    call = Continued(*HISTORY)
    call.send(REPLAY[0])
    call.shown.clear()
    call.send({**REPLAY[0], "event_id": "mine"})
    (refusal,) = call.shown
    assert refusal["error"]["code"] == "item_create_duplicate_item_id"
    assert refusal["error"]["event_id"] == "mine"


def test_parts_of_one_item_are_replayed_as_one() -> None:
    parts = [
        CALL.assistant(text, 2.0, item_id="A1", content_index=i) for i, text in enumerate("ab")
    ]
    call = Continued(parts[0], parts[1], CALL.user("So.", 3.0, item_id="U2"))
    call.shown.clear()
    call.send(create("A1", "ab", "root", "assistant"), create("U2", "So.", "A1"))
    assert [part["text"] for part in call.shown[0]["item"]["content"]] == ["a", "b"]
    assert call.client == ["A1", "U2"]
    call.send(about("delete", "A1"))
    assert (call.texts(), call.client) == (["So."], ["U2"])


def test_an_engines_own_item_of_an_earlier_id_is_stored() -> None:
    """Ids are unique in one session of an engine, and no more."""
    call = Continued(*HISTORY)
    call.say("U1", "Something else.")
    assert call.transcript() == [*SAID, "Something else."]


@pytest.mark.parametrize("history", [HISTORY, ()], ids=["continued", "new"])
@pytest.mark.parametrize("item_id", ["X", None])
def test_root_is_one_place_for_engine_client_and_store(
    history: tuple[Record, ...], item_id: str | None
) -> None:
    call = Continued(*history)
    call.say("U3", "And Bergen?")
    call.send(create(item_id, "Before.", "root"), create("Y", "First of all.", "root"))
    front = call.client[1]
    assert call.client == ["Y", front, "U3"]
    assert call.transcript()[len(history) :] == ["First of all.", "Before.", "And Bergen?"]
    said = [text for text in call.texts() if text not in HEARD]
    assert said == ["First of all.", "Before."]
    assert [item["id"] for item in call.engine][len(history) :] == ["Y", front, "U3"]


def test_a_message_cannot_come_before_what_was_said_earlier() -> None:
    call = Continued(*HISTORY)
    call.send(*REPLAY, create("X", "At the front?", "root"), create("Y", "Within?", "U1"))
    assert call.client == ["U1", "A1", "U2", "A2", "Y", "X"]
    assert call.texts() == [*HEARD, "Within?", "At the front?"]
    assert call.transcript() == [*SAID, "Within?", "At the front?"]


def test_behind_a_hidden_item_the_front_stays_in_front() -> None:
    call = Continued(*HISTORY)
    call.say("U3", "And Bergen?")
    call.send(create("X", "Before.", "root"))
    call.engine.append({"id": "relay_item_5", "type": "message"})
    hidden = {**wire.message("relay_item_5", "system")}
    call.core._injected.create({"type": "message", "role": "system", "content": []})
    call.emit(wire.item("added", hidden, "U3"))
    call.say("U4", "Thanks.")
    assert call.client == ["X", "U3", "U4"]


def test_odd_ids_are_left_to_the_engine() -> None:
    call = Continued(*HISTORY)
    call.send(REPLAY[0])
    item = {"type": "message", "role": "user", "content": [], "id": ["U1"]}
    call.core.from_client(b'{"type":"conversation.item.create","item":{"type":"x","id":[]}}', 2.0)
    for odd in (item, {**item, "id": {}}, {**item, "id": 7}):
        sent: list[Event] = []
        call.obey = sent.append
        call.send({"type": "conversation.item.create", "item": odd})
        call.send({"type": "response.create", "response": {"input": [odd, 7]}})
        assert [event["type"] for event in sent] == ["conversation.item.create", "response.create"]


PLACES = st.sampled_from([None, "root", "U1", "A1", "U2", "A2"])


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["say", "add", "replay"]), PLACES), max_size=12))
def test_engine_client_and_store_have_one_order(steps: list[tuple[str, str | None]]) -> None:
    """Whatever is replayed, said and put somewhere: the three never disagree about two items."""
    call = Continued(*HISTORY)
    replays = iter(REPLAY)
    for number, (step, place) in enumerate(steps):
        if step == "say":
            call.say(f"S{number}", f"said {number}")
        elif step == "replay" and (event := next(replays, None)) is not None:
            call.send(event)
        elif place in (None, "root", *call.client):
            call.send(create(f"X{number}", f"new {number}", place))
    assert call.transcript()[:4] == SAID
    assert call.texts()[:4] == HEARD
    names = {f"relay_item_{n}": item for n, item in enumerate(["U1", "A1", "U2", "A2"], 1)}
    engine = [names.get(item["id"], item["id"]) for item in call.engine]
    assert [item for item in engine if item in call.client] == call.client
    stored = sorted(call.stored, key=lambda item: call.stored[item].position)
    assert [item for item in call.client if item not in names.values()] == stored
