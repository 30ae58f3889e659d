"""From the end of a turn to the answer's first item."""

from relay.realtime.playout import Playout
from relay.realtime.transcript import ResponseLatency, Transcript


def test_an_answer_is_as_late_as_it_begins_after_the_turn() -> None:
    delays = ResponseLatency()
    assert (delays.count, delays.last_ms) == (0, None)
    delays.turn(10.0)
    delays.turn(11.0)
    delays.answer(11.75)
    assert (delays.count, delays.last_ms) == (1, 750)


def test_what_the_model_says_of_its_own_accord_is_no_answer() -> None:
    delays = ResponseLatency()
    delays.answer(1.0)
    delays.turn(10.0)
    delays.answer(10.5)
    delays.answer(15.0)
    assert (delays.count, delays.last_ms) == (1, 500)


def test_a_spoken_turn_ends_when_it_is_committed_and_not_when_it_began() -> None:
    transcript = Transcript(Playout())
    for event, now in (
        ({"type": "input_audio_buffer.speech_started", "item_id": "U1"}, 100.0),
        ({"type": "input_audio_buffer.committed", "item_id": "U1"}, 104.0),
        (added("U1", "user", None), 104.1),
        (output("A1"), 104.6),
        (added("A1", "assistant", "U1"), 104.7),
        (output("A2"), 109.0),
        (added("A2", "assistant", "A1"), 109.0),
    ):
        transcript.observe(event, now)
    delays = transcript.settling.delays
    assert (delays.count, delays.last_ms) == (1, 600)


def test_a_written_turn_ends_when_it_comes() -> None:
    transcript = Transcript(Playout())
    transcript.observe(added("U1", "user", None), 10.0)
    transcript.observe(output("A1"), 10.25)
    transcript.observe(added("A1", "assistant", "U1"), 10.3)
    assert transcript.settling.delays.last_ms == 250


def added(item_id: str, role: str, previous: str | None) -> dict[str, object]:
    item = {"id": item_id, "type": "message", "role": role, "content": []}
    return {"type": "conversation.item.added", "item": item, "previous_item_id": previous}


def output(item_id: str) -> dict[str, object]:
    item = {"id": item_id, "type": "message", "role": "assistant", "content": []}
    return {"type": "response.output_item.added", "response_id": "R1", "item": item}
