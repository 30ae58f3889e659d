"""Sound files of several kinds as PCM, with codecs and without."""

import pytest

from relay.parts.simple import tone
from relay.simulator.http import sound
from relay.simulator.http.sound import BadSound, decode, wav_head
from tests.components import needs
from tests.simulator.http.test_transcriptions import wav

CODECS = [False, pytest.param(True, marks=needs("codecs"))]


@pytest.fixture(params=CODECS, autouse=True)
def codecs(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    monkeypatch.setattr(sound, "has_codecs", lambda: request.param)
    return bool(request.param)


def test_a_plain_wav_is_its_pcm():
    assert decode(wav(tone(100))) == tone(100)
    assert decode(wav_head() + tone(100)) == tone(100)


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100, 48_000])
@pytest.mark.parametrize("channels", [1, 2])
def test_other_rates_and_channels(rate: int, channels: int):
    frames = rate // 2
    pcm = b"".join(
        (1000 if i * 100 // rate % 2 else -1000).to_bytes(2, "little", signed=True) * channels
        for i in range(frames)
    )

    made = decode(wav(pcm, rate, channels))

    assert len(made) == pytest.approx(24_000, abs=200)
    peak = max(int.from_bytes(made[i : i + 2], "little", signed=True) for i in range(0, 24_000, 2))
    assert 900 <= peak <= 1300  # a resampler may swing over an edge


@pytest.mark.parametrize("data", [b"", b"RIFF", b"ID3 not really", wav(b"")[:20]])
def test_what_is_no_sound(data: bytes):
    with pytest.raises(BadSound):
        decode(data)


def test_what_is_too_long(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sound, "MAX_PCM_BYTES", 4800)

    assert len(decode(wav(tone(100)))) == 4800
    for rate in (24_000, 16_000):
        with pytest.raises(BadSound, match="longer"):
            decode(wav(tone(200), rate))
