"""The sound in a frame."""

import pytest

from relay.realtime.events import sound_in


@pytest.mark.parametrize(
    ("frame", "sound"),
    [
        (b'{"type":"input_audio_buffer.append","audio":"AAEC"}', b"\x00\x01\x02"),
        (b'{"type":"response.output_audio.delta","item_id":"A","delta":"AwQF"}', b"\x03\x04\x05"),
        (b'{"type":"input_audio_buffer.append","audio":"A"}', b""),
        (b'{"type":"x","audio":5}', b""),
        (b'{"type":"x"}', b""),
        (b"\xff", b""),
    ],
)
def test_both_directions_have_theirs_and_what_cannot_be_read_has_none(
    frame: bytes, sound: bytes
) -> None:
    assert sound_in(frame) == sound
    assert sound_in(memoryview(frame)) == sound
