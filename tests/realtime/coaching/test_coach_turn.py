"""The events of one thing a coach says, beside those of the model's own answers."""

from typing import Any

from relay.realtime.coaching.items import CoachTurn
from tests.realtime import wire_events as wire


def turn(**given: Any) -> CoachTurn:
    return CoachTurn(1, "carol", "A1", "resp_1", "U1", "U1", **given)


def told(said: CoachTurn) -> list[dict[str, Any]]:
    said.audio_ms = 1000
    said.words = "Hello Ada."
    return [*said.began(), *said.silent(), *said.spelled(), *said.ended()]


def test_they_are_those_of_a_spoken_answer_in_its_order() -> None:
    ours = [event["type"] for event in told(turn())]
    theirs = [event["type"] for event in wire.answer("A1", "Hello", "U1")]
    before, sound = theirs[:4], "response.output_audio.done"
    words = "response.output_audio_transcript.delta"
    assert ours == [
        *before,
        sound,
        words,
        *[kind for kind in theirs[4:] if kind not in (sound, words)],
    ]


def test_each_has_all_that_the_models_has() -> None:
    theirs = {event["type"]: event for event in wire.answer("A1", "Hello Ada.", "U1")}
    for event in told(turn()):
        missing = theirs[event["type"]].keys() - event.keys()
        assert not missing, event["type"]


def test_every_event_has_an_id_of_its_own() -> None:
    said = turn()
    events = [*told(said), said.sound(b"ab"), said.told("conversation.item.truncated")]
    assert len({event["event_id"] for event in events}) == len(events)


def test_what_was_cut_off_says_so_as_the_engine_would() -> None:
    *_, item_done, done = told(turn(cut="turn_detected"))
    assert item_done["item"]["status"] == "incomplete"
    assert done["response"]["status"] == "cancelled"
    assert done["response"]["status_details"] == {"type": "cancelled", "reason": "turn_detected"}


def test_without_words_there_is_no_word_of_them() -> None:
    said = turn()
    assert said.spelled() == []
    part, item, *_ = said.ended()
    assert part["part"] == {"type": "audio"}
    assert item["item"]["content"] == [{"type": "output_audio"}]
