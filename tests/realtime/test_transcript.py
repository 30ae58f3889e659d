"""Utterances assembled from events in the orders in which engines send them."""

from relay.realtime.playout import START_SECONDS, InstantPlayback, Playout
from relay.realtime.records import Utterance
from relay.realtime.transcript import Transcript, TranscriptItem, UtteranceFinalizer
from tests.realtime import wire_events as wire
from tests.realtime.wire_events import Event


def said(*events: Event, finish: bool = False) -> list[Utterance]:
    """All utterances as they are finalized; one second passes with each event."""
    transcript, finalized = Transcript(InstantPlayback()), list[Utterance]()
    for now, event in enumerate(events):
        finalized += transcript.observe(event, float(now))
    return finalized + (transcript.finish(float(len(events))) if finish else [])


def story(finalized: list[Utterance]) -> list[tuple[str, str, str]]:
    """Role, text and state of the last version of each utterance, in conversation order."""
    last = {utterance.item_id: utterance for utterance in finalized}
    ordered = sorted(last.values(), key=lambda utterance: utterance.position)
    return [(u.role, u.text, u.state) for u in ordered]


def test_a_spoken_turn_and_its_answer() -> None:
    finalized = said(
        *wire.spoken_turn("U1", None),
        wire.heard("U1", "Hello."),
        *wire.answer("A1", "Hi there!", "U1"),
    )
    assert story(finalized) == [("user", "Hello.", "final"), ("assistant", "Hi there!", "final")]
    assert [u.seq for u in finalized] == [1, 2]
    assert [u.origin for u in finalized] == ["voice", "voice"]


def test_S3_35_a_transcription_that_arrives_after_the_answer_is_placed_before_it() -> None:
    finalized = said(
        *wire.spoken_turn("U1", None), *wire.answer("A1", "Hi!", "U1"), wire.heard("U1", "Hello.")
    )
    assert [u.seq for u in finalized] == [1, 2], "seq is the order of finalization"
    assert story(finalized) == [("user", "Hello.", "final"), ("assistant", "Hi!", "final")]
    assert finalized[1].created_at <= finalized[0].created_at, "created_at follows position"


def test_S3_36_several_user_items_before_one_answer_are_all_kept_in_order() -> None:
    finalized = said(
        *wire.spoken_turn("U1", None),
        *wire.spoken_turn("U2", "U1"),
        wire.heard("U2", "Two."),
        wire.heard("U1", "One."),
        *wire.answer("A1", "Three.", "U2"),
    )
    assert [text for _, text, _ in story(finalized)] == ["One.", "Two.", "Three."]


def test_S3_38_an_empty_transcription_yields_no_utterance() -> None:
    assert said(*wire.spoken_turn("U1", None), wire.heard("U1", ""), finish=True) == []
    assert said(*wire.spoken_turn("U1", None), wire.heard("U1", " \n"), finish=True) == []


def test_5_1_text_may_arrive_before_its_item() -> None:
    finalized = said(
        wire.speech_started("U1"),
        wire.heard_delta("U1", " Hel"),
        wire.heard_delta("U1", "lo"),
        *wire.spoken_turn("U1", None)[1:],
        wire.heard("U1", "Hello."),
    )
    assert story(finalized) == [("user", "Hello.", "final")]


def test_5_3_the_null_predecessor_of_item_done_moves_nothing() -> None:
    finalized = said(
        *wire.typed("U1", "One.", None),
        *wire.answer("A1", "Two.", "U1"),
        *wire.typed("U2", "Three.", "A1"),
        *wire.answer("A2", "Four.", "U2", response="resp_2"),
    )
    assert [text for _, text, _ in story(finalized)] == ["One.", "Two.", "Three.", "Four."]


def test_5_4_an_interrupted_answer_keeps_its_whole_text_and_is_marked() -> None:
    events = wire.answer("A1", "I wanted to say more", None, cut=True)
    assert story(said(*events)) == [("assistant", "I wanted to say more", "interrupted")]


def test_5_5_a_truncation_after_the_end_corrects_what_was_heard() -> None:
    transcript = Transcript(InstantPlayback())
    for event in wire.answer("A1", "one two three four", None)[:3]:
        transcript.observe(event, 0.0)
    transcript.add_audio("A1", 2000)
    finalized = [
        u for e in wire.answer("A1", "one two three four", None) for u in transcript.observe(e, 1.0)
    ]
    truncated = {"type": "conversation.item.truncated", "item_id": "A1", "audio_end_ms": 1000}
    corrected = transcript.observe(truncated, 2.0)
    assert [(u.seq, u.state) for u in finalized] == [(1, "final")]
    assert [(u.seq, u.state, u.heard_text, u.heard_ms, u.audio_ms) for u in corrected] == [
        (2, "interrupted", "one two", 1000, 2000)
    ]
    assert corrected[0].text == "one two three four", "what was generated is kept"
    assert transcript.observe(truncated, 3.0) == [], "a repeat changes nothing"


def test_5_6_an_answer_truncated_at_0_is_unheard() -> None:
    event = {"type": "conversation.item.truncated", "item_id": "A1", "audio_end_ms": 0}
    finalized = said(*wire.answer("A1", "Hello", None), event)
    assert [(u.state, u.heard_text, u.text) for u in finalized[-1:]] == [("unheard", "", "Hello")]


def test_what_was_heard_stays_heard_when_its_item_is_deleted() -> None:
    deleted = {"type": "conversation.item.deleted", "item_id": "A1"}
    finalized = said(*wire.answer("A1", "Hello", None), deleted, finish=True)
    assert [(u.seq, u.state, u.heard_text, u.deleted_for_model is True) for u in finalized] == [
        (1, "final", "Hello", False),
        (2, "final", "Hello", True),
    ]


def test_a_deletion_is_told_once_and_taken_back_when_the_item_is_made_again() -> None:
    deleted = {"type": "conversation.item.deleted", "item_id": "U1"}
    typed = wire.typed("U1", "Hello", None)
    finalized = said(*typed, deleted, deleted, *typed, finish=True)
    assert [(u.seq, u.text, u.deleted_for_model is True) for u in finalized] == [
        (1, "Hello", False),
        (2, "Hello", True),
        (3, "Hello", False),
    ]


def test_words_that_come_after_their_item_was_deleted_are_marked_from_the_first() -> None:
    deleted = {"type": "conversation.item.deleted", "item_id": "U1"}
    finalized = said(*wire.spoken_turn("U1", None), deleted, wire.heard("U1", "Hello"))
    assert [(u.text, u.state, u.deleted_for_model is True) for u in finalized] == [
        ("Hello", "final", True)
    ]


def test_of_an_item_that_nobody_knows_nothing_is_told() -> None:
    assert said({"type": "conversation.item.deleted", "item_id": "U1"}, finish=True) == []


def playing() -> Transcript:
    """Two seconds of an answer were sent at 0.0, and all of its events came."""
    playout = Playout()
    transcript = Transcript(playout)
    playout.received("A1", 2000)
    playout.sent("A1", 2000, 0.0)
    for event in wire.answer("A1", TEXT, None):
        transcript.add_audio("A1", 2000 if event["type"].endswith("_audio.done") else 0)
        assert transcript.observe(event, 0.0) == []
    return transcript


def test_an_answer_deleted_while_it_plays_is_cut_to_what_was_heard_at_the_end() -> None:
    transcript = playing()
    deleted = {"type": "conversation.item.deleted", "item_id": "A1"}
    assert transcript.observe(deleted, 0.5) == []
    (utterance,) = transcript.finish(START_SECONDS + 1.0)
    assert (utterance.state, utterance.heard_text) == ("interrupted", "One two")


def test_5_6_an_answer_deleted_before_anything_of_it_was_heard_is_unheard() -> None:
    transcript = playing()
    deleted = {"type": "conversation.item.deleted", "item_id": "A1"}
    (utterance,) = transcript.observe(deleted, START_SECONDS / 2)
    assert (utterance.state, utterance.heard_text, utterance.text) == ("unheard", "", TEXT)


def cut_short(kind: str) -> list[Event]:
    """An answer with words that was cancelled before any audio of it came."""
    part = {"type": kind, "transcript" if kind == "output_audio" else "text": TEXT}
    return [
        *wire.answer("A1", TEXT, None)[:4],
        {
            "type": "response.done",
            "response": {
                "id": "R1",
                "conversation_id": "conv_1",
                "status": "cancelled",
                "output": [wire.message("A1", "assistant", part, status="incomplete")],
            },
        },
    ]


def test_an_answer_cut_before_its_first_sound_is_unheard() -> None:
    transcript = Transcript(Playout())
    finalized = [u for e in cut_short("output_audio") for u in transcript.observe(e, 1.0)]
    assert [(u.state, u.heard_text, u.heard_ms, u.text) for u in finalized] == [
        ("unheard", "", 0, TEXT)
    ]


def test_an_answer_whose_response_ends_without_naming_it_has_ended() -> None:
    transcript = Transcript(Playout())
    observe_until_broken_off(transcript)
    response = {"id": "resp_1", "conversation_id": "conv_1", "status": "cancelled", "output": []}
    (utterance,) = transcript.observe({"type": "response.done", "response": response}, 1.0)
    assert (utterance.state, utterance.heard_text, utterance.text) == ("unheard", "", TEXT)


def test_an_answer_before_whose_first_sound_the_session_ends_is_unheard() -> None:
    transcript = Transcript(Playout())
    observe_until_broken_off(transcript)
    (utterance,) = transcript.finish(9.0)
    assert (utterance.state, utterance.heard_text, utterance.text) == ("unheard", "", TEXT)


def test_text_that_was_shown_before_the_answer_was_cut_was_read() -> None:
    transcript = Transcript(Playout())
    events = [e for e in cut_short("output_text") if "audio" not in e["type"]]
    finalized = [u for e in events for u in transcript.observe(e, 1.0)]
    assert [(u.state, u.heard_text) for u in finalized] == [("interrupted", TEXT)]


def test_a_recording_does_not_say_what_was_cut_before_its_first_sound() -> None:
    assert [u.state for u in said(*cut_short("output_audio"))] == ["interrupted"]


def test_5_7_a_failed_transcription_finalizes_the_text_so_far() -> None:
    nothing = said(*wire.spoken_turn("U1", None), wire.not_heard("U1"), finish=True)
    assert story(nothing) == [("user", "", "failed")], "somebody spoke; nobody knows what"
    finalized = said(
        *wire.spoken_turn("U1", None), wire.heard_delta("U1", "Hel"), wire.not_heard("U1")
    )
    assert story(finalized) == [("user", "Hel", "failed")]
    late = said(*wire.spoken_turn("U1", None), wire.not_heard("U1"), wire.heard("U1", "Hello."))
    assert story(late) == [("user", "Hello.", "final")]
    repeated = said(*wire.spoken_turn("U1", None), wire.not_heard("U1"), wire.not_heard("U1"))
    assert len(repeated) == 1


def test_5_9_a_repeated_transcription_is_one_utterance_and_an_interim_one_is_none() -> None:
    turn = wire.spoken_turn("U1", None)
    assert len(said(*turn, wire.heard("U1", "Hi."), wire.heard("U1", "Hi."))) == 1
    interim = wire.heard("U1", "Hi", status="in_progress")
    assert said(*turn, interim) == []
    finalized = said(*turn, interim, wire.heard("U1", "Hi you.", status="completed"))
    assert story(finalized) == [("user", "Hi you.", "final")]


def test_5_11_two_items_of_one_response_are_two_utterances() -> None:
    finalized = said(
        *wire.answer("A1", "I will look.", None)[:-1],
        *wire.answer("A2", "It is sunny.", "A1")[1:],
    )
    assert [text for _, text, _ in story(finalized)] == ["I will look.", "It is sunny."]


def test_5_12_an_out_of_band_response_is_not_part_of_the_transcript() -> None:
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


def test_5_15_a_retrieved_item_creates_nothing_but_may_fill_a_gap() -> None:
    known = wire.message("U1", "user", {"type": "input_audio", "transcript": "Hello."})
    retrieved = {"type": "conversation.item.retrieved", "item": known}
    assert said(retrieved, finish=True) == []
    finalized = said(*wire.spoken_turn("U1", None), wire.not_heard("U1"), retrieved)
    assert story(finalized) == [("user", "Hello.", "final")]


def test_5_16_typed_and_seeded_utterances_have_their_origin() -> None:
    finalized = said(
        *wire.typed("U1", "Hi", None), *wire.typed("A1", "Old answer", "U1", "assistant")
    )
    assert [(u.role, u.origin) for u in finalized] == [("user", "text"), ("assistant", "seeded")]


def test_5_18_an_item_inserted_at_the_root_comes_first() -> None:
    finalized = said(*wire.typed("U2", "Second", None), *wire.typed("U1", "First", "root"))
    assert [text for _, text, _ in story(finalized)] == ["First", "Second"]


def test_5_19_a_system_message_is_not_an_utterance() -> None:
    system = wire.message("S1", "system", {"type": "input_text", "text": "Nobody speaks."})
    assert (
        said(wire.item("added", system, None), wire.item("done", system, None), finish=True) == []
    )


def test_a_session_that_ends_early_finalizes_open_utterances_as_partial() -> None:
    finalized = said(
        *wire.spoken_turn("U1", None),
        wire.heard_delta("U1", "Hello"),
        *wire.answer("A1", "Hi there my friend", "U1")[:6],
        finish=True,
    )
    assert story(finalized) == [("user", "Hello", "partial"), ("assistant", "Hi there", "partial")]
    assert [u.seq for u in finalized] == [1, 2]


# Answers that break off while they are generated

TEXT = "One two three four."


def observe_until_broken_off(transcript: Transcript) -> None:
    """Observe an answer up to the end of its audio, where it breaks off."""
    for event in wire.answer("A1", TEXT, None):
        if event["type"] == "response.output_audio.done":
            return
        assert transcript.observe(event, 0.0) == []


def broken_off(heard_s: float) -> Utterance:
    """The utterance of an answer of two seconds of which the client has played `heard_s`."""
    playout = Playout()
    transcript = Transcript(playout)
    observe_until_broken_off(transcript)
    transcript.add_audio("A1", 2000)
    playout.received("A1", 2000)
    playout.sent("A1", 2000, 0.0)
    (utterance,) = transcript.finish(START_SECONDS + heard_s)
    assert utterance.text == TEXT
    return utterance


def test_an_answer_that_breaks_off_is_cut_to_what_was_heard() -> None:
    half = broken_off(1.0)
    assert half.state == "partial"
    assert (half.heard_ms, half.heard_text, half.heard_estimated) == (1000, "One two", True)


def test_an_answer_that_breaks_off_before_it_is_heard_is_unheard() -> None:
    unheard = broken_off(0.0)
    assert (unheard.heard_ms, unheard.heard_text, unheard.state) == (0, "", "unheard")


def test_an_answer_that_breaks_off_and_was_heard_whole_is_not_cut() -> None:
    assert (broken_off(9.0).heard_ms, broken_off(9.0).heard_text) == (None, TEXT)


def test_the_clients_report_says_how_much_of_a_broken_answer_was_heard() -> None:
    playout = Playout()
    transcript = Transcript(playout)
    observe_until_broken_off(transcript)
    transcript.add_audio("A1", 2000)
    playout.received("A1", 2000)
    playout.sent("A1", 2000, 0.0)
    playout.played("A1", 400, 0.0)
    (utterance,) = transcript.finish(0.1)
    assert (utterance.heard_ms, utterance.heard_estimated) == (500, False)


def test_an_answer_interrupted_before_it_breaks_off_keeps_what_was_heard_then() -> None:
    playout = Playout()
    transcript = Transcript(playout)
    observe_until_broken_off(transcript)
    transcript.add_audio("A1", 2000)
    playout.received("A1", 2000)
    playout.sent("A1", 2000, 0.0)
    (cut,) = playout.interrupt(START_SECONDS + 0.5)
    assert transcript.cut(cut, 1.0) == []
    (utterance,) = transcript.finish(9.0)
    assert (utterance.state, utterance.heard_ms) == ("partial", 500)


def test_in_a_recording_a_broken_answer_counts_as_heard_whole() -> None:
    transcript = Transcript(InstantPlayback())
    observe_until_broken_off(transcript)
    (utterance,) = transcript.finish(0.0)
    assert (utterance.heard_ms, utterance.heard_text) == (None, TEXT)


# One item


def item() -> TranscriptItem:
    return TranscriptItem("A1", "assistant", 0.0)


def test_deltas_are_joined_until_the_whole_text_arrives() -> None:
    one = item()
    for delta in ("Hel", "lo", " you"):
        one.add_delta(0, delta)
    part = one.part(0)
    assert part is not None
    assert part.so_far() == "Hello you"
    one.set_text({"content_index": 0, "transcript": "Hello, you!"})
    one.set_text({"content_index": 0, "transcript": "something later"})
    assert part.so_far() == "Hello, you!"


def test_the_whole_text_is_read_from_every_event_shape() -> None:
    for event in (
        {"text": "Hi"},
        {"transcript": "Hi"},
        {"part": {"type": "audio", "transcript": "Hi"}},
    ):
        one = item()
        one.set_text({"content_index": 0, **event})
        part = one.part(0)
        assert part is not None
        assert part.text == "Hi"


def test_an_items_content_fills_in_missing_texts() -> None:
    one = item()
    one.set_text({"content_index": 0, "transcript": "known"})
    one.read_content(
        [
            {"type": "output_audio", "transcript": "other"},
            {"type": "output_text", "text": "second"},
            {"type": "output_audio", "transcript": None},
            "nonsense",
        ]
    )
    assert {index: part.text for index, part in one.parts.items()} == {0: "known", 1: "second"}
    assert not one.is_typed


def test_typed_content_is_marked_and_parts_are_bounded() -> None:
    one = TranscriptItem("U1", "user", 0.0)
    one.read_content([{"type": "input_text", "text": "Hi"}])
    assert one.is_typed
    assert [one.part(index) is not None for index in (63, 64, 5_000, 0)] == [True, True, True, True]
    for index in range(200):
        one.part(index)
    assert len(one.parts) == 64
    assert one.part(9_999) is None


# Position, `seq` and state of utterances


def test_a_correction_takes_a_new_seq_and_a_repeat_none() -> None:
    items = {"U1": TranscriptItem("U1", "user", 5.0)}
    finalizer = UtteranceFinalizer(items)
    items["U1"].set_text({"transcript": "Hi"})
    (first,) = finalizer.finalize(items["U1"], "final")
    assert (first.seq, first.position, first.created_at) == (1, 1.0, 5.0)
    assert finalizer.finalize(items["U1"], "final") == []
    (again,) = finalizer.finalize(items["U1"], "failed")
    assert (again.seq, again.position) == (2, 1.0)


def test_created_at_never_decreases_along_the_conversation() -> None:
    items = {
        name: TranscriptItem(name, "user", seen)
        for name, seen in (("a", 9.0), ("b", 3.0), ("c", 20.0))
    }
    finalizer = UtteranceFinalizer(items)
    finalizer.link(items["a"], None)
    finalizer.link(items["c"], "a")
    finalizer.link(items["b"], "a")
    assert [items[name].created_at for name in ("a", "b", "c")] == [9.0, 9.0, 20.0]


def test_only_users_and_assistants_have_utterances() -> None:
    items = {"S1": TranscriptItem("S1", "system", 0.0), "F1": TranscriptItem("F1", "none", 0.0)}
    finalizer = UtteranceFinalizer(items)
    for item in items.values():
        item.set_text({"text": "secret"})
        assert finalizer.finalize(item, "final") == []
        assert not finalizer.has_finalized(item)
