"""An answer that breaks off while it is generated: as far as it was heard, and partial."""

from relay.realtime.playout import START_SECONDS, AtOnce, Playout
from relay.realtime.records import Utterance
from relay.realtime.transcript import Transcript
from tests.realtime import wire_events as wire

SAID = "One two three four."


def begun(transcript: Transcript) -> None:
    """All of an answer until its sound is over, which is where it broke off."""
    for event in wire.answer("A1", SAID, None):
        if event["type"] == "response.output_audio.done":
            return
        assert transcript.observe(event, 0.0) == []


def broken_off(heard_s: float) -> Utterance:
    """What settles of two seconds of sound when the client had listened for so long."""
    playout = Playout()
    transcript = Transcript(playout)
    begun(transcript)
    transcript.audio("A1", 2000)
    playout.came("A1", 2000)
    playout.sent("A1", 2000, 0.0)
    (utterance,) = transcript.finish(START_SECONDS + heard_s)
    assert (utterance.state, utterance.text) == ("partial", SAID)
    return utterance


def test_half_of_it_was_heard() -> None:
    half = broken_off(1.0)
    assert (half.heard_ms, half.heard_text, half.heard_estimated) == (1000, "One two", True)


def test_nothing_of_it_was_heard() -> None:
    assert (broken_off(0.0).heard_ms, broken_off(0.0).heard_text) == (0, "")


def test_all_that_came_of_it_was_heard() -> None:
    assert (broken_off(9.0).heard_ms, broken_off(9.0).heard_text) == (None, SAID)


def test_the_clients_own_clock_says_how_much() -> None:
    playout = Playout()
    transcript = Transcript(playout)
    begun(transcript)
    transcript.audio("A1", 2000)
    playout.came("A1", 2000)
    playout.sent("A1", 2000, 0.0)
    playout.played("A1", 400, 0.0)
    (utterance,) = transcript.finish(0.1)
    assert (utterance.heard_ms, utterance.heard_estimated) == (500, False)


def test_an_answer_that_was_interrupted_before_keeps_what_was_heard_then() -> None:
    playout = Playout()
    transcript = Transcript(playout)
    begun(transcript)
    transcript.audio("A1", 2000)
    playout.came("A1", 2000)
    playout.sent("A1", 2000, 0.0)
    (cut,) = playout.interrupt(START_SECONDS + 0.5)
    assert transcript.cut(cut, 1.0) == []
    (utterance,) = transcript.finish(9.0)
    assert (utterance.state, utterance.heard_ms) == ("partial", 500)


def test_a_recording_that_breaks_off_has_no_player() -> None:
    transcript = Transcript(AtOnce())
    begun(transcript)
    (utterance,) = transcript.finish(0.0)
    assert (utterance.heard_ms, utterance.heard_text) == (None, SAID)
