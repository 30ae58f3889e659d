"""G.711 as PCM: known samples of both laws, and that they are each other's mirror image."""

import pytest

from relay.realtime.g711 import to_pcm


def sample(law: str, code: int) -> int:
    (first, *_) = memoryview(to_pcm(law, bytes([code]), 6)).cast("h")
    return int(first)


@pytest.mark.parametrize(
    ("law", "code", "value"),
    [
        *(("audio/pcmu", 0xFF, 0), ("audio/pcmu", 0x7F, 0), ("audio/pcmu", 0x80, 32_124)),
        *(("audio/pcmu", 0x00, -32_124), ("audio/pcmu", 0xFE, 8), ("audio/pcmu", 0xEF, 132)),
        *(("audio/pcma", 0xD5, 8), ("audio/pcma", 0x55, -8), ("audio/pcma", 0xAA, 32_256)),
        *(("audio/pcma", 0x2A, -32_256), ("audio/pcma", 0xC5, 264), ("audio/pcma", 0xF5, 528)),
    ],
)
def test_known_samples(law: str, code: int, value: int) -> None:
    assert sample(law, code) == value


@pytest.mark.parametrize("law", ["audio/pcmu", "audio/pcma"])
def test_the_highest_bit_is_the_sign_and_the_rest_the_size(law: str) -> None:
    sizes = [sample(law, code) for code in range(256)]
    assert all(sizes[code] == -sizes[code ^ 0x80] for code in range(256))
    assert len(set(map(abs, sizes))) == 128


def test_three_samples_are_made_of_one_and_no_more_than_were_asked_for() -> None:
    assert len(to_pcm("audio/pcmu", bytes(160), 960)) == 960
    assert len(to_pcm("audio/pcmu", bytes(1600), 960)) == 960
    assert to_pcm("audio/pcm", b"abcdef", 4) == b"abcd"
