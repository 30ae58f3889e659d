"""The input audio buffer finds turns; transcripts of them reach the client."""

import itertools

import pytest

from relay.engines.cascade.effects import RequestRefused
from relay.engines.cascade.input import (
    MAX_TURN_MS,
    InputAudio,
    TurnPaused,
    TurnStarted,
    TurnStopped,
)
from relay.engines.cascade.settings import TurnDetection
from relay.engines.cascade.transcripts import MAX_AWAITED
from relay.parts.simple import LoudnessDetector, silence, tone
from tests.components import needs
from tests.engines.cascade.driving import NO_TURNS, TRANSCRIBED, Talk, scripted
from tests.engines.cascade.recordings import prompt

VAD = TurnDetection(silence_ms=200, prefix_ms=300)
MANUAL = TurnDetection(silence_ms=None)


@pytest.fixture
def audio_input() -> InputAudio:
    numbers = itertools.count(1)
    return InputAudio(LoudnessDetector(), lambda prefix: f"{prefix}_{next(numbers)}")


def in_pieces(
    audio_input: InputAudio, pcm: bytes, size: int, how: TurnDetection = VAD
) -> list[object]:
    happened: list[object] = []
    for start in range(0, len(pcm), size):
        happened += audio_input.append(pcm[start : start + size], how)
    return happened


def test_a_turn_has_its_prefix_and_its_silence(audio_input: InputAudio):
    started, stopped = audio_input.append(silence(1000) + tone(500) + silence(1000), VAD)

    assert started == TurnStarted("item_1", 700)
    assert isinstance(stopped, TurnStopped)
    assert (stopped.item_id, stopped.audio_end_ms) == ("item_1", 1700)
    assert stopped.pcm == silence(300) + tone(500) + silence(200)


@pytest.mark.parametrize("size", [1, 7, 959, 960, 4801, 100_000])
def test_it_does_not_matter_how_the_audio_is_cut(audio_input: InputAudio, size: int):
    happened = in_pieces(audio_input, silence(400) + tone(100) + silence(300), size)

    assert [type(event) for event in happened] == [TurnStarted, TurnStopped]
    assert happened[0] == TurnStarted("item_1", 100)
    assert isinstance(happened[1], TurnStopped)
    assert happened[1].pcm == silence(300) + tone(100) + silence(200)


def test_several_turns_in_one_append(audio_input: InputAudio):
    happened = audio_input.append((tone(200) + silence(500)) * 3, VAD)

    assert [event.item_id for event in happened] == [
        "item_1", "item_1", "item_2", "item_2", "item_3", "item_3"
    ]  # fmt: skip
    assert [e.audio_end_ms for e in happened if isinstance(e, TurnStopped)] == [400, 1100, 1800]


def test_a_prefix_does_not_reach_before_the_session(audio_input: InputAudio):
    (started,) = audio_input.append(tone(200), VAD)

    assert started == TurnStarted("item_1", 0)


def test_silence_is_not_kept(audio_input: InputAudio):
    in_pieces(audio_input, silence(60_000), 4_800)

    assert len(audio_input._buffer) <= 3_300 * 48


def test_an_endless_turn_is_ended(audio_input: InputAudio):
    happened = in_pieces(audio_input, tone(MAX_TURN_MS + 3_000), 48_000)

    stopped = next(event for event in happened if isinstance(event, TurnStopped))
    assert len(stopped.pcm) <= (MAX_TURN_MS + 1_000) * 48
    assert [type(event) for event in happened][:3] == [TurnStarted, TurnStopped, TurnStarted]


def test_a_buffer_that_is_not_committed_keeps_the_latest(audio_input: InputAudio):
    in_pieces(audio_input, silence(MAX_TURN_MS), 48_000, MANUAL)
    in_pieces(audio_input, tone(1_000), 48_000, MANUAL)

    _, pcm = audio_input.commit()

    assert len(pcm) == MAX_TURN_MS * 48
    assert pcm.endswith(tone(1_000))


def test_a_commit_takes_the_turn_that_is_open(audio_input: InputAudio):
    (started,) = audio_input.append(silence(1000) + tone(500), VAD)

    item_id, pcm = audio_input.commit()

    assert item_id == started.item_id
    assert pcm == silence(300) + tone(500)
    assert audio_input.append(silence(1000), VAD) == []


def test_the_count_goes_on_after_a_clear_and_without_vad(audio_input: InputAudio):
    audio_input.append(tone(500), VAD)
    audio_input.clear()
    audio_input.append(tone(1000), MANUAL)
    audio_input.clear()

    (started, _) = audio_input.append(silence(500) + tone(300) + silence(500), VAD)

    assert started == TurnStarted("item_2", 1700)


def test_vad_that_is_switched_off_forgets_the_open_turn(audio_input: InputAudio):
    audio_input.append(tone(500), VAD)
    audio_input.append(silence(500), MANUAL)

    assert audio_input.append(silence(500), VAD) == []


def test_the_silence_can_be_changed_during_a_turn(audio_input: InputAudio):
    audio_input.append(tone(500), VAD)
    assert audio_input.append(silence(300), TurnDetection(400)) == []

    (stopped,) = audio_input.append(silence(100), TurnDetection(400))

    assert isinstance(stopped, TurnStopped)
    assert stopped.audio_end_ms == 900


def test_too_little_is_not_committed(audio_input: InputAudio):
    audio_input.append(bytes(9), MANUAL)

    with pytest.raises(RequestRefused) as refused:
        audio_input.commit()

    assert refused.value.code == "input_audio_buffer_commit_empty"


@needs("voice", "human_recordings", "ffmpeg")
@pytest.mark.parametrize("late_ms", range(0, 260, 20))
def test_a_voice_is_whole_in_its_turn_wherever_a_held_pause_is_ended(late_ms: int):
    """A second sentence goes on so many ms before the first one's transcript is there."""
    from relay.parts.silero import SileroDetector  # noqa: PLC0415

    numbers = itertools.count(1)
    audio_input = InputAudio(SileroDetector(), lambda prefix: f"{prefix}_{next(numbers)}")
    said, how = prompt("conf-onlyperson"), TurnDetection(silence_ms=500, prefix_ms=300)
    before = up_to_loud(prompt("transfer")) + silence(600)
    happened: list[object] = []
    for start in range(0, len(before), 960):
        for event in audio_input.append(before[start : start + 960], how):
            happened.append(event)
            audio_input.hold(isinstance(event, TurnPaused))
    said = said[loud_from(said) :]
    cut = late_ms * 48
    happened += audio_input.append(said[:cut], how)
    happened += audio_input.end_pause()
    happened += in_pieces(audio_input, said[cut:] + silence(1000), 960, how)

    last = [event for event in happened if isinstance(event, TurnStopped)][-1]
    assert said[: -48 * 200] in last.pcm


def loud_from(pcm: bytes) -> int:
    """Where the first loud sample is, in bytes, at a whole ms."""
    loud = next(at for at, sample in enumerate(memoryview(pcm).cast("h")) if abs(sample) > 500)
    return loud * 2 // 48 * 48


def up_to_loud(pcm: bytes) -> bytes:
    """Return the audio up to its last loud sample."""
    samples = memoryview(pcm).cast("h")
    last = next(at for at in range(len(samples) - 1, 0, -1) if abs(samples[at]) > 500)
    return pcm[: last * 2 // 48 * 48]


KIND = "conversation.item.input_audio_transcription"


def test_joined_deltas_begin_with_a_space_and_the_whole_does_not():
    talk = Talk(scripted("Hello, my name is Marcelo."))
    talk.say("session.update", session=TRANSCRIBED)
    talk.speak()
    talk.do_work()

    joined = "".join(event["delta"] for event in talk.of(f"{KIND}.delta"))
    assert joined == " Hello, my name is Marcelo."
    assert talk.last(f"{KIND}.completed")["transcript"] == "Hello, my name is Marcelo."


def test_a_retrieved_item_has_its_transcript_without_events_of_it():
    talk = Talk(scripted("Quietly."))
    talk.say("session.update", session=NO_TURNS)
    talk.append(bytes(48 * 200))
    item_id = talk.say("input_audio_buffer.commit")[0]["item_id"]
    talk.do_work()

    (retrieved,) = talk.say("conversation.item.retrieve", item_id=item_id)

    assert retrieved["item"]["content"][0]["transcript"] == "Quietly."
    assert talk.of(f"{KIND}.completed") == []


def test_the_transcription_model_is_that_of_the_commit():
    talk = Talk()
    talk.say("session.update", session=TRANSCRIBED)
    talk.speak()
    off = {"type": "realtime", "audio": {"input": {"transcription": None}}}
    talk.say("session.update", session=off)
    talk.do_work()

    assert len(talk.of(f"{KIND}.completed")) == 1


def test_transcripts_may_come_in_any_order():
    talk = Talk(scripted("second", "first"))
    manual = {"transcription": {"model": "whisper-1"}, "turn_detection": None}
    talk.say("session.update", session={"type": "realtime", "audio": {"input": manual}})
    ids = []
    for _ in range(2):
        talk.append(bytes(48 * 200))
        ids.append(talk.say("input_audio_buffer.commit")[0]["item_id"])
    talk.work.reverse()
    talk.do_work()

    completed = {e["item_id"]: e["transcript"] for e in talk.of(f"{KIND}.completed")}
    assert completed == {ids[1]: "second", ids[0]: "first"}


def test_too_many_turns_at_once_fail_instead_of_piling_up():
    talk = Talk()
    talk.say("session.update", session=TRANSCRIBED)

    for _ in range(MAX_AWAITED + 1):
        talk.append(bytes(48 * 200))
        talk.say("input_audio_buffer.commit")

    (failed,) = talk.of(f"{KIND}.failed")
    assert failed["error"]["type"] == "server_error"
    assert len(talk.work) == MAX_AWAITED


def test_the_result_of_unknown_work_is_ignored():
    talk = Talk()

    assert talk.machine.progress(99, "What?", talk.now) == []
    assert talk.machine.finish(99, None, talk.now) == []
