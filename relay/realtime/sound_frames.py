"""The sound in a frame of either direction, for who listens along."""

from binascii import Error, a2b_base64

import msgspec

from relay.realtime.events import Frame


class _Frame(msgspec.Struct):
    audio: str = ""  # of the client's `append`
    delta: str = ""  # of the model's


_decode = msgspec.json.Decoder(_Frame).decode


def sound_in(frame: Frame) -> bytes:
    """The bytes of sound; none where the frame has no readable ones."""
    try:
        found = _decode(frame)
        return a2b_base64(found.audio or found.delta)
    except (msgspec.DecodeError, UnicodeDecodeError, Error, ValueError):
        return b""
