"""Events with their turn and their response, and small changes to them."""

from relay.engines.cascade.effects import Close, Emit
from relay.simulator.faults import tracking
from relay.simulator.faults.tracking import (
    Condition,
    Dice,
    EventTracker,
    TrackedEvent,
    again,
    applies,
    changed,
    instead,
    lost,
)
from tests.engines.cascade.driving import NO_TURNS, TRANSCRIBED, Talk, scripted

DICE = Dice(0, 0, 1)


def tracked_in(talk: Talk) -> list[TrackedEvent]:
    tracker = EventTracker()
    return [tracker.track(Emit(event)) for event in talk.events]


def test_a_spoken_turn_and_its_answer_have_the_same_number():
    talk = Talk()
    talk.say("session.update", session=TRANSCRIBED)
    for _ in range(2):
        talk.speak()
        talk.finish()

    found = tracked_in(talk)

    turns = [seen.turn for seen in found]
    assert turns[:2] == [None, None]  # session.created, session.updated
    first, second = turns[2:].index(2) + 2, len(turns)
    assert set(turns[2:first]) == {1}
    assert set(turns[first:second]) == {2}
    assert {seen.response for seen in found if seen.kind.startswith("response.")} == {1, 2}
    limits = [seen.response for seen in found if seen.kind == "rate_limits.updated"]
    assert limits == [1, 2]
    numbers = [seen.number for seen in found]
    assert numbers == list(range(1, len(found) + 1))


def test_a_transcript_belongs_to_its_own_turn_however_late_it_comes():
    talk = Talk(scripted("One.", "Two."))
    talk.say("session.update", session=TRANSCRIBED)
    talk.say("session.update", session=NO_TURNS)
    for _ in range(2):
        talk.append(bytes(48_000))
        talk.say("input_audio_buffer.commit")
    talk.work.reverse()
    talk.do_work()

    completed = [seen for seen in tracked_in(talk) if seen.kind.endswith(".completed")]
    assert [seen.turn for seen in completed] == [2, 1]


def test_the_items_of_an_answer_belong_to_it():
    talk = Talk()
    talk.type("Hello")
    talk.say("response.create")
    talk.finish()

    found = tracked_in(talk)
    items = [seen for seen in found if seen.kind.startswith("conversation.item.")]
    assert [(seen.turn, seen.response) for seen in items] == [
        (1, None),
        (1, None),
        (1, 1),
        (1, 1),
    ]
    deltas = [seen.delta for seen in found if seen.delta is not None]
    assert deltas == list(range(1, len(deltas) + 1))


def test_responses_out_of_band_count():
    talk = Talk()
    for conversation in ("none", "auto"):
        talk.say("response.create", response={"conversation": conversation})
        talk.finish()

    done = [seen.response for seen in tracked_in(talk) if seen.kind == "response.done"]
    assert done == [1, 2]


def test_a_close_is_counted_and_has_no_type():
    end = EventTracker().track(Close(1001, ""))

    assert (end.kind, end.event, end.number) == ("", {}, 1)


def test_the_oldest_items_are_forgotten(monkeypatch):
    monkeypatch.setattr(tracking, "_MAX_KNOWN", 3)
    talk = Talk()
    for _ in range(10):
        talk.type("Hello")
    tracker = EventTracker()
    for event in talk.events:
        tracker.track(Emit(event))

    assert len(tracker._turns) == 3
    assert tracker.track(Emit(talk.events[-1])).turn == 10


def test_a_fault_applies_where_its_condition_is_met():
    event = TrackedEvent(Emit({"type": "x"}), number=5, turn=2, response=3)

    assert applies(event, Condition(), "event", DICE)
    assert applies(event, Condition(turn=[1, 2], response=3), "response", DICE)
    assert not applies(event, Condition(turn=1), "turn", DICE)
    assert not applies(event, Condition(response=4), "response", DICE)
    assert not applies(event, Condition(probability=0), "session", DICE)
    assert not applies(TrackedEvent(Emit({"type": "x"}), 5), Condition(), "turn", DICE)


def test_chance_decides_once_for_a_whole_response():
    half = Condition(probability=0.5)
    for response in range(1, 30):
        decided = {
            applies(TrackedEvent(Emit({"type": "x"}), number, 1, response), half, "response", DICE)
            for number in range(10)
        }
        assert len(decided) == 1


TRACKED = TrackedEvent(Emit({"type": "x", "event_id": "event_1", "a": 1}), 3, 2, 1)


def test_a_changed_event_keeps_its_place_and_leaves_the_first_alone():
    altered = changed(TRACKED, a=2)

    assert altered == TrackedEvent(Emit({"type": "x", "event_id": "event_1", "a": 2}), 3, 2, 1)
    assert TRACKED.event["a"] == 1


def test_a_repeated_event_has_its_own_id():
    assert again(TRACKED, lambda prefix: f"{prefix}_2").event == {
        "type": "x",
        "event_id": "event_2",
        "a": 1,
    }


def test_another_event_or_a_lost_connection_in_its_place():
    assert instead(TRACKED, {"type": "y"}).kind == "y"
    assert lost(TRACKED).effect == Close(1006, "")
