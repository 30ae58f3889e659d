"""The transcriber: what people say in English, and nothing for anything else."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from relay.parts.interfaces import PartFailed, TranscriptionRequest
from relay.parts.whisper import LONGEST_SECONDS, WhisperTranscriber
from tests.components import needs, require
from tests.engines.cascade.recordings import prompt, prompt_names, prompt_texts
from tests.parts import sounds
from tests.parts.loop_gaps import longest_gap
from tests.parts.sounds import SECOND, silence
from tests.word_errors import level_words, plain_words, word_errors

pytestmark = [needs("voice"), pytest.mark.asyncio(loop_scope="module")]

PERFECT = {
    "conf-onlyperson": "You are currently the only person in this conference.",
    "transfer": "Please hold while I try that extension.",
    "hello": "Hello.",
}
FOREIGN = ["spanish_recordings", "french_recordings", "italian_recordings", "russian_recordings"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def transcriber() -> AsyncIterator[WhisperTranscriber]:
    transcriber = WhisperTranscriber(device="cpu")
    await transcriber.prepare()
    yield transcriber
    await transcriber.aclose()


async def heard(transcriber: WhisperTranscriber, pcm: bytes, prompt: str | None = None) -> str:
    request = TranscriptionRequest(pcm, prompt=prompt, max_wait=600)
    return "".join([piece async for piece in transcriber.transcribe(request)])


async def test_it_tells_its_name_language_and_device(transcriber):
    assert transcriber.name == "whisper-tiny.en"
    assert transcriber.languages == ("en",)
    assert (transcriber.device, transcriber.fallback) == ("cpu", "")


@pytest.mark.slow
@needs("human_recordings", "ffmpeg")
class TestPeople:
    @pytest.mark.parametrize("name", PERFECT)
    async def test_sentences_come_with_capitals_and_full_stops(self, transcriber, name):
        assert await heard(transcriber, prompt(name)) == PERFECT[name]

    async def test_a_long_turn_is_written_down_to_its_end_piece_by_piece(self, transcriber):
        """Twenty-five seconds with pauses: a menu of an attendant."""
        request = TranscriptionRequest(prompt("basic-pbx-ivr-main"))
        pieces = [piece async for piece in transcriber.transcribe(request)]
        assert len(pieces) > 1
        said = level_words(prompt_texts()["basic-pbx-ivr-main"])
        assert word_errors(said, level_words("".join(pieces))) <= 0.2 * len(said)

    async def test_what_follows_the_longest_turn_is_left_out(self, transcriber):
        pcm = silence(LONGEST_SECONDS) + prompt("transfer")
        assert await heard(transcriber, pcm) == ""

    async def test_one_word_is_said_once(self, transcriber):
        """In a window of 10 s alone the model says it fourteen times."""
        assert level_words(await heard(transcriber, prompt("phonetic/w_p"))) == ["whiskey"]

    async def test_a_hint_spells_a_name(self, transcriber):
        pcm = prompt("demo-congrats")[: 7 * SECOND]
        assert "asterisk" in (await heard(transcriber, pcm, "Asterisk, PBX")).lower()


@pytest.mark.slow
class TestWhatIsNoSpeech:
    @pytest.mark.parametrize("seconds", [0, 0.05, 1, 12])
    async def test_silence(self, transcriber, seconds):
        assert await heard(transcriber, silence(seconds)) == ""

    @pytest.mark.parametrize("level", [30, 3000])
    @pytest.mark.parametrize("kind", ["white", "pink", "hum"])
    async def test_noise(self, transcriber, kind, level):
        assert await heard(transcriber, sounds.noise(kind, 5, level)) == ""

    @pytest.mark.parametrize("kind", ["chords", "drums", "both"])
    async def test_music(self, transcriber, kind):
        assert await heard(transcriber, sounds.music(kind, 8)) == ""

    @pytest.mark.parametrize("kind", ["click", "knock", "cough"])
    async def test_a_short_sound(self, transcriber, kind):
        assert await heard(transcriber, sounds.short(kind) + silence(1)) == ""

    @needs("music_recordings", "ffmpeg")
    @pytest.mark.slow
    async def test_recorded_music(self, transcriber):
        """Half a minute of each of five pieces, which the detector would not even pass on."""
        for name in sounds.recorded_music():
            assert await heard(transcriber, sounds.music_on_hold(name)[: 30 * SECOND]) == ""


def sentences_of(component: str) -> list[str]:
    """The prompts that are a sentence in English, and so in that language too."""
    folder, texts = require(component), prompt_texts()
    return [
        name
        for name in prompt_names()
        if len(plain_words(texts[name])) >= 4 and (folder / f"{name}.g722").exists()
    ]


@pytest.mark.slow
@needs("human_recordings", "ffmpeg")
@pytest.mark.parametrize("component", FOREIGN)
class TestOtherLanguages:
    async def test_a_sentence_is_not_understood_rather_than_invented(self, transcriber, component):
        folder = require(component)
        wrong = [
            name
            for name in ("conf-onlyperson", "transfer", "pbx-invalid", "vm-torerecord")
            if (folder / f"{name}.g722").exists()
            and await heard(transcriber, sounds.decoded(str(folder / f"{name}.g722")))
        ]
        assert wrong == []

    @pytest.mark.slow
    async def test_of_many_sentences_few_are_taken_for_english(self, transcriber, component, full):
        """The bounds were chosen by others: by the first of three, these are the second."""
        folder, names = require(component), sentences_of(component)[1 :: 3 if full else 9]
        assert len(names) > (50 if full else 16)
        taken = 0
        for name in names:
            taken += bool(await heard(transcriber, sounds.decoded(str(folder / f"{name}.g722"))))
        assert taken / len(names) <= 0.06


@pytest.mark.slow
class TestProcesses:
    async def test_it_works_without_preparation_and_ends_when_closed(self):
        fresh = WhisperTranscriber()
        assert fresh.device == ""
        assert await heard(fresh, silence(1)) == ""
        await fresh.aclose()
        with pytest.raises(PartFailed, match="transcriber unavailable: closed"):
            await heard(fresh, silence(1))

    async def test_a_card_that_is_not_there_is_told_once_and_the_processor_used(self, capsys):
        fresh = WhisperTranscriber(device="cuda")
        await fresh.prepare()
        assert await heard(fresh, silence(1)) == ""
        assert fresh.device in ("cpu", "cuda")
        assert (fresh.fallback == "") == (fresh.device == "cuda")
        told = capsys.readouterr().out.count("transcriber computes on the processor")
        assert told == (fresh.device == "cpu")
        await fresh.aclose()

    async def test_a_model_that_is_not_there_is_unavailable(self, tmp_path):
        fresh = WhisperTranscriber(str(tmp_path))
        with pytest.raises(PartFailed, match=r"transcriber unavailable: .*STT_MODEL"):
            await fresh.prepare()
        assert fresh.name == tmp_path.name
        await fresh.aclose()

    async def test_turns_beyond_the_wait_are_refused_and_the_others_are_done(self, transcriber):
        pcm = silence(2)
        patient = [asyncio.create_task(heard(transcriber, pcm)) for _ in range(5)]
        while transcriber._pool.requests < 5:
            await asyncio.sleep(0)
        hasty = TranscriptionRequest(pcm, max_wait=0.001)
        with pytest.raises(PartFailed, match="transcriber busy: predicted wait"):
            _ = [piece async for piece in transcriber.transcribe(hasty)]
        assert await asyncio.gather(*patient) == [""] * 5

    async def test_a_cancelled_turn_makes_room(self, transcriber):
        turns = [asyncio.create_task(heard(transcriber, silence(2))) for _ in range(20)]
        while transcriber._pool.requests < 20:
            await asyncio.sleep(0)
        for turn in turns:
            turn.cancel()
        await asyncio.wait(turns)
        assert transcriber._pool.requests <= 1

    @needs("human_recordings", "ffmpeg")
    async def test_the_event_loop_turns_while_it_works(self, transcriber):
        """Every 20 ms of this process's CPU time, in one of five tries."""
        pcm = prompt("conf-invalid") * 3
        gaps: list[float] = []
        while len(gaps) < 5 and (not gaps or min(gaps) >= 0.020):
            gaps.append(await longest_gap(heard(transcriber, pcm)))
        assert min(gaps) < 0.020
