"""A session with faults sends valid events, closes once, and sends nothing after that."""

import math
from collections.abc import Callable
from typing import Any, get_args

from hypothesis import given, settings
from hypothesis import strategies as st

from relay.engines.cascade.effects import Close
from relay.engines.cascade.outputs import Pace
from relay.parts.interfaces import FunctionCall, Reply, SpokenMessage, TranscriptionRequest
from relay.parts.simple import silence, tone
from relay.simulator.faults import (
    Condition,
    EventLate,
    ResponseCut,
    SessionCut,
    SessionExpired,
    TranscriptionLate,
)
from relay.simulator.faults.http import HttpFault
from relay.simulator.faults.plan import MODES, DoorFault, Fault, FaultyRules
from relay.simulator.faults.sessions import EventDoubled, EventMissing
from relay.simulator.faults.tracking import TrackedEvent
from tests.engines.cascade.driving import NO_TURNS, TEXT, TRANSCRIBED, Talk, scripted, types
from tests.simulator.faults.faulty import answered, faulty, writing

ELSEWHERE = (*get_args(DoorFault), *get_args(HttpFault))
EVENTS = st.sampled_from(
    ["session.created", "response.created", "response.done", "conversation.item.added", "error"]
)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "seconds": st.sampled_from([0.001, 0.3, 2.0, 40.0]),
    "after_events": st.integers(1, 60),
    "after_deltas": st.integers(1, 12),
    "every": st.integers(1, 9),
    "times": st.integers(2, 4),
    "event": EVENTS,
    "bytes": st.sampled_from([4, 4001]),
    "error": st.booleans(),
    "close": st.booleans(),
    "reason": st.sampled_from(["max_output_tokens", "content_filter"]),
}
NUMBERS = st.none() | st.integers(1, 3) | st.lists(st.integers(1, 4), max_size=3)
LIMITS = {
    "session": ("session",),
    "turn": ("session", "turn"),
    "response": ("session", "turn", "response"),
    "event": ("session", "turn", "response"),
}


def strategy(shape: Any) -> st.SearchStrategy[Fault]:
    names = [name for name in shape.__struct_fields__ if name in VALUES]
    limits = dict.fromkeys(LIMITS[shape.unit], NUMBERS)
    chance = st.sampled_from([0.0, 0.3, 1.0])
    only = st.builds(Condition, **limits, probability=chance)
    return st.builds(shape, only=only, **{name: VALUES[name] for name in names})


OF_EVENTS = [shape for shape in MODES.values() if shape not in ELSEWHERE]
FAULTS = st.one_of([strategy(shape) for shape in OF_EVENTS])
REPLIES = (
    "You said: {heard}",
    Reply((SpokenMessage("One moment.", phase="commentary"), FunctionCall("f", {"a": 1}))),
    "A rather long answer that somebody may well want to interrupt before it is over.",
)
OUTPUT = {"type": "function_call_output", "call_id": "call_1", "output": "x"}
ACTS: dict[str, Callable[[Talk], object]] = {
    "speaks": lambda talk: talk.append(tone(300) + silence(700)),
    "types": lambda talk: talk.type("Hello"),
    "asks": lambda talk: talk.say("response.create"),
    "asks aside": lambda talk: talk.say("response.create", response={"conversation": "none"}),
    "cancels": lambda talk: talk.say("response.cancel"),
    "commits": lambda talk: talk.say("input_audio_buffer.commit"),
    "gives": lambda talk: talk.say("conversation.item.create", item=OUTPUT),
    "waits": lambda talk: talk.wait(0.4),
    "noise": lambda talk: talk.frame(b"not json"),
}


@settings(max_examples=150, deadline=None)
@given(
    faults=st.lists(FAULTS, min_size=1, max_size=5),
    acts=st.lists(st.sampled_from(list(ACTS)), max_size=12),
    seed=st.integers(0, 3),
    session=st.integers(1, 3),
    mode=st.sampled_from([TRANSCRIBED, NO_TURNS, TEXT]),
)
def test_with_any_faults_every_event_is_json_and_the_session_ends(
    faults: list[Fault], acts: list[str], seed: int, session: int, mode: dict[str, Any]
):
    talk = faulty(*faults, parts=scripted("One two.", "", replies=REPLIES), seed=seed,
                  session=session, pace=Pace(burst=20))  # fmt: skip
    if talk.closed is None:
        talk.say("session.update", session=mode)
    for act in acts:
        if talk.closed is None:
            ACTS[act](talk)
    if talk.closed is None:
        talk.wait(4000)  # more than an hour, and than anything that is held

    for event in talk.events:  # `Talk` has read each as a client would, and nothing after the end
        assert isinstance(event["type"], str)
        assert isinstance(event["event_id"], str)
    ended = talk.closed is not None
    silent = talk.machine.deadline(talk.now) == math.inf if not ended else False
    assert ended or silent


def test_work_for_the_parts_passes_unchanged():
    talk = faulty(SessionExpired(seconds=100))
    talk.speak()

    (transcription,) = talk.work
    assert isinstance(transcription.request, TranscriptionRequest)


def test_nothing_comes_after_a_cut_in_the_same_step():
    talk = faulty(SessionCut(after_events=1), SessionCut(after_events=2))

    assert types(talk.events) == ["session.created"]
    assert talk.closed is not None


def test_held_events_do_not_outlive_the_session():
    talk = faulty(EventLate(event="session.created", seconds=9), SessionExpired(seconds=5))

    talk.wait(5)

    assert types(talk.events) == ["error"]
    assert talk.closed is not None


def test_a_held_event_may_end_the_session():
    late = EventLate(event="response.output_text.delta", seconds=5, only=Condition(response=1))
    talk = writing(late, ResponseCut(after_deltas=2))
    talk.say("response.create")
    talk.wait(4)
    assert len(talk.of("response.done")) == 1

    talk.wait(2)

    assert types(talk.events)[-1] == "response.output_text.delta*"
    assert talk.closed is not None


def test_the_machine_ticks_only_at_its_deadline():
    class Counting:
        """Counts its ticks."""

        def __init__(self, rules: Any) -> None:
            self.rules = rules
            self.ticks = 0

        def __getattr__(self, name: str) -> Any:
            return getattr(self.rules, name)

        def tick(self, now: float) -> Any:
            self.ticks += 1
            return self.rules.tick(now)

    plain = Talk()
    counting = Counting(plain.machine)
    rules = FaultyRules(counting, [])

    assert rules.tick(plain.now + 1) == []
    assert counting.ticks == 0
    assert rules.tick(plain.now + 3600)
    assert counting.ticks == 1


def test_a_machine_is_not_asked_after_a_held_close_was_released():
    class Ending:
        """Holds the close back until its tick."""

        def take(self, seen: TrackedEvent, now: float) -> list[TrackedEvent]:
            return [seen]

        def due(self) -> float:
            return 0.0

        def tick(self, now: float) -> list[TrackedEvent]:
            return [TrackedEvent(Close(1006, ""), 1)]

    plain = Talk()
    plain.type("Hello")
    plain.say("response.create")
    plain.do_work()
    assert plain.machine.deadline(plain.now) == plain.now

    rules = FaultyRules(plain.machine, [Ending()])

    assert rules.tick(plain.now) == [Close(1006, "")]


def test_faults_are_carried_out_in_the_order_of_the_script():
    twice = EventDoubled(event="conversation.item.added")
    never = EventMissing(event="conversation.item.added")

    assert len(faulty(twice, never).type("Hello")) == 1
    assert len(faulty(never, twice).type("Hello")) == 1
    assert len(faulty(twice, twice).type("Hello")) == 5


def test_a_session_without_faults_of_its_own_is_left_alone():
    talk = faulty(TranscriptionLate(only=Condition(session=2)))

    assert not isinstance(talk.machine, FaultyRules)
    answered(talk)
    assert talk.last("response.done")["response"]["status"] == "completed"
