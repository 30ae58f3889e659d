"""Piper: audible speech at 24 kHz that begins at once, a piece a sentence, of what can be said."""

import asyncio
import json
import wave
from contextlib import aclosing
from pathlib import Path

import pytest

from relay.parts.interfaces import SAMPLE_RATE, PartFailed, SynthesisRequest
from relay.parts.piper import LONGEST_TEXT, PiperSynthesizer, spoken
from tests.components import needs

np = pytest.importorskip("numpy", reason="the voice's packages are not installed")
pytest.importorskip("piper", reason="the voice's packages are not installed")

from relay.parts import piper_worker as worker  # noqa: E402 - they may be missing

SENTENCE = "That sounds like a lot to carry."


def seconds(pcm: bytes) -> float:
    return len(pcm) / 2 / SAMPLE_RATE


def loudness(pcm: bytes) -> float:
    """Root mean square of 16-bit samples."""
    return float(np.sqrt(np.mean(np.square(np.frombuffer(pcm, "<i2").astype(float)))))


def silence_before(pcm: bytes) -> float:
    """Seconds until the first sample above 2 % of full scale."""
    return int(np.argmax(np.abs(np.frombuffer(pcm, "<i2").astype(int)) > 650)) / SAMPLE_RATE


async def pieces_of(synthesizer: PiperSynthesizer, text: str, speed: float = 1.0) -> list[bytes]:
    request = SynthesisRequest(text, speed=speed, max_wait=60.0)
    return [piece async for piece in synthesizer.synthesize(request)]


class TestWhatIsRead:
    @pytest.mark.parametrize(
        ("written", "read"),
        [
            ("Hello,  you.\n", "Hello, you."),
            ("**Bold**, _slanted_ and `code`.", "Bold, slanted and code."),
            ("# Title\nText.", "Title. Text."),
            ("Buy:\n- milk\n- eggs, fresh\n3. bread", "Buy: milk. eggs, fresh. bread"),
            ("> quoted", "quoted"),
            ("Fine \U0001f600\ufe0f!", "Fine!"),
            ("See [the docs](https://example.com/a?b=c).", "See the docs."),
            ("Go to https://www.example.com/a/b?c=d now.", "Go to example.com now."),
            ("I am no OpenAI voice.", "I am no open A I voice."),
            ("It costs $5, is 20\u00b0 and 1 + 1.", "It costs $5, is 20\u00b0 and 1 + 1."),
            ("a\0b\u200bc\ud83dd", "a b c d"),
            ("[[h@l'oU]]", "h@l'oU"),
            ("cafe\u0301 \u4f60\u597d", "caf\u00e9 \u4f60\u597d"),
            ("", ""),
            ("  \n ", ""),
            ("... \u2014 !", ""),
            ("\U0001f600", ""),
        ],
    )
    def test_it_is_what_a_person_would_say(self, written, read):
        assert spoken(written) == read

    def test_a_text_is_cut_between_words(self):
        text = spoken("goal " * LONGEST_TEXT)
        assert LONGEST_TEXT - 5 <= len(text) <= LONGEST_TEXT
        assert set(text.split()) == {"goal"}

    def test_even_a_word_without_end_is_cut(self):
        assert len(spoken("a" * 9 * LONGEST_TEXT)) == LONGEST_TEXT


class TestClauses:
    def test_a_short_text_is_one(self):
        assert worker.clauses("One. Two, three.") == ["One. Two, three."]

    @pytest.mark.parametrize("text", ["One sentence. " * 40, "a clause, " * 50, "word " * 99])
    def test_a_long_one_is_parted_and_nothing_is_lost(self, text):
        parts = worker.clauses(text)
        assert all(0 < len(part) <= worker.MOST_CHARACTERS for part in parts)
        assert " ".join(parts) == text.strip()

    def test_a_word_without_end_is_parted(self):
        assert "".join(worker.clauses("a" * 999)) == "a" * 999


class TestSound:
    def test_silence_before_the_first_sound_is_left_out(self):
        samples = np.zeros(22_050, dtype=np.float32)
        samples[11_025:] = 0.5
        kept = worker.without_lead(samples, 22_050)
        assert len(kept) == 11_025 + 22_050 * worker.LEAD_MS // 1000

    def test_silence_alone_is_nothing(self):
        assert len(worker.without_lead(np.zeros(999, dtype=np.float32), 22_050)) == 0

    def test_pitch_and_length_survive_the_change_of_rate(self):
        """A second of a 441 Hz tone at 22,050 Hz is one at 24 kHz afterwards."""
        tone = 0.5 * np.sin(np.arange(22_050) * 2 * np.pi * 441 / 22_050)
        samples = np.frombuffer(worker.as_pcm(tone.astype(np.float32), 22_050), "<i2")
        assert abs(len(samples) - SAMPLE_RATE) <= 1
        assert abs(int(np.argmax(np.abs(np.fft.rfft(samples)))) - 441) <= 1

    def test_too_loud_is_cut_off_instead_of_turned_over(self):
        loud = np.array([2.0, -2.0], dtype=np.float32)
        assert np.frombuffer(worker.as_pcm(loud, SAMPLE_RATE), "<i2").tolist() == [32767, -32767]


class TestFindingAVoice:
    def fetched(self, name: str) -> Path:
        return Path("fetched", name)

    def test_none_is_the_packaged_one(self):
        assert worker.find_voice("", self.fetched).name == "en_US-joe-medium.onnx"

    def test_a_file_and_a_folder_may_be_named(self, tmp_path):
        (tmp_path / "some.onnx").touch()
        for named in (tmp_path, tmp_path / "some.onnx"):
            assert worker.find_voice(str(named), self.fetched) == tmp_path / "some.onnx"

    def test_a_name_is_fetched(self):
        assert worker.find_voice("en_US-amy-low", self.fetched) == Path("fetched/en_US-amy-low")

    @pytest.mark.parametrize("missing", ["no/such/folder", "missing.onnx"])
    def test_a_path_that_is_not_there_is_not_fetched(self, missing, tmp_path):
        with pytest.raises(FileNotFoundError):
            worker.find_voice(missing, self.fetched)
        with pytest.raises(FileNotFoundError):
            worker.find_voice(str(tmp_path), self.fetched)  # it is empty

    def test_what_is_fetched_stays_and_half_of_it_does_not(self, tmp_path, monkeypatch):
        from piper import download_voices  # noqa: PLC0415 - it may be missing

        def broken(name, folder):
            (folder / f"{name}.onnx").write_bytes(b"half")
            raise OSError("no network")

        def whole(name, folder):
            (folder / f"{name}.onnx").write_bytes(b"model")
            (folder / f"{name}.onnx.json").write_bytes(b"{}")

        monkeypatch.setattr(Path, "home", lambda: tmp_path)
        monkeypatch.setattr(download_voices, "download_voice", broken)
        with pytest.raises(OSError, match="no network"):
            worker.fetch_voice("en_US-amy-low")
        monkeypatch.setattr(download_voices, "download_voice", whole)
        assert worker.fetch_voice("en_US-amy-low").read_bytes() == b"model"
        monkeypatch.setattr(download_voices, "download_voice", broken)
        assert worker.fetch_voice("en_US-amy-low").read_bytes() == b"model"


@pytest.mark.slow
@needs("voice")
class TestSpeaking:
    async def test_a_sentence_is_audible_begins_at_once_and_takes_as_long_as_saying_it(self):
        synthesizer = PiperSynthesizer()
        await synthesizer.prepare()
        assert synthesizer.name == synthesizer.found["voice"] == "en_US-joe-medium"
        (pcm,) = await pieces_of(synthesizer, SENTENCE)
        assert 1.3 < seconds(pcm) < 2.6
        assert loudness(pcm) > 1000
        assert silence_before(pcm) < 0.05
        assert len(pcm) % 2 == 0
        await synthesizer.aclose()

    async def test_each_sentence_is_a_piece_and_speed_changes_the_length(self):
        synthesizer = PiperSynthesizer()
        pieces = await pieces_of(synthesizer, f"{SENTENCE} What weighs on you the most?")
        assert len(pieces) == 2
        slow, fast = [
            sum(map(seconds, await pieces_of(synthesizer, SENTENCE, speed))) for speed in (0.5, 2.0)
        ]
        assert 2.0 < slow / fast < 5.0
        await synthesizer.aclose()

    async def test_every_answer_fits_into_six_seconds(self):
        """The longest of those that are written: 15 words."""
        text = "Why did the clock see a coach? It wanted to find more time, my friend."
        synthesizer = PiperSynthesizer()
        assert sum(map(seconds, await pieces_of(synthesizer, text))) < 6.0
        await synthesizer.aclose()

    @pytest.mark.parametrize("text", ["", " \n ", "\U0001f600", "---"])
    async def test_nothing_to_say_starts_nothing(self, text):
        synthesizer = PiperSynthesizer()
        assert await pieces_of(synthesizer, text) == []
        assert synthesizer.found == {}
        await synthesizer.aclose()

    async def test_any_text_is_survived(self):
        synthesizer = PiperSynthesizer()
        for text in (
            "Gr\u00fc\u00dfe, \u4f60\u597d!",
            "<voice>&amp;",
            "[[x]] a\0b",
            "%n %s \\",
            "9" * 50,
        ):
            await pieces_of(synthesizer, text)
        assert await pieces_of(synthesizer, SENTENCE)
        await synthesizer.aclose()

    async def test_many_at_once_do_not_mix_their_words(self):
        synthesizer = PiperSynthesizer(workers=2)
        long = " ".join([SENTENCE] * 3)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(pieces_of(synthesizer, t)) for t in (SENTENCE, long) * 3]
        assert [len(task.result()) for task in tasks] == [1, 3] * 3
        await synthesizer.aclose()

    async def test_who_leaves_stops_it(self):
        synthesizer = PiperSynthesizer()
        request = SynthesisRequest(" ".join([SENTENCE] * 50), max_wait=60.0)
        async with aclosing(synthesizer.synthesize(request)) as pieces:
            await anext(pieces)
        async with asyncio.timeout(15):  # the other 49 would take longer on a loaded machine
            assert await pieces_of(synthesizer, "Yes.")
        await synthesizer.aclose()

    async def test_a_closed_synthesizer_refuses(self):
        synthesizer = PiperSynthesizer()
        await synthesizer.aclose()
        with pytest.raises(PartFailed, match="closed"):
            await pieces_of(synthesizer, SENTENCE)

    async def test_a_voice_that_is_not_there_says_so(self):
        synthesizer = PiperSynthesizer("/nowhere/voice.onnx")
        assert synthesizer.name == "voice"
        with pytest.raises(
            PartFailed, match="the file or folder that TTS_VOICE names does not exist"
        ):
            await synthesizer.prepare()
        await synthesizer.aclose()


def test_a_request_that_has_been_cancelled_makes_no_more_sound():
    class Voice:
        config = type("Config", (), {"length_scale": 1.0})
        made: list[str] = []  # noqa: RUF012 - one test's

        def synthesize(self, text, manner):
            self.made.append(json.dumps(text))
            yield type("Chunk", (), {"audio_float_array": np.ones(9), "sample_rate": 24_000})

    text = "A clause of words, " * 40
    assert list(worker.speak(Voice(), text, 1.0, lambda: bool(Voice.made))) == []
    assert len(Voice.made) == 1


def test_the_readmes_recording_is_short_quiet_around_and_of_the_right_form():
    file = Path(__file__).parents[2] / "docs" / "hello.wav"
    assert file.stat().st_size <= 200_000
    with wave.open(str(file)) as recording:
        assert (recording.getframerate(), recording.getnchannels(), recording.getsampwidth()) == (
            SAMPLE_RATE,
            1,
            2,
        )
        pcm = recording.readframes(recording.getnframes())
    assert 2.0 < seconds(pcm) < 4.0
    edge = SAMPLE_RATE // 4 * 2
    assert loudness(pcm[:edge]) == loudness(pcm[-edge:]) == 0
    assert loudness(pcm) > 1000
