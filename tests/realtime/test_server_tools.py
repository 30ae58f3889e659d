"""Server-side tools: the model calls them and the client sees nothing of it."""

import json
from typing import Any

import pytest

from relay.realtime.effects import ToolCall
from relay.realtime.events import BadEvent
from relay.realtime.server_tools import ServerTools
from tests.realtime import wire_events as wire
from tests.realtime.tool_call import SECRET, WEATHER, Call, called, client_call, server_call
from tests.recordings import RECORDINGS, needs_recordings

Event = dict[str, Any]

CREATE: Event = {"type": "response.create"}
CANCEL: Event = {"type": "response.cancel"}
OUTPUT, FOLLOW_UP = "conversation.item.create", "response.create"


def typed(text: str = "How is the weather?") -> Event:
    item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}
    return {"type": "conversation.item.create", "item": item}


def refusal(call: Call, event: Event) -> BadEvent:
    with pytest.raises(BadEvent) as refused:
        call.say(event)
    return refused.value


# ------------------------------------------------------------------------------------ one question


def test_the_client_sees_one_answer_and_nothing_of_the_call() -> None:
    call = Call([server_call()], [("say", "It is foggy.")])
    call.say(typed())
    call.say(CREATE)
    call.settle()

    assert call.calls == [ToolCall("call_4", "item_a3", WEATHER, '{"city": "London"}')]
    assert call.asked() == [OUTPUT, FOLLOW_UP]
    assert call.engine.items[-2]["output"] == f"{SECRET} for call_4"
    assert call.traces() == set()
    assert call.types() == [
        "conversation.item.added",
        "conversation.item.done",
        "response.created",
        "response.output_item.added",
        "conversation.item.added",
        "response.output_text.done",
        "conversation.item.done",
        "response.output_item.done",
        "response.done",
    ]


def test_the_answer_is_linked_to_the_question_for_the_client() -> None:
    call = Call([server_call()], [("say", "It is foggy.")])
    call.say(typed())
    call.say(CREATE)
    call.settle()
    question, answer = call.shown("conversation.item.added")
    assert question["previous_item_id"] is None
    assert answer["previous_item_id"] == question["item"]["id"]
    (done,) = [e for e in call.shown("conversation.item.done") if e["item"] != question["item"]]
    assert done["previous_item_id"] == question["item"]["id"]


def test_what_the_model_says_before_the_call_is_shown_as_a_response_of_its_own() -> None:
    call = Call([("say", "I will look."), server_call()], [("say", "It is foggy.")])
    call.say(CREATE)
    call.settle()
    first, second = call.shown("response.done")
    assert [item["type"] for item in first["response"]["output"]] == ["message"]
    assert [item["type"] for item in second["response"]["output"]] == ["message"]
    assert call.traces() == set()
    assert call.types().count("response.created") == 2


def test_output_index_stays_as_the_engine_counts_it() -> None:
    call = Call([server_call(), ("say", "One moment.")])
    call.say(CREATE)
    call.flow()
    (added,) = call.shown("response.output_item.added")
    assert added["output_index"] == 1


def test_a_question_that_needs_no_tool_passes_untouched() -> None:
    call = Call([("say", "Hello.")])
    call.say(typed("Hi"))
    call.say(CREATE)
    engine = Call([("say", "Hello.")]).engine
    for event in (typed("Hi"), CREATE):
        engine.receive(event)
    while engine.is_running:
        engine.step()
    call.flow()
    assert call.seen == list(engine.out)


def test_a_call_of_a_client_tool_passes_untouched() -> None:
    call = Call([client_call()])
    call.say(CREATE)
    call.flow()
    assert call.calls == []
    assert call.sent == []
    assert call.types() == [
        "response.created",
        "response.output_item.added",
        "conversation.item.added",
        "response.function_call_arguments.delta",
        "response.function_call_arguments.done",
        "conversation.item.done",
        "response.output_item.done",
        "response.done",
    ]
    (done,) = call.shown("response.done")
    call_id = done["response"]["output"][0]["call_id"]
    output = {"type": "function_call_output", "call_id": call_id, "output": "{}"}
    call.say({"type": OUTPUT, "item": output})
    call.say(CREATE)
    call.settle()
    assert [e["item"]["output"] for e in call.shown("conversation.item.added")[1:2]] == ["{}"]
    assert len(call.shown("response.done")) == 2


def test_a_follow_up_inherits_the_parameters_of_its_response() -> None:
    call = Call([server_call()])
    wish = {"metadata": {"asked_by": "c1"}, "output_modalities": ["text"]}
    call.say({**CREATE, "response": wish})
    call.settle()
    assert call.engine.wishes[1] == {**wish, "max_output_tokens": "inf"}
    (created,) = call.shown("response.created")
    assert created["response"]["metadata"] == {"asked_by": "c1"}


# ------------------------------------------------------------------------------- several at once


def test_parallel_calls_lead_to_one_answer() -> None:
    call = Call([server_call("London"), server_call("Paris"), server_call("Rome")])
    call.say(CREATE)
    call.flow()
    assert len(call.running) == 3
    call.answer(1)
    call.answer(1)
    assert call.asked() == [OUTPUT, OUTPUT], "one is still missing"
    call.settle()
    assert call.asked() == [OUTPUT, OUTPUT, OUTPUT, FOLLOW_UP]
    answered = [event["item"]["call_id"] for event in call.sent[:3]]
    first, second, third = (c.call_id for c in call.calls)
    assert answered == [second, third, first]
    assert call.traces() == set()


def test_a_result_waits_until_its_response_is_done() -> None:
    call = Call([server_call(), ("say", "One moment.")])
    call.say(CREATE)
    while not call.running:
        call.give()
        call.engine.step()
        call.take()
    call.answer()
    assert call.sent == []
    call.settle()
    assert call.asked() == [OUTPUT, FOLLOW_UP]


def test_a_tool_after_a_tool_is_still_one_answer() -> None:
    call = Call([server_call("London")], [server_call("Paris")], [("say", "Both are foggy.")])
    call.say(CREATE)
    call.settle()
    assert len(call.calls) == 2
    assert call.types().count("response.created") == 1
    assert call.types().count("response.done") == 1
    assert call.traces() == set()


def test_after_ten_rounds_the_model_must_answer_without_tools() -> None:
    call = Call(*[[server_call()]] * 50)
    call.say(CREATE)
    call.settle()
    assert len(call.calls) == 10
    assert call.engine.wishes[-1]["tool_choice"] == "none"
    assert len(call.shown("response.done")) == 1
    call.say(CREATE)
    call.settle()
    assert len(call.calls) == 20, "the next question may use tools again"


def test_an_engine_that_calls_tools_all_the_same_is_not_asked_to_go_on() -> None:
    call = Call(*[[server_call()]] * 50)
    call.engine.heeds_tool_choice = False
    call.say(CREATE)
    call.settle()
    assert len(call.calls) == 10, "the calls that it was told not to make are not run"
    outputs = [i["output"] for i in call.engine.items if i["type"] == "function_call_output"]
    assert len(outputs) == 11, "each call has an answer, or the conversation would be broken"
    assert '"too_many_rounds"' in outputs[-1]
    assert len(call.shown("response.done")) == 1, "the client sees that the answer has ended"
    assert call.traces() == set()
    call.say(CREATE)
    call.settle()
    assert len(call.calls) == 20, "the next question may use tools again"


def test_calls_beyond_the_limit_are_answered_without_running() -> None:
    call = Call([server_call(str(n)) for n in range(20)])
    call.say(CREATE)
    call.settle()
    assert len(call.calls) == 16
    outputs = [i["output"] for i in call.engine.items if i["type"] == "function_call_output"]
    assert len(outputs) == 20
    assert sum('"too_many_calls"' in output for output in outputs) == 4
    assert call.asked().count(FOLLOW_UP) == 1


def test_arguments_or_results_that_are_too_long_are_answered_with_an_error() -> None:
    call = Call([("call", WEATHER, '"' + "x" * 65_536 + '"'), server_call()])
    call.say(CREATE)
    call.flow()
    assert len(call.running) == 1
    call.answer(output="y" * 1_048_577)
    call.settle()
    outputs = [json.loads(e["item"]["output"]) for e in call.sent if e["type"] == OUTPUT]
    assert [o["error"]["code"] for o in outputs] == ["arguments_too_long", "too_big"]


# ------------------------------------------------------------------------------- both kinds of tool


def test_with_calls_of_both_kinds_the_clients_create_waits_for_the_servers_result() -> None:
    call = Call([server_call(), client_call()], [("say", "Look at the map.")])
    call.say(CREATE)
    call.flow()
    (done,) = call.shown("response.done")
    (theirs,) = done["response"]["output"]
    assert theirs["name"] == "show_map"
    output = {"type": "function_call_output", "call_id": theirs["call_id"], "output": "{}"}
    call.say({"type": OUTPUT, "item": output})
    call.say({**CREATE, "event_id": "c7"})
    call.flow()
    assert len(call.engine.responses) == 1, "the client's create waits"
    call.answer()
    assert call.sent[-1] == {**CREATE, "event_id": "c7"}
    call.settle()
    assert len(call.engine.responses) == 2
    assert call.engine.refused == []
    assert call.traces() == set()


def test_with_calls_of_both_kinds_the_relay_does_not_ask_by_itself() -> None:
    call = Call([server_call(), client_call()])
    call.say(CREATE)
    call.settle()
    assert call.asked() == [OUTPUT]


# ------------------------------------------------------------------- a client that does not wait


def test_a_clients_create_while_a_tool_runs_replaces_ours() -> None:
    call = Call([server_call()], [("say", "It is foggy.")])
    call.say(CREATE)
    call.flow()
    call.say(typed("And hurry!"))
    call.say({**CREATE, "event_id": "c2"})
    call.settle()
    assert [event["type"] for event in call.sent] == [OUTPUT, FOLLOW_UP]
    assert call.sent[1]["event_id"] == "c2"
    assert len(call.engine.responses) == 2


def test_a_second_create_is_refused_as_the_api_refuses_it() -> None:
    call = Call([server_call()])
    call.say(CREATE)
    call.flow()
    call.say(CREATE)
    refused = refusal(call, {**CREATE, "event_id": "c3"})
    assert refused.code == "conversation_already_has_active_response"
    assert refused.event_id == "c3"


def test_a_response_outside_the_conversation_does_not_wait() -> None:
    call = Call([server_call()])
    call.say(CREATE)
    call.flow()
    apart = {**CREATE, "response": {"conversation": "none", "input": []}}
    call.say(apart)
    assert list(call.up) == [apart]


def test_a_cancel_while_a_tool_runs_ends_the_response_that_the_client_waits_for() -> None:
    call = Call([server_call()])
    call.say({**CREATE, "response": {"metadata": {"asked_by": "c1"}}})
    call.flow()
    assert call.seen == []
    call.say(CANCEL)
    created, done = call.seen
    assert created["type"] == "response.created"
    assert created["response"]["id"] == done["response"]["id"]
    assert created["response"]["metadata"] == {"asked_by": "c1"}
    assert (done["response"]["status"], done["response"]["output"]) == ("cancelled", [])
    assert done["response"]["status_details"]["reason"] == "client_cancelled"
    call.settle()
    assert call.asked() == [OUTPUT], "the conversation has the result, the model need not go on"
    assert call.engine.refused == [], "there was nothing that the engine could have cancelled"


def test_a_cancel_after_the_follow_up_was_sent_goes_to_the_engine() -> None:
    call = Call([server_call()], [("say", "It is foggy.")])
    call.say(CREATE)
    call.flow()
    call.answer()
    call.say(CANCEL)
    call.settle()
    (done,) = call.shown("response.done")
    assert done["response"]["status"] == "cancelled"
    assert call.engine.refused == []


def test_a_cancel_that_names_a_response_is_passed_on() -> None:
    call = Call([server_call()])
    call.say(CREATE)
    call.flow()
    call.say({**CANCEL, "response_id": "resp_apart"})
    assert list(call.up) == [{**CANCEL, "response_id": "resp_apart"}]
    call.settle()
    assert FOLLOW_UP in call.asked()


def test_a_cancel_releases_the_clients_waiting_create_first() -> None:
    call = Call([server_call()])
    call.say(CREATE)
    call.flow()
    call.say({**CREATE, "event_id": "c2"})
    call.say({**CANCEL, "event_id": "c3"})
    assert [event["event_id"] for event in call.up] == ["c2", "c3"]
    call.settle()
    assert call.shown("response.done")[-1]["response"]["status"] == "cancelled"
    assert call.asked() == [OUTPUT]


# ------------------------------------------------------------------------------- interruptions


def test_a_response_that_was_cancelled_gets_no_follow_up() -> None:
    call = Call([server_call(), ("say", "A long story.")])
    call.say(CREATE)
    while not call.running:
        call.give()
        call.engine.step()
        call.take()
    call.say(CANCEL)
    call.flow()
    (done,) = call.shown("response.done")
    assert done["response"]["status"] == "cancelled"
    call.settle()
    assert call.asked() == [OUTPUT]
    assert call.traces() == set()


def test_a_call_that_was_cut_off_is_not_run() -> None:
    call = Call([server_call()])
    call.say(CREATE)
    for _ in range(2):
        call.give()
        call.engine.step()
    call.engine.speech()
    call.flow()
    assert call.calls == []
    (done,) = call.shown("response.done")
    assert (done["response"]["status"], done["response"]["output"]) == ("cancelled", [])
    assert call.traces() == set()


def test_the_model_is_not_asked_to_continue_while_the_learner_speaks() -> None:
    call = Call([server_call()], [("say", "As I was saying: foggy.")])
    call.say(CREATE)
    call.flow()
    call.engine.speech()
    call.flow()
    call.answer()
    assert call.asked() == [OUTPUT]
    call.flow()
    call.engine.silence()
    call.settle()
    assert len(call.engine.responses) == 2, "the turn's own response knows the result"
    assert call.types().count("response.created") == 1
    assert call.traces() == set()


def test_when_the_turn_brings_no_response_the_model_is_asked_after_it() -> None:
    call = Call([server_call()])
    call.say(CREATE)
    call.flow()
    call.engine.speech()
    call.flow()
    call.answer()
    call.engine.out.append({"type": "input_audio_buffer.cleared"})
    call.settle()
    assert call.asked() == [OUTPUT, FOLLOW_UP]


def test_a_turn_that_overtakes_the_result_is_followed_by_an_answer_with_it() -> None:
    call = Call([server_call()], [("say", "What?")], [("say", "It is foggy.")])
    call.say(CREATE)
    call.flow()
    call.engine.speech()
    call.engine.silence()
    call.answer()  # the relay does not know of the new turn yet
    call.settle()
    assert [event["type"] for event in call.engine.refused] == [FOLLOW_UP]
    assert len(call.engine.responses) == 3
    assert call.engine.responses[2]["status"] == "completed"
    assert call.shown("error") == [], "that refusal was ours"


def test_when_the_engine_refuses_the_follow_up_the_hidden_response_is_shown() -> None:
    call = Call([server_call()])
    call.say(CREATE)
    call.flow()
    call.answer()
    event_id = call.sent[-1]["event_id"]
    fault = {"type": "server_error", "code": "rate_limit_exceeded", "event_id": event_id}
    call.up.clear()
    call.engine.out.append({"type": "error", "error": fault})
    call.flow()
    assert call.types() == ["response.created", "response.done"]
    assert call.traces() == set()


def test_a_failed_response_is_shown() -> None:
    tools = ServerTools(frozenset({WEATHER}))
    created = wire.response_created("resp_1")
    failed = {
        "type": "response.done",
        "response": {**created["response"], "status": "failed", "output": []},
    }
    assert tools.from_engine(created, 1.0).events == []
    assert tools.from_engine(failed, 1.0).events == [created, failed]


def test_a_response_without_output_is_shown() -> None:
    call = Call([])
    call.say(CREATE)
    call.settle()
    assert call.types() == ["response.created", "response.done"]


def test_an_incomplete_response_is_shown_and_followed_up() -> None:
    call = Call([server_call()])
    *events, done = whole_response(call)
    incomplete = {**done["response"], "status": "incomplete"}
    call.engine.out += [*events, {**done, "response": incomplete}]
    call.settle()
    statuses = [event["response"]["status"] for event in call.shown("response.done")]
    assert statuses == ["incomplete", "completed"]
    assert call.traces() == set()


def test_after_another_response_a_cancel_goes_to_the_engine_again() -> None:
    call = Call([server_call()], [("say", "What?")])
    call.say(CREATE)
    call.flow()
    call.engine.speech()
    call.engine.silence()
    call.flow()
    seen = list(call.seen)
    call.say(CANCEL)
    assert list(call.up) == [CANCEL]
    assert call.seen == seen
    call.settle()
    assert FOLLOW_UP not in call.asked()


# ---------------------------------------------------------------------- what a client may not name


def test_a_hidden_item_is_refused_as_if_it_did_not_exist() -> None:
    call = Call([server_call()])
    call.say(CREATE)
    call.settle()
    hidden = [item for item in call.engine.items if "call_id" in item]
    assert len(hidden) == 2
    for item in hidden:
        for verb, doing in (
            ("retrieve", "retrieving"),
            ("truncate", "truncating"),
            ("delete", "deleting"),
        ):
            event = {"type": f"conversation.item.{verb}", "item_id": item["id"], "event_id": "c1"}
            refused = refusal(call, event)
            assert refused.code == f"item_{verb}_invalid_item_id"
            assert refused.message == (
                f"Error {doing} item: the item with id '{item['id']}' does not exist."
            )
            assert refused.event_id == "c1"
        after = refusal(call, {**typed(), "previous_item_id": item["id"]})
        assert after.code == "item_create_invalid_previous_item_id"
        again = refusal(call, {"type": OUTPUT, "item": {**item, "type": "message"}})
        assert again.code == "invalid_value"
        reference = {"type": "item_reference", "id": item["id"]}
        refusal(call, {**CREATE, "response": {"conversation": "none", "input": [reference]}})


def test_a_client_cannot_forge_a_tools_result() -> None:
    call = Call([server_call()])
    call.say(CREATE)
    call.flow()
    forged = {"type": "function_call_output", "call_id": call.calls[0].call_id, "output": "42"}
    refusal(call, {"type": OUTPUT, "item": forged})
    call.settle()
    assert "42" not in {item.get("output") for item in call.engine.items}


@pytest.mark.parametrize(
    "event",
    [
        {"type": "conversation.item.retrieve", "item_id": "item_9"},
        {"type": "conversation.item.create", "item": {"type": "message"}, "previous_item_id": "x"},
        {"type": "input_audio_buffer.commit"},
        {"type": "response.create", "response": None},
        {"type": "response.create", "response": {"input": ["odd", {"id": ["odd"]}]}},
    ],
)
def test_every_other_client_event_is_forwarded_unchanged(event: Event) -> None:
    handled = ServerTools(frozenset({WEATHER})).from_client(event, 1.0)
    assert handled.events == [event]
    assert handled.events[0] is event
    assert not handled.replies


# --------------------------------------------------------------------------- unexpected events


def test_the_result_of_an_unknown_call_is_dropped() -> None:
    call = Call([server_call()])
    assert call.tools.result("call_9", "late") == []
    call.say(CREATE)
    call.flow()
    call_id = call.calls[0].call_id
    call.settle()
    assert call.tools.result(call_id, "twice") == []


def test_a_call_in_a_response_outside_the_conversation_is_hidden_and_not_run() -> None:
    tools = ServerTools(frozenset({WEATHER}))
    created = wire.response_created("resp_1", None)
    item = {
        "id": "F1",
        "type": "function_call",
        "status": "completed",
        "name": WEATHER,
        "call_id": "call_1",
        "arguments": "{}",
    }
    ids = {"response_id": "resp_1", "output_index": 0}
    done: Event = {
        "type": "response.done",
        "response": {**created["response"], "status": "completed", "output": [item]},
    }
    assert tools.from_engine(created, 1.0).events == [created]
    for kind in ("added", "done"):
        handled = tools.from_engine(
            {"type": f"response.output_item.{kind}", **ids, "item": item}, 1.0
        )
        assert (handled.events, handled.after) == ([], [])
    handled = tools.from_engine(done, 1.0)
    assert handled.events == [{**done, "response": {**done["response"], "output": []}}]
    assert not handled.after


def test_a_call_whose_own_events_were_missed_is_found_in_the_response() -> None:
    call = Call([server_call()])
    created, *_, done = whole_response(call)
    call.engine.out += [created, done]
    call.settle()
    assert len(call.calls) == 1
    assert call.asked() == [OUTPUT, FOLLOW_UP]
    assert call.traces() == set()


def whole_response(call: Call) -> list[Event]:
    """All events of the response that the client asks for, none of them delivered."""
    call.say(CREATE)
    call.give()
    while call.engine.is_running:
        call.engine.step()
    events = list(call.engine.out)
    call.engine.out.clear()
    return events


def test_a_message_is_shown_although_its_own_events_were_missed() -> None:
    call = Call([("say", "I will look."), server_call()])
    created, *_, done = whole_response(call)
    call.engine.out += [created, done]
    call.flow()
    assert call.types() == ["response.created", "response.done"]
    assert [i["type"] for i in call.seen[1]["response"]["output"]] == ["message"]


def test_a_call_known_only_from_a_cancelled_response_is_not_run() -> None:
    call = Call([server_call()])
    created, *_, done = whole_response(call)
    cancelled = {**done["response"], "status": "cancelled"}
    call.engine.out += [created, {**done, "response": cancelled}]
    call.flow()
    assert call.calls == []
    assert call.traces() == set()


def test_a_response_that_never_ended_is_shown_when_the_next_begins() -> None:
    tools = ServerTools(frozenset({WEATHER}))
    first, second = wire.response_created("resp_1"), wire.response_created("resp_2")
    assert tools.from_engine(first, 1.0).events == []
    assert tools.from_engine(second, 1.0).events == [first]


def test_a_late_repeat_of_a_hidden_response_is_hidden_too() -> None:
    call = Call([server_call()])
    created, *_, done = events = whole_response(call)
    call.engine.out += [*events, created, done]
    call.flow()
    assert call.seen == []


@pytest.mark.parametrize("times", [2, 3])
def test_repeated_events_change_nothing(times: int) -> None:
    call = Call([server_call()], [("say", "It is foggy.")])
    call.engine.out += [event for event in whole_response(call) for _ in range(times)]
    call.settle()
    assert len(call.calls) == 1
    assert call.asked() == [OUTPUT, FOLLOW_UP]
    assert call.types().count("response.created") == 1
    assert call.types().count("response.done") == 1


ODD: list[Event] = [
    {"type": "response.created"},
    {"type": "response.created", "response": "odd"},
    {"type": "response.done", "response": []},
    {"type": "response.done", "response": {"id": "resp_9", "output": "odd"}},
    {"type": "response.output_item.done", "item": None},
    {"type": "response.output_item.done", "response_id": 7, "item": {"type": "function_call"}},
    {"type": "conversation.item.added", "item": {"id": 7, "name": ["odd"]}},
    {"type": "conversation.item.added", "item": {"id": "A"}, "previous_item_id": ["odd"]},
    {"type": "response.function_call_arguments.done", "name": ["odd"], "item_id": {}},
    {"type": "conversation.item.deleted", "item_id": 3},
    {"type": "error", "error": "odd"},
    {"type": "error"},
]


@pytest.mark.parametrize("event", ODD, ids=str)
def test_malformed_events_are_passed_on_unchanged(event: Event) -> None:
    handled = ServerTools(frozenset({WEATHER})).from_engine(event, 1.0)
    if event.get("response") is None or not isinstance(event["response"], dict):
        assert handled.events == [event]
    assert not handled.after
    assert not handled.replies


def test_an_incomplete_call_is_hidden_and_not_run() -> None:
    tools = ServerTools(frozenset({WEATHER}))
    item = {"id": "F1", "type": "function_call", "name": WEATHER, "arguments": "{}"}
    event = {"type": "response.output_item.done", "response_id": "resp_1", "item": item}
    handled = tools.from_engine(event, 1.0)
    assert handled.events == []
    assert not handled.after


# ---------------------------------------------------------------------------- recorded sessions


class Recorded:
    """A recorded session whose client ran the tool; here the server does and sends the same."""

    def __init__(self, name: str) -> None:
        rows = [json.loads(line) for line in (RECORDINGS / name).read_text().splitlines()]
        self.events: list[Event] = [row["event"] for row in rows if row["dir"] == "s2c"]
        sent = [row["event"].get("item", {}) for row in rows if row["dir"] == "c2s"]
        (self.result,) = [item for item in sent if item.get("type") == "function_call_output"]
        self.shown: list[Event] = []
        self.asked: list[Event] = []
        self.calls: list[ToolCall] = []
        tools = ServerTools(frozenset({WEATHER}))
        for event in self.events:
            if event["type"] not in tools.reads:
                self.shown.append(event)
                continue
            handled = tools.from_engine(event, 1.0)
            self.shown += handled.events
            self.asked += handled.replies
            calls = called(handled)
            self.calls += calls
            for call in calls:
                self.asked += tools.result(call.call_id, self.result["output"])

    def outputs(self, events: list[Event]) -> list[Event]:
        done = [event for event in events if event["type"] == "response.done"]
        return [item for event in done for item in event["response"]["output"]]


@pytest.fixture(
    params=[
        pytest.param(name, marks=needs_recordings)
        for name in ("ga05_openai_tool_call_round", "ga16_openai_parity_tool_round_current")
    ]
)
def recording(request: pytest.FixtureRequest) -> Recorded:
    return Recorded(f"{request.param}.jsonl")


def test_a_recorded_call_is_run_as_its_client_ran_it(recording: Recorded) -> None:
    (call,) = recording.calls
    assert (call.name, call.call_id) == (WEATHER, recording.result["call_id"])
    assert json.loads(call.arguments) == {"city": "London"}
    assert [{k: v for k, v in e.items() if k != "event_id"} for e in recording.asked] == [
        {"type": OUTPUT, "item": recording.result},
        {
            "type": FOLLOW_UP,
            "response": {"output_modalities": ["text"], "max_output_tokens": "inf"},
        },
    ]


def test_a_recorded_call_leaves_no_trace(recording: Recorded) -> None:
    told = json.dumps([e for e in recording.shown if not e["type"].startswith("session.")])
    hidden = {e["item"]["id"] for e in recording.events if e.get("item", {}).get("call_id")}
    assert len(hidden) == 2
    for word in (WEATHER, "function_call", recording.result["call_id"], *hidden):
        assert word not in told
    said = [i for i in recording.outputs(recording.events) if i["type"] == "message"]
    assert recording.outputs(recording.shown) == said


def test_in_a_recorded_call_the_visible_items_form_one_chain(recording: Recorded) -> None:
    added = [e for e in recording.shown if e["type"] == "conversation.item.added"]
    items = [event["item"]["id"] for event in added]
    assert [event["previous_item_id"] for event in added] == [None, *items[:-1]]
    for event in recording.shown:
        if event["type"] == "conversation.item.done":
            assert event["previous_item_id"] in {None, *items}


def test_in_a_recorded_call_every_response_begins_and_ends(recording: Recorded) -> None:
    begun: list[str] = []
    for event in recording.shown:
        if event["type"] == "response.created":
            begun.append(event["response"]["id"])
        if "response_id" in event:
            assert event["response_id"] == begun[-1]
    ended = [e["response"]["id"] for e in recording.shown if e["type"] == "response.done"]
    assert begun == ended
