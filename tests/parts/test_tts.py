"""The eSpeak synthesizer: audible speech at 24 kHz, in ten voices, one call at a time."""

import asyncio
import threading
from contextlib import suppress

import pytest

from relay.parts.interfaces import SAMPLE_RATE, PartFailed
from relay.parts.responder import NOT_CAUGHT
from tests.components import needs

with suppress(ImportError):  # without the extra, `needs("voice")` says so
    import numpy as np

    from relay.parts import tts as speech
    from relay.parts.tts import (
        LONGEST_TEXT,
        MOST_TEXTS,
        SPELLINGS,
        VOICES,
        EspeakSynthesizer,
        render,
        spelled_out,
    )

pytestmark = needs("voice")

OPENAI_VOICES = ["alloy", "ash", "ballad", "cedar", "coral"]
OPENAI_VOICES += ["echo", "marin", "sage", "shimmer", "verse"]
SENTENCE = "A goal is a good place to start."


def seconds(pcm: bytes) -> float:
    return len(pcm) / 2 / SAMPLE_RATE


def loudness(pcm: bytes) -> float:
    """Root mean square of 16-bit samples."""
    return float(np.sqrt(np.mean(np.square(np.frombuffer(pcm, "<i2").astype(float)))))


@pytest.mark.parametrize("voice", OPENAI_VOICES)
async def test_a_sentence_is_audible_and_takes_as_long_as_saying_it(voice):
    synthesizer = EspeakSynthesizer()
    pcm = await synthesizer.synthesize(SENTENCE, voice)
    await synthesizer.aclose()
    assert 1.0 < seconds(pcm) < 4.0
    assert loudness(pcm) > 1000
    assert len(pcm) % 2 == 0


def test_every_voice_of_the_provider_sounds_different():
    assert sorted(VOICES) == OPENAI_VOICES
    assert len({(timbre.name, timbre.rate, timbre.pitch) for timbre in VOICES.values()}) == 10


def test_the_library_is_asked_for_the_voice_and_an_unknown_one_is_alloy(monkeypatch):
    asked = []

    class Library:
        def say(self, text, timbre):
            asked.append(timbre)
            return bytes(4410), 22050

    monkeypatch.setattr(speech, "_espeak", Library)
    for voice in ("marin", "voice_1234", ""):
        render("Hello.", voice)
    assert asked == [VOICES["marin"], VOICES["alloy"], VOICES["alloy"]]


def test_pitch_and_length_survive_the_change_of_rate(monkeypatch):
    """A second of a 441 Hz tone at the library's 22,050 Hz is one at 24 kHz afterwards."""
    tone = (8000 * np.sin(np.arange(22050) * 2 * np.pi * 441 / 22050)).astype("<i2").tobytes()

    class Library:
        def say(self, text, timbre):
            return tone, 22050

    monkeypatch.setattr(speech, "_espeak", Library)
    samples = np.frombuffer(render("Tone.", "alloy"), "<i2")
    assert abs(len(samples) - SAMPLE_RATE) <= 1
    assert abs(int(np.argmax(np.abs(np.fft.rfft(samples)))) - 441) <= 1


async def test_many_at_once_do_not_mix_their_words():
    """Two synthesizers, as two engines have, share the one library."""
    long = " ".join([SENTENCE] * 4)
    alone = {text: seconds(render(text, "alloy")) for text in (SENTENCE, long)}
    synthesizers = [EspeakSynthesizer(), EspeakSynthesizer()]
    texts = [SENTENCE, long] * 10
    spoken_at_once = await asyncio.gather(
        *(synthesizers[i % 3 % 2].synthesize(text, "alloy") for i, text in enumerate(texts))
    )
    for text, pcm in zip(texts, spoken_at_once, strict=True):
        assert seconds(pcm) == pytest.approx(alone[text], rel=0.1)
    for synthesizer in synthesizers:
        await synthesizer.aclose()


@pytest.mark.parametrize("text", ["", " \n ", "\0"])
async def test_nothing_to_say_is_no_sound(text):
    synthesizer = EspeakSynthesizer()
    assert await synthesizer.synthesize(text, "alloy") == b""
    await synthesizer.aclose()


@pytest.mark.parametrize("text", ["Grüße, 你好!", "<voice>&amp;", "a\0b", "[[h@l'oU]]", "\ud83d"])
async def test_any_text_is_survived(text):
    synthesizer = EspeakSynthesizer()
    assert isinstance(await synthesizer.synthesize(text, "alloy"), bytes)
    assert seconds(await synthesizer.synthesize(SENTENCE, "alloy")) > 1
    await synthesizer.aclose()


class TestWhatIsRead:
    def test_names_are_spelled_out_as_people_say_them(self):
        text = spelled_out(
            "Set OPENAI_API_KEY, or point OPENAI_BASE_URL at LocalAI on /v1/realtime."
        )
        assert text == (
            "Set open A I, A P I key, or point open A I, base U R L at local A I "
            "on the real time protocol."
        )

    def test_no_name_is_left_that_would_be_read_sign_by_sign(self):
        for text in NOT_CAUGHT:
            assert not set("_/") & set(spelled_out(text))
        assert all(said == spelled_out(said) for _, said in SPELLINGS)

    def test_a_text_is_cut_between_words(self):
        text = spelled_out("goal " * LONGEST_TEXT)
        assert LONGEST_TEXT - 5 <= len(text) <= LONGEST_TEXT
        assert set(text.split()) == {"goal"}

    def test_even_a_word_without_end_is_cut(self):
        assert len(spelled_out("a" * 3 * LONGEST_TEXT)) == LONGEST_TEXT


class TestBounds:
    async def test_one_text_too_many_is_refused_and_room_comes_back(self, monkeypatch):
        go_on = threading.Event()

        class Slow:
            def say(self, text, timbre):
                assert go_on.wait(30)
                return bytes(4410), 22050

        monkeypatch.setattr(speech, "_espeak", Slow)
        synthesizer = EspeakSynthesizer()
        waiting = [
            asyncio.create_task(synthesizer.synthesize("Hm.", "alloy")) for _ in range(MOST_TEXTS)
        ]
        await asyncio.sleep(0)
        with pytest.raises(PartFailed, match="too many"):
            await synthesizer.synthesize("Hm.", "alloy")
        go_on.set()
        assert all(await asyncio.gather(*waiting))
        assert await synthesizer.synthesize("Hm.", "alloy")
        await synthesizer.aclose()

    async def test_a_closed_synthesizer_refuses(self):
        synthesizer = EspeakSynthesizer()
        await synthesizer.aclose()
        await synthesizer.aclose()
        with pytest.raises(PartFailed, match="closed"):
            await synthesizer.synthesize(SENTENCE, "alloy")

    async def test_a_library_that_fails_costs_one_text(self, monkeypatch):
        class Broken:
            def say(self, text, timbre):
                raise OSError("eSpeak NG answers 2")

        synthesizer = EspeakSynthesizer()
        with monkeypatch.context() as broken:
            broken.setattr(speech, "_espeak", Broken)
            with pytest.raises(PartFailed):
                await synthesizer.synthesize(SENTENCE, "alloy")
        assert seconds(await synthesizer.synthesize(SENTENCE, "alloy")) > 1
        await synthesizer.aclose()
