"""The local voice in whole sessions: it understands people, answers shortly, and nobody else."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from typing import Final

import pytest
import pytest_asyncio

from relay.app import App
from tests.components import needs, require
from tests.engines.cascade.recordings import prompt, prompt_names, prompt_texts, word_errors
from tests.parts.sounds import decoded, music, noise, silence
from tests.scenarios.speaking import local_voice, speaker
from tests.word_errors import level_words, plain_words

pytestmark = [
    pytest.mark.slow,
    needs("voice", "voice_llm", "human_recordings", "ffmpeg"),
    pytest.mark.asyncio(loop_scope="module"),
]

LONGEST_ANSWER: Final = 6.0
ADVERTISEMENT: Final = re.compile(r"api|key|openai|ollama|install|setting", re.IGNORECASE)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def app(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[App]:
    """One relay for all of them: its models load once."""
    async with local_voice(tmp_path_factory.mktemp("relay")) as made:
        yield made


def sentences() -> list[str]:
    """The prompts with four words or more and no figures."""
    texts = prompt_texts()
    names = [name for name in prompt_names() if not re.search(r"\d", texts[name])]
    return [name for name in names if len(plain_words(texts[name])) >= 4]


async def test_at_most_six_words_in_a_hundred_are_misunderstood(
    app: App, full: bool, record_property: Callable[[str, str], None]
) -> None:
    """Levelled: "I'm" is "I am", and the like. Hardly a sentence is taken for another language."""
    names, plain, level, words = sentences()[:: 1 if full else 3], 0, 0, 0
    lost: list[str] = []
    texts = prompt_texts()
    async with speaker(app, create_response=False) as client:
        for name in names:
            understood = await client.heard(prompt(name))
            lost += [] if understood else [name]
            plain += word_errors(plain_words(texts[name]), plain_words(understood))
            level += word_errors(level_words(texts[name]), level_words(understood))
            words += len(plain_words(texts[name]))

    wrong = {"plain": plain / words, "levelled": level / words}
    record_property("word errors", str(wrong))
    assert len(names) >= (193 if full else 65)
    assert words > (1500 if full else 500)
    assert wrong["plain"] <= 0.055, wrong
    assert wrong["levelled"] <= 0.045, wrong
    assert len(lost) <= max(1, 0.015 * len(names)), lost


async def test_sounds_that_are_no_speech_become_no_words(app: App, full: bool) -> None:
    seconds = 60 if full else 20
    sounds = {
        "silence": silence(seconds),
        **{kind: noise(kind, seconds, 1000) for kind in ("white", "pink", "hum")},
        **{kind: music(kind, seconds) for kind in ("chords", "drums", "both")},
    }
    understood = {}
    async with speaker(app, create_response=False) as client:
        for kind, pcm in sounds.items():
            understood[kind] = await client.heard(pcm)

    assert {kind: text for kind, text in understood.items() if text} == {}


FITS: Final = {
    "hello": r"hello|hi\b|good to|welcome|nice",
    "one-moment-please": r"time|here|wait|ready|hurry|rush",
    "queue-thankyou": r"welcome|pleasure|glad|any time",
    "please-try-again": r"again|repeat|another|rephrase|once more",
    "im-sorry": r"no problem|all right|alright|fine|worry|okay|no need|happens",
    "vm-sorry": r"again|differently|simpl|other words|another way|mean|clear|no problem|worry",
    "something-terribly-wrong": r"wrong|happen|what|sorry|help|tell me",
    "sorry-youre-having-problems": r"thank|kind|appreciate|all right|help",
    "tt-weasels": r"weasel|phone|happen|really|oh|sorry|more",
    "goodbye": r"bye|see you|take care|talk",
}
"""What counts as fitting an answer to each.

To somebody who did not understand (`vm-sorry`), saying the same once more fits too.
"""


async def test_at_least_eight_of_ten_answers_fit_what_was_said(
    app: App, record_property: Callable[[str, str], None]
) -> None:
    """Each answer is heard out, since the next one depends on what was heard of it."""
    told: dict[str, tuple[str, str, float]] = {}
    async with speaker(app) as client:
        for name in FITS:
            told[name] = await client.answer_to(prompt(name))
            await asyncio.sleep(told[name][2])

    record_property("conversation", str(told))
    answers = {name: answer for name, (_, answer, _) in told.items()}
    fit = {name for name in FITS if re.search(FITS[name], answers[name], re.IGNORECASE)}
    if answers["vm-sorry"] == answers["im-sorry"]:  # the one before, once more
        fit.add("vm-sorry")
    assert len(fit) >= 8, told
    assert max(seconds for _, _, seconds in told.values()) <= LONGEST_ANSWER
    assert [answer for _, answer, _ in told.values() if ADVERTISEMENT.search(answer)] == []


async def test_no_answer_is_long_or_an_advertisement(
    app: App, full: bool, record_property: Callable[[str, str], None]
) -> None:
    names = sentences()[:: 12 if full else 24]
    told: dict[str, tuple[str, float]] = {}
    async with speaker(app) as client:
        for name in names:
            _, answer, seconds = await client.answer_to(prompt(name))
            told[prompt_texts()[name]] = (answer, round(seconds, 1))

    record_property("answers", str(told))
    assert {said: one for said, one in told.items() if one[1] > LONGEST_ANSWER} == {}
    assert {said: one for said, one in told.items() if ADVERTISEMENT.search(one[0])} == {}


async def test_four_people_at_once_are_not_mixed_up(app: App) -> None:
    names = ["conf-onlyperson", "vm-nobodyavail", "ss-noservice", "agent-alreadyon"]
    texts = prompt_texts()

    async def talk(name: str) -> tuple[str, str, float]:
        async with speaker(app) as client:
            return await client.answer_to(prompt(name))

    async with asyncio.TaskGroup() as group:
        talks = {name: group.create_task(talk(name)) for name in names}

    for name, one in talks.items():
        said, heard = level_words(texts[name]), level_words(one.result()[0])
        assert word_errors(said, heard) <= len(said) // 4, (name, one.result())
        assert one.result()[1]


@pytest.mark.parametrize("language", ["spanish", "french", "italian"])
async def test_what_is_said_in_another_language_is_not_understood(app: App, language: str) -> None:
    folder = require(f"{language}_recordings")
    prompts = sorted(path for path in folder.glob("*.g722") if path.stat().st_size > 16_000)[:20]
    async with speaker(app, create_response=False) as client:
        understood = [await client.heard(decoded(str(path))) for path in prompts]

    assert sum(not text for text in understood) >= 16, understood
