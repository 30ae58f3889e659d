import pytest

from relay.audio.webm import NotWebm, elements, ogg_of
from tests.audio.made import encoded


def test_a_webm_file_becomes_ogg_with_the_same_packets() -> None:
    ogg = ogg_of(encoded("webm", "libopus"))

    assert ogg.startswith(b"OggS")
    assert ogg.count(b"OpusHead") == 1
    assert ogg[ogg.rindex(b"OggS") + 5] == 4, "the last page says that it is the last"


def test_a_recording_that_was_cut_off_is_read_up_to_there() -> None:
    whole = encoded("webm", "libopus", live="1")

    assert len(ogg_of(whole[: len(whole) // 2])) < len(ogg_of(whole))


@pytest.mark.parametrize("junk", [bytes(100), b"\xff" * 100, b"\xa3\x40"])
def test_junk_behind_a_recording_is_not_read(junk: bytes) -> None:
    whole = encoded("webm", "libopus", live="1")

    assert ogg_of(whole + junk) == ogg_of(whole)


@pytest.mark.parametrize(
    "data",
    [
        encoded("matroska", "pcm_s16le"),
        b"\x1a\x45\xdf\xa3\x80",
        b"\x1a\x45\xdf\xa3" + b"\x00" * 20,
    ],
)
def test_what_holds_no_opus_is_refused(data: bytes) -> None:
    with pytest.raises(NotWebm):
        ogg_of(data)


def test_elements_end_where_the_data_does() -> None:
    assert list(elements(b"\xa3")) == []
    assert list(elements(b"\xa3\x82\x01")) == []
    assert list(elements(b"\xa3\x82\x01\x02")) == [(0xA3, b"\x01\x02")]
