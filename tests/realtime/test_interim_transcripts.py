"""Interim text of utterances that are not final."""

from relay.realtime.playout import Playout
from relay.realtime.transcript import InterimTranscript, Transcript

HEARD = "conversation.item.input_audio_transcription."


def user(kind: str, item: str = "u1", **more: object) -> dict[str, object]:
    return {"type": HEARD + kind, "item_id": item, "content_index": 0, **more}


def added(item: str, role: str, status: str = "in_progress") -> dict[str, object]:
    given = {"id": item, "type": "message", "role": role, "status": status, "content": []}
    return {"type": "response.output_item.added", "response_id": "r", "item": given}


def answer_delta(item: str, delta: str) -> dict[str, object]:
    return {
        "type": "response.output_audio_transcript.delta",
        "response_id": "r",
        "item_id": item,
        "content_index": 0,
        "delta": delta,
    }


def test_the_learners_text_is_interim_until_it_is_final() -> None:
    transcript = Transcript(Playout())
    assert transcript.interim() == []
    transcript.observe(user("delta", delta="Good "), 1.0)
    transcript.observe(user("delta", delta="mor"), 1.1)
    assert transcript.interim() == [InterimTranscript("u1", 0, "user", "Good mor")]
    assert transcript.last_seq == 0
    transcript.observe(user("completed", transcript="Good morning."), 1.2)
    assert transcript.interim() == []
    assert transcript.last_seq == 1


def test_a_cumulative_interim_transcription_is_shown() -> None:
    transcript = Transcript(Playout())
    interim = user("completed", transcript="Good morning", status="in_progress")
    transcript.observe(interim, 1.0)
    assert transcript.interim() == [InterimTranscript("u1", 0, "user", "Good morning")]


def test_an_answer_is_interim_until_it_was_heard() -> None:
    playout = Playout()
    transcript = Transcript(playout)
    transcript.observe(added("a1", "assistant"), 1.0)
    transcript.observe(answer_delta("a1", "Good morning"), 1.1)
    transcript.observe(answer_delta("a1", " to you."), 1.2)
    playout.received("a1", 1000)
    playout.sent("a1", 1000, 1.2)
    transcript.add_audio("a1", 1000)
    assert transcript.interim() == [InterimTranscript("a1", 0, "assistant", "Good morning to you.")]
    whole = {"id": "a1", "type": "message", "role": "assistant", "status": "completed"}
    transcript.observe(
        {"type": "response.output_item.done", "response_id": "r", "item": whole}, 1.3
    )
    assert transcript.interim(), "complete, but still playing"
    assert [u.text for u in transcript.tick(9.0)] == ["Good morning to you."]
    assert transcript.interim() == []


def test_items_without_text_are_left_out_and_only_the_newest_are_searched() -> None:
    transcript = Transcript(Playout())
    for number in range(40):
        transcript.observe(user("delta", item=f"u{number}", delta="hm"), float(number))
    call = {"id": "c1", "type": "function_call", "status": "in_progress"}
    transcript.observe({"type": "conversation.item.added", "item": call}, 50.0)
    transcript.observe({"type": "input_audio_buffer.speech_started", "item_id": "u99"}, 51.0)
    shown = transcript.interim()
    assert [partial.item_id for partial in shown] == [f"u{number}" for number in range(10, 40)]
