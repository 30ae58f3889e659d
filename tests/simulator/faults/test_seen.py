"""Which turn and which response an event belongs to."""

from relay.engines.cascade.effects import Close, Emit
from relay.simulator.faults import tracking as seen_module
from relay.simulator.faults.tracking import Census, Dice, Only, TrackedEvent, concerned
from tests.engines.cascade.driving import NO_TURNS, TRANSCRIBED, Talk, scripted

LUCK = Dice(0, 0, 1)


def census_of(talk: Talk) -> list[TrackedEvent]:
    census = Census()
    return [census.see(Emit(event)) for event in talk.events]


def test_a_spoken_turn_and_its_answer_belong_together():
    talk = Talk()
    talk.say("session.update", session=TRANSCRIBED)
    for _ in range(2):
        talk.speak()
        talk.finish()

    found = census_of(talk)

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

    completed = [seen for seen in census_of(talk) if seen.kind.endswith(".completed")]
    assert [seen.turn for seen in completed] == [2, 1]


def test_the_items_of_an_answer_belong_to_it():
    talk = Talk()
    talk.type("Hello")
    talk.say("response.create")
    talk.finish()

    found = census_of(talk)
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

    done = [seen.response for seen in census_of(talk) if seen.kind == "response.done"]
    assert done == [1, 2]


def test_the_end_is_no_event():
    end = Census().see(Close(1001, ""))

    assert (end.kind, end.event, end.number) == ("", {}, 1)


def test_only_so_many_items_are_remembered(monkeypatch):
    monkeypatch.setattr(seen_module, "_MAX_KNOWN", 3)
    talk = Talk()
    for _ in range(10):
        talk.type("Hello")
    census = Census()
    for event in talk.events:
        census.see(Emit(event))

    assert len(census._turns) == 3
    assert census.see(Emit(talk.events[-1])).turn == 10


def test_what_a_fault_is_limited_to():
    event = TrackedEvent(Emit({"type": "x"}), number=5, turn=2, response=3)

    assert concerned(event, Only(), "event", LUCK)
    assert concerned(event, Only(turn=[1, 2], response=3), "response", LUCK)
    assert not concerned(event, Only(turn=1), "turn", LUCK)
    assert not concerned(event, Only(response=4), "response", LUCK)
    assert not concerned(event, Only(probability=0), "session", LUCK)
    assert not concerned(TrackedEvent(Emit({"type": "x"}), 5), Only(), "turn", LUCK)


def test_chance_decides_once_for_a_whole_response():
    half = Only(probability=0.5)
    for response in range(1, 30):
        decided = {
            concerned(
                TrackedEvent(Emit({"type": "x"}), number, 1, response), half, "response", LUCK
            )
            for number in range(10)
        }
        assert len(decided) == 1
