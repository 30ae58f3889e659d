"""What was said, put together from events in the orders in which they really come."""

import pytest

from relay.realtime.playout import AtOnce
from relay.realtime.records import Utterance
from relay.realtime.transcript import Transcript
from tests.realtime import wire_events as wire
from tests.realtime.wire_events import Event


def said(*events: Event, finish: bool = False) -> list[Utterance]:
    """Everything that settles, in order of settling; one second passes with each event."""
    transcript, settled = Transcript(AtOnce()), list[Utterance]()
    for now, event in enumerate(events):
        settled += transcript.observe(event, float(now))
    return settled + (transcript.finish(float(len(events))) if finish else [])


def story(settled: list[Utterance]) -> list[tuple[str, str, str]]:
    """Role, text and state of the last word on each item, in conversation order."""
    last = {utterance.item_id: utterance for utterance in settled}
    ordered = sorted(last.values(), key=lambda utterance: utterance.position)
    return [(u.role, u.text, u.state) for u in ordered]


def test_a_spoken_turn_and_its_answer() -> None:
    settled = said(
        *wire.spoken_turn("U1", None),
        wire.heard("U1", "Hello."),
        *wire.answer("A1", "Hi there!", "U1"),
    )
    assert story(settled) == [("user", "Hello.", "final"), ("assistant", "Hi there!", "final")]
    assert [u.seq for u in settled] == [1, 2]
    assert [u.origin for u in settled] == ["voice", "voice"]


def test_S3_35_a_transcript_that_comes_after_the_answer_stands_before_it() -> None:
    settled = said(
        *wire.spoken_turn("U1", None), *wire.answer("A1", "Hi!", "U1"), wire.heard("U1", "Hello.")
    )
    assert [u.seq for u in settled] == [1, 2], "seq is the order of settling"
    assert story(settled) == [("user", "Hello.", "final"), ("assistant", "Hi!", "final")]
    assert settled[1].created_at <= settled[0].created_at, "created_at follows position"


def test_S3_36_several_user_items_before_one_answer_are_all_kept_in_order() -> None:
    settled = said(
        *wire.spoken_turn("U1", None),
        *wire.spoken_turn("U2", "U1"),
        wire.heard("U2", "Two."),
        wire.heard("U1", "One."),
        *wire.answer("A1", "Three.", "U2"),
    )
    assert [text for _, text, _ in story(settled)] == ["One.", "Two.", "Three."]


def test_S3_38_an_empty_transcript_settles_nothing() -> None:
    assert said(*wire.spoken_turn("U1", None), wire.heard("U1", ""), finish=True) == []
    assert said(*wire.spoken_turn("U1", None), wire.heard("U1", " \n"), finish=True) == []


def test_5_1_words_may_come_before_their_item() -> None:
    settled = said(
        wire.speech_started("U1"),
        wire.heard_delta("U1", " Hel"),
        wire.heard_delta("U1", "lo"),
        *wire.spoken_turn("U1", None)[1:],
        wire.heard("U1", "Hello."),
    )
    assert story(settled) == [("user", "Hello.", "final")]


def test_5_3_the_null_predecessor_of_done_moves_nothing() -> None:
    settled = said(
        *wire.typed("U1", "One.", None),
        *wire.answer("A1", "Two.", "U1"),
        *wire.typed("U2", "Three.", "A1"),
        *wire.answer("A2", "Four.", "U2", response="resp_2"),
    )
    assert [text for _, text, _ in story(settled)] == ["One.", "Two.", "Three.", "Four."]


def test_5_4_an_interrupted_answer_is_kept_whole_and_marked() -> None:
    events = wire.answer("A1", "I wanted to say more", None, cut=True)
    assert story(said(*events)) == [("assistant", "I wanted to say more", "interrupted")]


def test_5_5_a_truncation_after_the_end_corrects_what_was_heard() -> None:
    transcript = Transcript(AtOnce())
    for event in wire.answer("A1", "one two three four", None)[:3]:
        transcript.observe(event, 0.0)
    transcript.audio("A1", 2000)
    settled = [
        u for e in wire.answer("A1", "one two three four", None) for u in transcript.observe(e, 1.0)
    ]
    truncated = {"type": "conversation.item.truncated", "item_id": "A1", "audio_end_ms": 1000}
    corrected = transcript.observe(truncated, 2.0)
    assert [(u.seq, u.state) for u in settled] == [(1, "final")]
    assert [(u.seq, u.state, u.heard_text, u.heard_ms, u.audio_ms) for u in corrected] == [
        (2, "interrupted", "one two", 1000, 2000)
    ]
    assert corrected[0].text == "one two three four", "what was generated is kept"
    assert transcript.observe(truncated, 3.0) == [], "the same word twice is one word"


@pytest.mark.parametrize(
    "event",
    [
        {"type": "conversation.item.truncated", "item_id": "A1", "audio_end_ms": 0},
        {"type": "conversation.item.deleted", "item_id": "A1"},
    ],
)
def test_5_6_truncated_at_nothing_or_deleted_is_unheard(event: Event) -> None:
    settled = said(*wire.answer("A1", "Hello", None), event)
    assert [(u.state, u.heard_text, u.text) for u in settled[-1:]] == [("unheard", "", "Hello")]


def test_5_7_a_failed_transcription_ends_a_turn_without_a_word() -> None:
    assert said(*wire.spoken_turn("U1", None), wire.not_heard("U1"), finish=True) == []
    settled = said(
        *wire.spoken_turn("U1", None), wire.heard_delta("U1", "Hel"), wire.not_heard("U1")
    )
    assert story(settled) == [("user", "Hel", "failed")]


def test_5_9_a_doubled_completed_is_one_utterance_and_an_interim_is_none() -> None:
    turn = wire.spoken_turn("U1", None)
    assert len(said(*turn, wire.heard("U1", "Hi."), wire.heard("U1", "Hi."))) == 1
    interim = wire.heard("U1", "Hi", status="in_progress")
    assert said(*turn, interim) == []
    settled = said(*turn, interim, wire.heard("U1", "Hi you.", status="completed"))
    assert story(settled) == [("user", "Hi you.", "final")]


def test_5_11_two_items_of_one_response_are_two_utterances() -> None:
    settled = said(
        *wire.answer("A1", "I will look.", None)[:-1],
        *wire.answer("A2", "It is sunny.", "A1")[1:],
    )
    assert [text for _, text, _ in story(settled)] == ["I will look.", "It is sunny."]


def test_5_12_an_out_of_band_answer_is_no_conversation() -> None:
    events = [
        e
        for e in wire.answer("X1", "Secret summary.", None, response="resp_x")
        if not e["type"].startswith("conversation.")
    ]
    events[0] = wire.response_created("resp_x", None)
    events[-1]["response"]["conversation_id"] = None
    assert said(*events, finish=True) == []


def test_5_13_an_answer_known_only_from_response_done_is_not_lost() -> None:
    assert story(said(wire.answer("A1", "Hello.", None)[-1])) == [("assistant", "Hello.", "final")]


def test_5_15_a_retrieved_item_makes_nothing_and_may_fill_a_gap() -> None:
    known = wire.message("U1", "user", {"type": "input_audio", "transcript": "Hello."})
    retrieved = {"type": "conversation.item.retrieved", "item": known}
    assert said(retrieved, finish=True) == []
    settled = said(*wire.spoken_turn("U1", None), wire.not_heard("U1"), retrieved)
    assert story(settled) == [("user", "Hello.", "final")]


def test_5_16_typed_and_seeded_words_say_so() -> None:
    settled = said(
        *wire.typed("U1", "Hi", None), *wire.typed("A1", "Old answer", "U1", "assistant")
    )
    assert [(u.role, u.origin) for u in settled] == [("user", "text"), ("assistant", "seeded")]


def test_5_18_an_item_put_first_stands_first() -> None:
    settled = said(*wire.typed("U2", "Second", None), *wire.typed("U1", "First", "root"))
    assert [text for _, text, _ in story(settled)] == ["First", "Second"]


def test_5_19_what_the_system_says_is_no_utterance() -> None:
    system = wire.message("S1", "system", {"type": "input_text", "text": "Nobody speaks."})
    assert (
        said(wire.item("added", system, None), wire.item("done", system, None), finish=True) == []
    )


def test_a_session_that_ends_early_settles_what_was_said_so_far_as_partial() -> None:
    settled = said(
        *wire.spoken_turn("U1", None),
        wire.heard_delta("U1", "Hello"),
        *wire.answer("A1", "Hi there my friend", "U1")[:6],
        finish=True,
    )
    assert story(settled) == [("user", "Hello", "partial"), ("assistant", "Hi there", "partial")]
    assert [u.seq for u in settled] == [1, 2]
