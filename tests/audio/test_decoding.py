"""Whatever a client sends becomes PCM16 mono 24 kHz, or is refused with its reason."""

import asyncio
import os
import random
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from relay.audio import child, decoding
from relay.audio.decoding import MAX_BYTES, AudioDecoder, AudioRejected, PcmFormat
from relay.audio.wav import wav_of
from tests.audio.made import encoded, pitch, silence, tone, wav


@pytest.fixture
async def decoder() -> AsyncIterator[AudioDecoder]:
    made = AudioDecoder(workers=1)
    yield made
    await made.aclose()


async def seconds(decoder: AudioDecoder, data: bytes, pcm: PcmFormat | None = None) -> float:
    """The length of what was understood, which must be the tone."""
    heard = await decoder.decode(data, pcm)
    assert abs(pitch(heard) - 440) <= 1
    return len(heard) / 48_000


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 44_100, 48_000, 96_000])
@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT"])
async def test_S4_4_wav_of_any_rate_and_depth(
    decoder: AudioDecoder, rate: int, subtype: str
) -> None:
    assert await seconds(decoder, wav(rate, subtype)) == pytest.approx(2.0, abs=0.02)


@pytest.mark.parametrize("kind", ["WAV", "WAVEX"])
async def test_S4_4_stereo_is_mixed(decoder: AudioDecoder, kind: str) -> None:
    assert await seconds(decoder, wav(channels=2, kind=kind)) == pytest.approx(2.0, abs=0.02)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(encoded("webm", "libopus"), id="webm"),
        pytest.param(encoded("webm", "libopus", live="1"), id="webm as it is recorded"),
        pytest.param(encoded("matroska", "libopus"), id="matroska"),
        pytest.param(encoded("ogg", "libopus"), id="ogg opus"),
        pytest.param(wav(subtype="VORBIS", kind="OGG"), id="ogg vorbis"),
        pytest.param(encoded("mp3", "libmp3lame"), id="mp3"),
        pytest.param(encoded("flac", "flac"), id="flac"),
    ],
)
async def test_S0_33_what_browsers_and_telephones_record(
    decoder: AudioDecoder, data: bytes
) -> None:
    assert await seconds(decoder, data) == pytest.approx(2.0, abs=0.1)


async def test_S4_3_pcm_without_a_header_is_read_by_its_format(decoder: AudioDecoder) -> None:
    loud = b"\xff\xff" + tone().tobytes()  # begins like MP3

    assert await seconds(decoder, loud, PcmFormat()) == pytest.approx(2.0, abs=0.01)
    narrow = tone(8_000).tobytes()
    assert await seconds(decoder, narrow, PcmFormat(8_000)) == pytest.approx(2.0, abs=0.01)
    deep = b"".join(b"\0" + sample.tobytes() for sample in tone())
    assert await seconds(decoder, deep, PcmFormat(bits_per_sample=24)) > 1.9
    shallow = (tone() // 256 + 128).astype(np.uint8).tobytes()
    assert await seconds(decoder, shallow, PcmFormat(bits_per_sample=8)) > 1.9


async def test_S4_3_the_header_of_a_wav_beats_the_format(decoder: AudioDecoder) -> None:
    assert await seconds(decoder, wav(16_000), PcmFormat(48_000)) == pytest.approx(2.0, abs=0.02)


async def test_S4_4_a_wav_as_the_relay_wants_it_is_not_changed(decoder: AudioDecoder) -> None:
    loudest = np.array([-32_768, 32_767, -1, 0, 1], "<i2").tobytes()

    for pcm in (tone(24_000).tobytes(), loudest):
        assert await decoder.decode(wav_of(pcm)) == pcm
        assert await decoder.decode(pcm, PcmFormat(24_000)) == pcm


@pytest.mark.parametrize("size", [b"\0\0\0\0", b"\xff\xff\xff\xff"])
async def test_a_wav_that_was_streamed_or_cut_off_is_read_to_its_end(
    decoder: AudioDecoder, size: bytes
) -> None:
    whole = wav_of(tone(24_000).tobytes())
    streamed = whole[:40] + size + whole[44:]

    assert len(await decoder.decode(streamed)) == len(whole) - 44
    assert len(await decoder.decode(whole[:50_001])) == 49_956


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "empty"),
        (wav_of(b""), "empty"),
        (b"This is no audio at all.", "undecodable"),
        (b"RIFF\0\0\0\0WAVEjunk", "undecodable"),
        (b"OggS" + bytes(100), "undecodable"),
        (b"\x1a\x45\xdf\xa3" + bytes(100), "undecodable"),
        (encoded("mp4", "aac", movflags="frag_keyframe+empty_moov"), "unsupported"),
        (encoded("adts", "aac"), "unsupported"),
        (bytes(MAX_BYTES + 1), "too_long"),
    ],
)
async def test_S0_33_what_is_no_audio_is_refused(
    decoder: AudioDecoder, data: bytes, code: str
) -> None:
    with pytest.raises(AudioRejected) as refused:
        await decoder.decode(data)

    assert refused.value.code == code


async def test_eleven_minutes_are_too_long(decoder: AudioDecoder) -> None:
    with pytest.raises(AudioRejected, match="ten minutes"):
        await decoder.decode(wav_of(bytes(2 * 8_000 * 660), 8_000))


async def test_S0_33_what_unpacks_to_much_more_needs_little_memory(
    decoder: AudioDecoder,
) -> None:
    packed = silence(96_000, 8, 180)

    assert len(packed) < 200_000
    assert child.MEMORY < 4 * 8 * 96_000 * 180, "as floats it would not fit"
    assert len(await decoder.decode(packed)) == 180 * 48_000


def test_a_request_that_nobody_awaits_any_more_is_left_between_two_blocks() -> None:
    asked = iter([False, False, True, True])
    whole = wav_of(bytes(20 * child.BLOCK))

    assert len(child.decode(whole, None, lambda: next(asked))) == 2 * 2 * child.BLOCK


async def test_too_much_at_once_is_refused(
    decoder: AudioDecoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding, "MAX_WAITING_BYTES", 1_000_000)
    with pytest.raises(AudioRejected, match="busy"):
        await decoder.decode(bytes(1_000_001), PcmFormat())
    assert await seconds(decoder, wav()) > 1.9


async def test_broken_audio_costs_nobody_else_theirs(decoder: AudioDecoder) -> None:
    """Hundreds of mutations: refused or understood, and the next one is as before."""
    dice = random.Random(7)
    whole = [encoded("webm", "libopus"), encoded("ogg", "libopus"), wav()]
    whole += [encoded("flac", "flac"), encoded("mp3", "libmp3lame")]
    for data in whole:
        for _ in range(100):
            broken = bytearray(data[: dice.randrange(20, len(data))])
            for _ in range(dice.randrange(1, 20)):
                broken[dice.randrange(len(broken))] = dice.randrange(256)
            with suppress(AudioRejected):
                await decoder.decode(bytes(broken))
    assert await seconds(decoder, whole[0]) > 1.9


async def test_a_process_that_is_killed_is_replaced(decoder: AudioDecoder) -> None:
    await decoder.prepare()
    (worker,) = decoder._pool._workers
    assert worker.pid is not None
    os.kill(worker.pid, signal.SIGKILL)

    async with asyncio.timeout(30):
        while True:
            try:
                assert await seconds(decoder, wav()) > 1.9
            except AudioRejected:
                continue
            break


async def test_S2_11_the_mp3_of_an_answer_decodes(decoder: AudioDecoder) -> None:
    mp3 = await decoder.encode_mp3(tone(24_000).tobytes())

    assert len(mp3) < 24_000
    assert await seconds(decoder, mp3) == pytest.approx(2.0, abs=0.1)


async def test_S0_32_S4_26_nothing_is_written_to_the_disk(
    decoder: AudioDecoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    async with asyncio.TaskGroup() as group:
        for _ in range(50):
            _ = group.create_task(seconds(decoder, wav()))
    with pytest.raises(AudioRejected):
        await decoder.decode(b"OggS" + bytes(100))

    assert not list(tmp_path.iterdir())


def test_the_relay_itself_loads_no_codec() -> None:
    script = "import relay.audio.decoding, sys; print(*sorted(sys.modules))"
    loaded = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout.split()

    assert not {"numpy", "soundfile", "soxr"} & set(loaded)
