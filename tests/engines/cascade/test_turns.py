"""The input buffer: ms since the session began, prefixes, silences, bounds."""

import itertools

import pytest

from relay.engines.cascade.effects import RequestRefused
from relay.engines.cascade.input import MAX_TURN_MS, InputAudio, TurnStarted, TurnStopped
from relay.engines.cascade.settings import TurnDetection
from relay.parts.simple import LoudnessDetector, silence, tone

VAD = TurnDetection(silence_ms=200, prefix_ms=300)
MANUAL = TurnDetection(silence_ms=None)


@pytest.fixture
def heard() -> InputAudio:
    numbers = itertools.count(1)
    return InputAudio(LoudnessDetector(), lambda prefix: f"{prefix}_{next(numbers)}")


def in_pieces(heard: InputAudio, pcm: bytes, size: int, how: TurnDetection = VAD) -> list[object]:
    happened: list[object] = []
    for start in range(0, len(pcm), size):
        happened += heard.append(pcm[start : start + size], how)
    return happened


def test_a_turn_has_its_prefix_and_its_silence(heard: InputAudio):
    started, stopped = heard.append(silence(1000) + tone(500) + silence(1000), VAD)

    assert started == TurnStarted("item_1", 700)
    assert isinstance(stopped, TurnStopped)
    assert (stopped.item_id, stopped.audio_end_ms) == ("item_1", 1700)
    assert stopped.pcm == silence(300) + tone(500) + silence(200)


@pytest.mark.parametrize("size", [1, 7, 959, 960, 4801, 100_000])
def test_it_does_not_matter_how_the_audio_is_cut(heard: InputAudio, size: int):
    happened = in_pieces(heard, silence(400) + tone(100) + silence(300), size)

    assert [type(event) for event in happened] == [TurnStarted, TurnStopped]
    assert happened[0] == TurnStarted("item_1", 100)
    assert isinstance(happened[1], TurnStopped)
    assert happened[1].pcm == silence(300) + tone(100) + silence(200)


def test_several_turns_in_one_append(heard: InputAudio):
    happened = heard.append((tone(200) + silence(500)) * 3, VAD)

    assert [event.item_id for event in happened] == [
        "item_1", "item_1", "item_2", "item_2", "item_3", "item_3"
    ]  # fmt: skip
    assert [e.audio_end_ms for e in happened if isinstance(e, TurnStopped)] == [400, 1100, 1800]


def test_a_prefix_does_not_reach_before_the_session(heard: InputAudio):
    (started,) = heard.append(tone(200), VAD)

    assert started == TurnStarted("item_1", 0)


def test_silence_is_not_kept(heard: InputAudio):
    in_pieces(heard, silence(60_000), 4_800)

    assert len(heard._buffer) <= 3_300 * 48


def test_an_endless_turn_is_ended(heard: InputAudio):
    happened = in_pieces(heard, tone(MAX_TURN_MS + 3_000), 48_000)

    stopped = next(event for event in happened if isinstance(event, TurnStopped))
    assert len(stopped.pcm) <= (MAX_TURN_MS + 1_000) * 48
    assert [type(event) for event in happened][:3] == [TurnStarted, TurnStopped, TurnStarted]


def test_a_buffer_that_nobody_commits_keeps_the_latest(heard: InputAudio):
    in_pieces(heard, silence(MAX_TURN_MS), 48_000, MANUAL)
    in_pieces(heard, tone(1_000), 48_000, MANUAL)

    _, pcm = heard.commit()

    assert len(pcm) == MAX_TURN_MS * 48
    assert pcm.endswith(tone(1_000))


def test_a_commit_takes_the_turn_that_is_open(heard: InputAudio):
    (started,) = heard.append(silence(1000) + tone(500), VAD)

    item_id, pcm = heard.commit()

    assert item_id == started.item_id
    assert pcm == silence(300) + tone(500)
    assert heard.append(silence(1000), VAD) == []


def test_the_count_goes_on_after_a_clear_and_without_vad(heard: InputAudio):
    heard.append(tone(500), VAD)
    heard.clear()
    heard.append(tone(1000), MANUAL)
    heard.clear()

    (started, _) = heard.append(silence(500) + tone(300) + silence(500), VAD)

    assert started == TurnStarted("item_2", 1700)


def test_vad_that_is_switched_off_forgets_the_open_turn(heard: InputAudio):
    heard.append(tone(500), VAD)
    heard.append(silence(500), MANUAL)

    assert heard.append(silence(500), VAD) == []


def test_the_silence_can_be_changed_during_a_turn(heard: InputAudio):
    heard.append(tone(500), VAD)
    assert heard.append(silence(300), TurnDetection(400)) == []

    (stopped,) = heard.append(silence(100), TurnDetection(400))

    assert isinstance(stopped, TurnStopped)
    assert stopped.audio_end_ms == 900


def test_too_little_is_not_committed(heard: InputAudio):
    heard.append(bytes(9), MANUAL)

    with pytest.raises(RequestRefused) as refused:
        heard.commit()

    assert refused.value.code == "input_audio_buffer_commit_empty"
