"""Time from the end of a turn to the answer's first item."""

from relay.realtime.playout import Playout
from relay.realtime.transcript import ResponseLatency, Transcript


def test_latency_is_counted_from_the_last_end_of_turn_to_the_first_item() -> None:
    latency = ResponseLatency()
    assert (latency.count, latency.last_ms) == (0, None)
    latency.turn_ended(10.0)
    latency.turn_ended(11.0)
    latency.answer_began(11.75)
    assert (latency.count, latency.last_ms) == (1, 750)


def test_an_answer_without_a_turn_is_not_measured() -> None:
    latency = ResponseLatency()
    latency.answer_began(1.0)
    latency.turn_ended(10.0)
    latency.answer_began(10.5)
    latency.answer_began(15.0)
    assert (latency.count, latency.last_ms) == (1, 500)


def test_a_spoken_turn_ends_when_its_audio_is_committed() -> None:
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
    latency = transcript.latency
    assert (latency.count, latency.last_ms) == (1, 600)


def test_a_typed_turn_ends_when_its_item_arrives() -> None:
    transcript = Transcript(Playout())
    transcript.observe(added("U1", "user", None), 10.0)
    transcript.observe(output("A1"), 10.25)
    transcript.observe(added("A1", "assistant", "U1"), 10.3)
    assert transcript.latency.last_ms == 250


def added(item_id: str, role: str, previous: str | None) -> dict[str, object]:
    item = {"id": item_id, "type": "message", "role": role, "content": []}
    return {"type": "conversation.item.added", "item": item, "previous_item_id": previous}


def output(item_id: str) -> dict[str, object]:
    item = {"id": item_id, "type": "message", "role": "assistant", "content": []}
    return {"type": "response.output_item.added", "response_id": "R1", "item": item}
