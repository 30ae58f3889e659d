"""Takes the Opus packets out of WebM, as browsers record it, and puts them into Ogg.

WebM is a tree of elements, each with an id, a length and a body (RFC 8794, 9559); Ogg is pages of
packets (RFC 3533), and says at its end how many samples there were (RFC 7845).
"""

import struct
import zlib
from collections.abc import Iterator
from itertools import islice
from typing import Final

EBML: Final = b"\x1a\x45\xdf\xa3"
SEGMENT, CLUSTER, TRACKS, TRACK = 0x18538067, 0x1F43B675, 0x1654AE6B, 0xAE
BLOCK_GROUP, SIMPLE_BLOCK, BLOCK = 0xA0, 0xA3, 0xA1
TRACK_NUMBER, CODEC, CODEC_PRIVATE = 0xD7, 0x86, 0x63A2
PARENTS: Final = frozenset({SEGMENT, CLUSTER, BLOCK_GROUP, TRACKS})
MAX_ELEMENTS: Final = 500_000
"""Of one file; what follows is not read. Ten minutes of packets of 2.5 ms are half of it."""
LACING: Final = 0x06
OPUS_RATE: Final = 48_000
PAGE_PACKETS: Final = 50  # a second of packets of 20 ms; 255 segments are a page's bound
_FRAME_48K: Final = (
    *(480, 960, 1920, 2880) * 3,  # SILK, in samples of 48 kHz, by the packet's first five bits
    *(480, 960) * 2,  # both
    *(120, 240, 480, 960) * 4,  # CELT
)


_MIRRORED: Final = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


class NotWebm(Exception):  # noqa: N818 - an outcome
    """It is no WebM that can be read, or its audio is not Opus."""


def is_webm(data: bytes) -> bool:
    """Whether it begins like WebM or Matroska."""
    return data.startswith(EBML)


def ogg_of(data: bytes) -> bytes:
    """Return the first Opus track of a WebM file as Ogg; raises `NotWebm`.

    A recording that was cut off is read up to there.
    """
    head, number = b"", 0
    packets: list[bytes] = []
    for kind, body in islice(elements(data), MAX_ELEMENTS):
        if kind == TRACK and not head:
            number, head = _opus_track(body)
        elif kind in (SIMPLE_BLOCK, BLOCK) and head:
            packets += _packet(body, number)
    if not head or not packets:
        raise NotWebm
    return b"".join(_pages(head, packets))


def elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Each element that is no parent, in order, up to what is none: its id and its body."""
    at = 0
    while at < len(data):
        try:
            kind, at = _number(data, at, keeps_marker=True)
            size, start = _number(data, at)
        except IndexError:
            return
        is_endless = size == (1 << 7 * (start - at)) - 1
        if kind in PARENTS:  # what is in it follows, so that its end need not be known
            at = start
            continue
        if is_endless or start + size > len(data):
            return
        yield kind, data[start : start + size]
        at = start + size


def _number(data: bytes, at: int, *, keeps_marker: bool = False) -> tuple[int, int]:
    """A number of variable length and where it ends; raises IndexError where there is none."""
    length = 9 - data[at].bit_length()
    if length > 8 or at + length > len(data):
        raise IndexError
    value = int.from_bytes(data[at : at + length])
    if not keeps_marker:
        value &= (1 << 7 * length) - 1
    return value, at + length


def _opus_track(body: bytes) -> tuple[int, bytes]:
    """The number and the OpusHead of a track; b"" where it is another codec's."""
    fields = dict(elements(body))
    if fields.get(CODEC, b"").rstrip(b"\0") != b"A_OPUS":
        return 0, b""
    head = fields.get(CODEC_PRIVATE, b"")
    if not head.startswith(b"OpusHead") or len(head) < 19:
        raise NotWebm
    return int.from_bytes(fields.get(TRACK_NUMBER, b"")), head


def _packet(block: bytes, track: int) -> list[bytes]:
    """The packet of a block, if it is of this track; raises `NotWebm` for several in one."""
    try:
        number, at = _number(block, 0)
    except IndexError:
        raise NotWebm from None
    if number != track or len(block) < at + 4:
        return []
    if block[at + 2] & LACING:
        raise NotWebm
    return [block[at + 3 :]]


def _samples(packet: bytes) -> int:
    """How many samples of 48 kHz a packet holds, by its first bytes (RFC 6716 §3.1)."""
    frames = (1, 2, 2)[packet[0] & 3] if packet[0] & 3 < 3 else (packet + b"\0")[1] & 63
    return _FRAME_48K[packet[0] >> 3] * frames


def _pages(head: bytes, packets: list[bytes]) -> Iterator[bytes]:
    tags = b"OpusTags" + struct.pack("<I", 5) + b"relay" + struct.pack("<I", 0)
    yield _page([head], 0, 0, flags=2)
    yield _page([tags], 0, 1)
    granule, waiting, number = 0, [], 2
    for index, packet in enumerate(packets):
        granule += _samples(packet)
        waiting.append(packet)
        is_last = index == len(packets) - 1
        segments = sum(len(one) // 255 + 1 for one in waiting)
        if is_last or len(waiting) == PAGE_PACKETS or segments > 240:
            yield _page(waiting, granule, number, flags=4 if is_last else 0)
            waiting, number = [], number + 1


def _page(packets: list[bytes], granule: int, number: int, flags: int = 0) -> bytes:
    lacing = b"".join(b"\xff" * (len(one) // 255) + bytes([len(one) % 255]) for one in packets)
    if len(lacing) > 255:
        raise NotWebm  # one packet of 65 kB: no Opus
    head = struct.pack("<4sBBqIII", b"OggS", 0, flags, granule, 1, number, 0)
    page = bytearray(head + bytes([len(lacing)]) + lacing + b"".join(packets))
    struct.pack_into("<I", page, 22, _checksum(page))
    return bytes(page)


def _checksum(page: bytearray) -> int:
    """Ogg's CRC: zlib's with the bits of each byte, and of the result, in the other order."""
    mirrored = zlib.crc32(page.translate(_MIRRORED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int.from_bytes(mirrored.to_bytes(4, "little").translate(_MIRRORED))
