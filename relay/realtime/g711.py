"""Decodes G.711, the sound of telephones, to PCM16 at 24 kHz."""

from typing import Final

from relay.realtime.events import PCM

_REPEATS: Final = 3  # 8 kHz to 24 kHz


def _from_ulaw(code: int) -> int:
    code = ~code & 0xFF
    size = (((code & 0x0F) << 3) + 0x84 << (code >> 4 & 7)) - 0x84
    return -size if code & 0x80 else size


def _from_alaw(code: int) -> int:
    code ^= 0x55
    segment, size = code >> 4 & 7, ((code & 0x0F) << 4) + 8
    if segment:
        size = size + 0x100 << segment - 1
    return size if code & 0x80 else -size


_SAMPLES: Final = {
    law: [decode(code).to_bytes(2, "little", signed=True) * _REPEATS for code in range(256)]
    for law, decode in (("audio/pcmu", _from_ulaw), ("audio/pcma", _from_alaw))
}


def to_pcm(form: str, audio: bytes, most: int) -> bytes:
    """At most so many bytes of this audio as PCM16 mono 24 kHz.

    `form` is a session's audio format. Each sample of G.711 is repeated, which is good enough to
    tell how loud it is. KeyError for a format that is none of the API's.
    """
    if form == PCM:
        return audio[:most]
    samples = _SAMPLES[form]
    return b"".join(samples[code] for code in audio[: most // (2 * _REPEATS)])
