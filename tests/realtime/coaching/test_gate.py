"""Where speech begins and ends."""

from math import inf

from relay.realtime.coaching.speech import MOST_WINDOWS, WINDOW_BYTES, EnergyVad, VoiceEdge

LOUD = b"\x00\x20" * (WINDOW_BYTES // 2)
QUIET = b"\x20\x00" * (WINDOW_BYTES // 2)


def heard(gate: EnergyVad, pcm: bytes, now: float = 1.0) -> list[VoiceEdge | int]:
    """Edges, and how many windows of sound."""
    found = gate.feed(pcm, now)
    return [len(p) // WINDOW_BYTES if isinstance(p, bytes) else p for p in found]


def test_silence_is_nothing_however_long() -> None:
    assert heard(EnergyVad(), QUIET * 500) == []


def test_a_click_is_no_speech() -> None:
    assert heard(EnergyVad(), QUIET * 20 + LOUD + QUIET * 20) == []


def test_speech_begins_with_what_came_two_tenths_of_a_second_before() -> None:
    assert heard(EnergyVad(), QUIET * 50 + LOUD * 5) == [VoiceEdge.BEGIN, 10 + 3]


def test_a_pause_within_a_sentence_is_part_of_it_and_a_longer_one_ends_it() -> None:
    gate = EnergyVad()
    assert heard(gate, LOUD * 5 + QUIET * 34 + LOUD * 5) == [VoiceEdge.BEGIN, 44]
    assert heard(gate, QUIET * 60) == [35, VoiceEdge.END]
    assert not gate.is_open


def test_pieces_of_any_size_make_the_same_sound() -> None:
    sound = QUIET * 20 + LOUD * 20 + QUIET * 40
    gate, pieces = EnergyVad(), list[VoiceEdge | bytes]()
    for start in range(0, len(sound), 1111):
        pieces += gate.feed(sound[start : start + 1111], 1.0)
    whole = EnergyVad().feed(sound, 1.0)
    assert [p for p in pieces if isinstance(p, VoiceEdge)] == [VoiceEdge.BEGIN, VoiceEdge.END]
    assert b"".join(p for p in pieces if isinstance(p, bytes)) == whole[1]


def test_where_the_sound_stops_coming_the_turn_is_over_by_the_wall_clock() -> None:
    gate = EnergyVad()
    assert gate.next() == inf
    gate.feed(LOUD * 5, 10.0)
    assert gate.next() == 10.7
    assert not gate.due(10.6)
    assert gate.due(10.7)


def test_a_turn_that_never_ends_is_cut_after_a_minute_and_goes_on_as_another() -> None:
    found = heard(EnergyVad(), LOUD * (MOST_WINDOWS + 100))
    assert found == [VoiceEdge.BEGIN, MOST_WINDOWS, VoiceEdge.END, VoiceEdge.BEGIN, 100]


def test_a_gate_that_was_closed_opens_for_what_follows() -> None:
    gate = EnergyVad()
    gate.feed(LOUD * 5, 1.0)
    gate.close()
    assert heard(gate, LOUD * 5) == [VoiceEdge.BEGIN, 5]


def test_after_a_gap_nothing_of_before_is_heard() -> None:
    gate = EnergyVad()
    gate.feed(QUIET * 9 + QUIET[:481], 1.0)
    assert heard(gate, LOUD * 5, 9.0) == [VoiceEdge.BEGIN, 5]
