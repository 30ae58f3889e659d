"""Voice activity detection in a coach's audio."""

from math import inf

from relay.realtime.coaching.speech import MAX_TURN_WINDOWS, WINDOW_BYTES, EnergyVad, VoiceEdge

LOUD = b"\x00\x20" * (WINDOW_BYTES // 2)
QUIET = b"\x20\x00" * (WINDOW_BYTES // 2)


def detect(vad: EnergyVad, pcm: bytes, now: float = 1.0) -> list[VoiceEdge | int]:
    """The edges, and the number of windows of speech between them."""
    found = vad.feed(pcm, now)
    return [len(p) // WINDOW_BYTES if isinstance(p, bytes) else p for p in found]


def test_silence_is_never_speech() -> None:
    assert detect(EnergyVad(), QUIET * 500) == []


def test_a_click_is_not_speech() -> None:
    assert detect(EnergyVad(), QUIET * 20 + LOUD + QUIET * 20) == []


def test_speech_begins_with_a_pre_roll_of_200_ms() -> None:
    assert detect(EnergyVad(), QUIET * 50 + LOUD * 5) == [VoiceEdge.BEGIN, 10 + 3]


def test_a_short_pause_is_part_of_the_speech_and_a_longer_one_ends_it() -> None:
    vad = EnergyVad()
    assert detect(vad, LOUD * 5 + QUIET * 34 + LOUD * 5) == [VoiceEdge.BEGIN, 44]
    assert detect(vad, QUIET * 60) == [35, VoiceEdge.END]
    assert not vad.is_open


def test_the_size_of_the_pieces_makes_no_difference() -> None:
    audio = QUIET * 20 + LOUD * 20 + QUIET * 40
    vad, pieces = EnergyVad(), list[VoiceEdge | bytes]()
    for start in range(0, len(audio), 1111):
        pieces += vad.feed(audio[start : start + 1111], 1.0)
    whole = EnergyVad().feed(audio, 1.0)
    assert [p for p in pieces if isinstance(p, VoiceEdge)] == [VoiceEdge.BEGIN, VoiceEdge.END]
    assert b"".join(p for p in pieces if isinstance(p, bytes)) == whole[1]


def test_a_turn_ends_by_the_clock_when_no_more_audio_comes() -> None:
    vad = EnergyVad()
    assert vad.next() == inf
    vad.feed(LOUD * 5, 10.0)
    assert vad.next() == 10.7
    assert not vad.due(10.6)
    assert vad.due(10.7)


def test_a_turn_longer_than_a_minute_is_split() -> None:
    found = detect(EnergyVad(), LOUD * (MAX_TURN_WINDOWS + 100))
    assert found == [VoiceEdge.BEGIN, MAX_TURN_WINDOWS, VoiceEdge.END, VoiceEdge.BEGIN, 100]


def test_speech_after_a_close_is_a_new_turn() -> None:
    vad = EnergyVad()
    vad.feed(LOUD * 5, 1.0)
    vad.close()
    assert detect(vad, LOUD * 5) == [VoiceEdge.BEGIN, 5]


def test_after_a_gap_earlier_audio_is_not_part_of_the_pre_roll() -> None:
    vad = EnergyVad()
    vad.feed(QUIET * 9 + QUIET[:481], 1.0)
    assert detect(vad, LOUD * 5, 9.0) == [VoiceEdge.BEGIN, 5]
