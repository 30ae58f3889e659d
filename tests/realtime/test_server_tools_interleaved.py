"""Server-side tools under any interleaving of events: nothing leaks and no result is lost."""

import json
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from relay.realtime.events import BadEvent
from tests.realtime.tool_call import Call, client_call, server_call
from tests.realtime.tool_engine import Part

Event = dict[str, Any]
Step = tuple[str, int]

PART = st.sampled_from([("say", "Hm."), server_call("London"), server_call("Rome"), client_call()])
SCRIPT = st.lists(st.lists(PART, min_size=1, max_size=4), max_size=6)
QUIET = ("engine", "down", "up", "tool")
STEPS = {
    "engine": 6,  # the model writes an event
    "down": 6,  # an event arrives at the relay
    "up": 4,  # an event arrives at the engine
    "tool": 2,  # a tool answers
    "ask": 1,  # the client asks for a response
    "say": 1,  # … or types something
    "speak": 1,  # the learner begins to speak
    "hush": 1,  # … and stops
    "cancel": 1,  # the client cancels
}
CLIENT: dict[str, Event] = {
    "ask": {"type": "response.create"},
    "say": {
        "type": "conversation.item.create",
        "item": {"type": "message", "role": "user", "content": []},
    },
    "cancel": {"type": "response.cancel"},
}
WEIGHTED = [name for name, weight in STEPS.items() for _ in range(weight)]


def steps(*names: str) -> st.SearchStrategy[list[Step]]:
    chosen = [name for name in WEIGHTED if name in names]
    return st.lists(st.tuples(st.sampled_from(chosen), st.integers(0, 9)), max_size=120)


class Scene:
    """A call that goes through the steps of a test and then comes to rest."""

    def __init__(self, script: Sequence[Sequence[Part]], steps_taken: list[Step]) -> None:
        self.call = Call(*script)
        self.speaking = False
        self.client(CLIENT["ask"])
        for name, number in steps_taken:
            self.step(name, number)
        self.step("hush", 0)
        self.call.settle()

    def step(self, name: str, number: int) -> None:
        if name == "tool":
            self.call.answer(number)
        elif name in CLIENT:
            self.client(CLIENT[name])
        elif name == "speak" and not self.speaking:
            self.speaking = True
            self.call.engine.speech()
        elif name == "hush" and self.speaking:
            self.speaking = False
            self.call.engine.silence()
        elif name in QUIET:
            {"engine": self.call.engine.step, "down": self.call.take, "up": self.call.give}[name]()

    def client(self, event: Event) -> None:
        with suppress(BadEvent):  # one create too many; that refusal has a test of its own
            self.call.say(event)


def nothing_leaks(call: Call) -> None:
    assert call.traces() == set()


def every_call_ran_once_and_has_its_one_result(call: Call) -> None:
    items = call.engine.items
    written = [i["call_id"] for i in items if i.get("name") == "get_weather"]
    ran = Counter(c.call_id for c in call.calls)
    assert set(ran.values()) <= {1}
    assert set(ran) <= set(written)
    told = Counter(i["call_id"] for i in items if i["type"] == "function_call_output")
    assert told == ran


def responses_are_well_formed(call: Call) -> None:
    """Each response begins once, then has its items, then ends once; none overlap."""
    running: str | None = None
    begun: set[str] = set()
    for event in call.seen:
        kind = event["type"]
        if kind == "response.created":
            assert running is None
            running = event["response"]["id"]
            assert running not in begun
            begun.add(running)
        elif kind == "response.done":
            assert event["response"]["id"] == running
            running = None
        elif "response_id" in event:
            assert event["response_id"] == running
    assert running is None


def items_link_to_visible_items(call: Call) -> None:
    """Following `previous_item_id`, a client builds the conversation that the engine has."""
    order: list[str] = []
    for event in call.seen:
        if event["type"] not in ("conversation.item.added", "input_audio_buffer.committed"):
            continue
        item_id = event["item"]["id"] if "item" in event else event["item_id"]
        previous = event["previous_item_id"]
        assert previous is None or previous in order
        if item_id not in order:
            order.insert(0 if previous is None else order.index(previous) + 1, item_id)
    hidden = call.hidden_words()
    ids = [item["id"] for item in call.engine.items]
    assert order == [item_id for item_id in ids if item_id not in hidden]


def refusals_of_our_own_events_are_hidden(call: Call) -> None:
    ours = [e["event_id"] for e in call.engine.refused if e.get("event_id")]
    told = json.dumps(call.seen)
    assert not [event_id for event_id in ours if event_id in told]


@settings(max_examples=150)
@given(SCRIPT, steps(*STEPS))
def test_under_any_interleaving_the_client_sees_nothing_of_the_calls(
    script: list[list[Part]], steps_taken: list[Step]
) -> None:
    call = Scene(script, steps_taken).call
    nothing_leaks(call)
    every_call_ran_once_and_has_its_one_result(call)
    responses_are_well_formed(call)
    items_link_to_visible_items(call)
    refusals_of_our_own_events_are_hidden(call)


NO_CLIENT_CALL = st.sampled_from([("say", "Hm."), server_call("London"), server_call("Rome")])
ROUNDS = st.lists(st.lists(NO_CLIENT_CALL, min_size=1, max_size=4), max_size=6)


@settings(max_examples=100)
@given(ROUNDS, steps(*QUIET))
def test_undisturbed_the_model_is_asked_once_after_every_round(
    script: list[list[Part]], steps_taken: list[Step]
) -> None:
    """As many responses as a client with tools of its own would have asked for, and no refusal."""
    call = Scene(script, steps_taken).call
    assert call.engine.refused == []
    rounds = 0
    for parts in script:
        if all(part[0] == "say" for part in parts):
            break
        rounds += 1
    assert len(call.engine.responses) == rounds + 1
    assert call.asked().count("response.create") == rounds
    last = call.engine.responses[-1]
    assert [item["type"] for item in last["output"]] == ["message"] * len(last["output"])
    assert call.shown("response.done")[-1]["response"] == last


@settings(max_examples=100)
@given(ROUNDS, steps(*QUIET, "speak", "hush"))
@example([[server_call()]], [("up", 0), *[("engine", 0)] * 9, *[("down", 0)] * 9, ("speak", 0)])
def test_a_learner_who_speaks_meanwhile_gets_an_answer_that_knows_every_result(
    script: list[list[Part]], steps_taken: list[Step]
) -> None:
    """At rest, a response has begun after the last result."""
    call = Scene(script, steps_taken).call
    owed = {
        item["call_id"]
        for response in call.engine.responses
        if response["status"] == "completed"
        for item in response["output"]
        if item["type"] == "function_call"
    }
    ids = [item["id"] for item in call.engine.items]
    results = [ids.index(i["id"]) for i in call.engine.items if i.get("call_id") in owed]
    if results:
        final = call.engine.responses[-1]["output"]
        assert final
        assert ids.index(final[0]["id"]) > max(results)
