from relay.realtime.playout import Playout
from relay.realtime.transcript import InterimTranscript, Transcript

HEARD = "conversation.item.input_audio_transcription."


def user(kind: str, item: str = "u1", **more: object) -> dict[str, object]:
    return {"type": HEARD + kind, "item_id": item, "content_index": 0, **more}


def added(item: str, role: str, status: str = "in_progress") -> dict[str, object]:
    given = {"id": item, "type": "message", "role": role, "status": status, "content": []}
    return {"type": "response.output_item.added", "response_id": "r", "item": given}


def words(item: str, delta: str) -> dict[str, object]:
    return {
        "type": "response.output_audio_transcript.delta",
        "response_id": "r",
        "item_id": item,
        "content_index": 0,
        "delta": delta,
    }


def test_the_learners_words_so_far_until_they_settle() -> None:
    transcript = Transcript(Playout())
    assert transcript.partials.open() == []
    transcript.observe(user("delta", delta="Good "), 1.0)
    transcript.observe(user("delta", delta="mor"), 1.1)
    assert transcript.partials.open() == [InterimTranscript("u1", 0, "user", "Good mor")]
    assert transcript.partials.settled == 0
    transcript.observe(user("completed", transcript="Good morning."), 1.2)
    assert transcript.partials.open() == []
    assert transcript.partials.settled == 1


def test_interim_texts_are_words_so_far() -> None:
    transcript = Transcript(Playout())
    interim = user("completed", transcript="Good morning", status="in_progress")
    transcript.observe(interim, 1.0)
    assert transcript.partials.open() == [InterimTranscript("u1", 0, "user", "Good morning")]


def test_an_answer_is_open_until_it_was_heard() -> None:
    playout = Playout()
    transcript = Transcript(playout)
    transcript.observe(added("a1", "assistant"), 1.0)
    transcript.observe(words("a1", "Good morning"), 1.1)
    transcript.observe(words("a1", " to you."), 1.2)
    playout.came("a1", 1000)
    playout.sent("a1", 1000, 1.2)
    transcript.audio("a1", 1000)
    assert transcript.partials.open() == [
        InterimTranscript("a1", 0, "assistant", "Good morning to you.")
    ]
    whole = {"id": "a1", "type": "message", "role": "assistant", "status": "completed"}
    transcript.observe(
        {"type": "response.output_item.done", "response_id": "r", "item": whole}, 1.3
    )
    assert transcript.partials.open(), "all of it is known, and it still plays"
    assert [u.text for u in transcript.tick(9.0)] == ["Good morning to you."]
    assert transcript.partials.open() == []


def test_what_speaks_no_words_is_none_and_the_newest_items_alone_are_looked_at() -> None:
    transcript = Transcript(Playout())
    for number in range(40):
        transcript.observe(user("delta", item=f"u{number}", delta="hm"), float(number))
    call = {"id": "c1", "type": "function_call", "status": "in_progress"}
    transcript.observe({"type": "conversation.item.added", "item": call}, 50.0)
    transcript.observe({"type": "input_audio_buffer.speech_started", "item_id": "u99"}, 51.0)
    shown = transcript.partials.open()
    assert [partial.item_id for partial in shown] == [f"u{number}" for number in range(10, 40)]
