"""The parts put together: which for which settings, whose key goes where, and what is missing."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from structlog.testing import capture_logs

import relay.parts
from relay import voice
from relay.config import Settings
from relay.parts.interfaces import (
    SAMPLE_RATE,
    PartFailed,
    Parts,
    Responder,
    SpeechStarted,
    SpeechStopped,
    Synthesizer,
    Transcriber,
)
from relay.parts.simple import tone
from relay.parts.whisper import WhisperTranscriber
from relay.voice import (
    HOW_TO_INSTALL,
    VoiceNotInstalled,
    find_ollama,
    has_language_model,
    is_small,
    make_parts,
    missing_voice,
    parts_or_echo,
)
from tests.components import needs
from tests.parts.asking import answered, heard, spoken
from tests.parts.doubles.double import Fault, serving
from tests.parts.doubles.ollama import MODEL, OllamaDouble, ollama
from tests.parts.doubles.openai_api import KEY, Answer, openai_api

if missing_voice() is None:  # without the extra, `needs("voice")` says so
    from tests.engines.cascade.recordings import prompt


def cascade(**more: Any) -> Settings:
    return Settings(**{"relay_engine": "cascade", **more})


@asynccontextmanager
async def put_together(settings: Settings, found: str | None = None) -> AsyncIterator[Parts]:
    parts = make_parts(settings, found)
    try:
        yield parts
    finally:
        await parts.aclose()


def kinds(*parts: Transcriber | Responder | Synthesizer) -> list[str]:
    return [type(part).__name__ for part in parts]


# ------------------------------------------------------------------------- what is not installed


@pytest.fixture
def not_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a process that has not loaded the speech detector yet."""
    monkeypatch.delitem(sys.modules, "relay.parts.silero", raising=False)
    monkeypatch.delattr(relay.parts, "silero", raising=False)


@pytest.mark.parametrize("library", ["onnxruntime", "soxr", "numpy", "faster_whisper"])
def test_without_a_library_the_reason_names_it_and_says_what_to_do(
    library: str, not_loaded: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    reason = missing_voice()

    assert reason is not None
    assert library in reason
    assert HOW_TO_INSTALL in reason
    with pytest.raises(VoiceNotInstalled, match="make run"):
        make_parts(cascade())


@needs("voice")
def test_a_model_that_is_not_there_is_told_too(
    not_loaded: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from relay.parts import silero  # noqa: PLC0415 - only with the extra

    monkeypatch.setattr(silero, "MODEL_FILE", "assets/another.onnx")

    assert "another.onnx" in str(missing_voice())


def test_remote_parts_too_need_the_detector_of_turns(
    not_loaded: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(VoiceNotInstalled):
        make_parts(cascade(openai_api_key=KEY))


async def test_where_the_voice_is_missing_the_echo_answers_and_the_log_says_why(
    not_loaded: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "soxr", None)
    with capture_logs() as lines:
        parts = parts_or_echo(cascade())

    assert parts.name == "echo"
    (line,) = lines
    assert line["event"] == "voice unavailable; the echo answers"
    assert "soxr" in line["reason"]


def test_the_hint_names_this_project(pytestconfig: pytest.Config) -> None:
    project = (pytestconfig.rootpath / "pyproject.toml").read_text()
    name = project.split('name = "')[1].split('"')[0]

    assert f"pip install '{name}[voice]'" in HOW_TO_INSTALL


# ------------------------------------------------------------------ which parts for which settings

AZURE = {"azure_speech_key": "k", "azure_speech_region": "westeurope"}


@needs("voice")
@pytest.mark.parametrize(
    ("given", "made", "names"),
    [
        (
            {"openai_api_key": KEY},
            ["OpenAITranscriber", "OpenAIResponder", "OpenAISynthesizer"],
            ["gpt-4o-mini-transcribe", "gpt-4.1-mini", "gpt-4o-mini-tts"],
        ),
        (
            {"relay_engine": "offline", "openai_api_key": KEY, "llm_model": "gpt-5"},
            ["WhisperTranscriber", "OpenAIResponder", "PiperSynthesizer"],
            ["whisper-tiny.en", "gpt-5", "en_US-joe-medium"],
        ),
        (
            {**AZURE, "relay_stt": "azure", "relay_tts": "azure", "relay_llm": "local"},
            ["AzureTranscriber", "LookupResponder", "AzureSynthesizer"],
            ["azure-speech", None, "azure-neural"],
        ),
        (
            {"relay_tts": "elevenlabs", "elevenlabs_api_key": "k", "tts_model": "eleven_v3"},
            ["WhisperTranscriber", "LookupResponder", "ElevenLabsSynthesizer"],
            ["whisper-tiny.en", None, "eleven_v3"],
        ),
        (
            {"stt_model": "small.en", "tts_voice": "en_US-amy-low", "ollama_host": "10.0.0.1"},
            ["WhisperTranscriber", "OpenAIResponder", "PiperSynthesizer"],
            ["small.en", None, "en_US-amy-low"],
        ),
    ],
    ids=["a key", "offline with a key", "Azure", "ElevenLabs", "named local models"],
)
async def test_the_parts_are_those_of_the_settings(
    given: dict[str, Any], made: list[str], names: list[str | None]
) -> None:
    async with put_together(cascade(**given)) as parts:
        found = (parts.transcriber, parts.make_responder(), parts.synthesizer)

        assert kinds(*found) == made
        given_names = [parts.transcriber.name, found[1].name, parts.synthesizer.name]
        for part_name, name in zip(given_names, names, strict=True):
            assert name in (None, part_name)


@needs("voice")
async def test_local_parts_cost_nothing_and_remote_ones_are_billed() -> None:
    async with put_together(cascade(relay_llm="local")) as parts:
        assert not parts.billed
        assert parts.name == "cascade"
    async with put_together(cascade(openai_api_key=KEY, system_prompt="Be kind.")) as parts:
        assert parts.billed
        assert parts.instructions == "Be kind."


@needs("voice")
async def test_nothing_is_started_before_it_is_asked_for() -> None:
    async with put_together(Settings(relay_engine="offline", relay_llm="local")) as parts:
        assert parts.name == "offline"
        assert [getattr(part, "device", "") for part in parts.everything] == [""] * len(
            parts.everything
        )


@needs("voice")
async def test_topics_alone_answer_where_there_is_no_language_model(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(voice, "has_language_model", lambda: False)
    async with put_together(cascade(relay_llm="local")) as parts:
        assert parts.make_responder().name == "topics"
        assert parts.resources == []


@needs("voice", "voice_llm")
async def test_sessions_share_the_language_model_and_not_the_topics() -> None:
    assert has_language_model()
    async with put_together(cascade(relay_llm="local")) as parts:
        first, second = parts.make_responder(), parts.make_responder()

        assert first is not second
        assert first.name.startswith("SmolLM2")
        assert len(parts.resources) == 1


# -------------------------------------------------------------------------- whose key goes where


@needs("voice")
async def test_each_key_goes_to_its_own_origin_only() -> None:
    async with openai_api() as (speech, url), ollama() as (text, elsewhere):
        text.answer_with = Answer("Rome.")
        settings = cascade(
            openai_api_key=KEY,
            openai_base_url=url,
            stt_model="gpt-4o-transcribe",
            llm_base_url=f"{elsewhere}/v1",
            llm_model=MODEL,
        )
        async with put_together(settings) as parts:
            assert "hertz" in await heard(parts.transcriber, tone(800))
            assert await answered(parts.make_responder(), "And Italy?") == "Rome."
            assert await spoken(parts.synthesizer, "Rome.")

    assert {headers["Authorization"] for headers in speech.headers} == {f"Bearer {KEY}"}
    assert len(speech.headers) == 2
    assert text.headers
    assert KEY not in str(text.headers)


@needs("voice")
async def test_a_text_model_with_a_key_of_its_own_is_shown_that_one() -> None:
    async with openai_api(key="sk-own") as (double, url):
        double.answer_with = Answer("Rome.")
        own = {"llm_base_url": url, "llm_api_key": "sk-own", "llm_model": "gpt-4o-mini"}
        async with put_together(cascade(openai_api_key=KEY, **own)) as parts:
            assert await answered(parts.make_responder(), "And Italy?") == "Rome."

    assert {headers["Authorization"] for headers in double.headers} == {"Bearer sk-own"}


# ------------------------------------------------------------------------------------ fallbacks


@needs("voice")
async def test_a_fallback_is_made_of_what_is_named_for_it() -> None:
    named = {"relay_fallback": "local", "stt_model": "whisper-1", "tts_model": "tts-1"}
    async with put_together(cascade(openai_api_key=KEY, **named)) as parts:
        found = (parts.transcriber, parts.make_responder(), parts.synthesizer)

        assert kinds(*found) == [
            *("FallbackTranscriber", "FallbackResponder", "FallbackSynthesizer"),
        ]
        assert [part.name for part in found] == ["whisper-1", "gpt-4.1-mini", "tts-1"]


@needs("voice")
async def test_a_part_is_no_fallback_of_itself() -> None:
    async with put_together(cascade(relay_fallback="local", relay_llm="local")) as parts:
        found = (parts.transcriber, parts.make_responder(), parts.synthesizer)

        assert kinds(*found) == ["WhisperTranscriber", "LookupResponder", "PiperSynthesizer"]


@needs("voice")
async def test_this_machine_speaks_where_the_provider_fails() -> None:
    async with openai_api() as (double, url):
        remote = {"openai_api_key": KEY, "openai_base_url": url, "relay_fallback": "tts=local"}
        async with put_together(cascade(**remote)) as parts:
            double.faults.append(Fault(status=500))
            local = await spoken(parts.synthesizer, "Good morning.")
            back = await spoken(parts.synthesizer, "Good morning.")
        async with put_together(cascade(**remote | {"relay_fallback": ""})) as parts:
            double.faults.append(Fault(status=500))
            with pytest.raises(PartFailed):
                await spoken(parts.synthesizer, "Good morning.")

    assert len(back) == len("Good morning.") * 20 * 48, "the double's tone"
    assert len(local) > SAMPLE_RATE // 2 != len(back)


# -------------------------------------------------------------------- an Ollama of this machine


@pytest.fixture
async def here(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[OllamaDouble]:
    """An Ollama where it is looked for."""
    async with ollama() as (double, url):
        monkeypatch.setattr(voice, "LOCAL_OLLAMA", url)
        yield double


async def test_an_ollama_of_this_machine_is_found_and_answers(here: OllamaDouble) -> None:
    here.answer_with = Answer("Rome.")
    settings = cascade(relay_stt="local")
    found = await find_ollama(settings)

    assert found == voice.LOCAL_OLLAMA
    if missing_voice() is None:
        async with put_together(settings, found) as parts:
            assert kinds(parts.make_responder()) == ["OpenAIResponder"]
            assert await answered(parts.make_responder(), "And Italy?") == "Rome."
        assert here.chats[0]["model"] == MODEL, "the first that it lists"


@pytest.mark.parametrize(
    "given",
    [
        {"relay_llm": "local"},
        {"relay_llm": "openai"},
        {"llm_base_url": "http://10.0.0.1/v1"},
        {"ollama_host": "10.0.0.1"},
        {"openai_api_key": KEY},
        {"relay_engine": "openai"},
        {"relay_engine": "echo"},
    ],
)
async def test_none_is_looked_for_where_something_else_is_asked_for(
    given: dict[str, Any], here: OllamaDouble
) -> None:
    assert await find_ollama(cascade(**given)) is None
    assert here.headers == []


async def test_where_none_runs_none_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(voice, "LOCAL_OLLAMA", "http://127.0.0.1:8")

    assert await find_ollama(cascade()) is None


@pytest.mark.parametrize("fault", [Fault(status=500), Fault(drop=True), Fault(wait=0.6)])
async def test_one_that_does_not_answer_as_it_should_is_none(
    fault: Fault, here: OllamaDouble
) -> None:
    here.faults += [fault, fault]  # aiohttp asks again where a connection is lost

    assert await find_ollama(cascade()) is None


@pytest.mark.parametrize("body", ['{"models": []}', '{"models": null}', "[]", "hello", "{}"])
async def test_one_without_a_model_and_another_program_are_none(
    body: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from aiohttp import web  # noqa: PLC0415 - for this test alone

    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(text=body)

    async with serving(OllamaDouble(), web.get("/api/tags", answer)) as url:
        monkeypatch.setattr(voice, "LOCAL_OLLAMA", url)
        assert await find_ollama(cascade()) is None


# ---------------------------------------------------------------------------------- all together


@needs("voice", "human_recordings", "ffmpeg")
async def test_a_session_hears_understands_answers_and_speaks() -> None:
    pcm = prompt("queue-thankyou") + bytes(SAMPLE_RATE * 2)
    async with put_together(Settings(relay_engine="offline", relay_llm="local")) as parts:
        events = parts.make_speech_detector().detect(pcm)
        started, stopped = events[0], events[-1]
        assert isinstance(started, SpeechStarted)
        assert isinstance(stopped, SpeechStopped)
        first, last = (at_ms * SAMPLE_RATE // 1000 * 2 for at_ms in (started.at_ms, stopped.at_ms))
        words = await heard(parts.transcriber, pcm[max(0, first - 14_400) : last + 14_400])
        reply = await answered(parts.make_responder(), words)
        said = await spoken(parts.synthesizer, reply, "marin")

    assert "thank you for your patience" in words.lower()
    assert reply.strip()
    assert len(said) > 2 * SAMPLE_RATE


@pytest.mark.parametrize(
    ("responder", "small"),
    [("topics", True), ("SmolLM2-135M-Instruct.Q4_1", True), ("llama3.2", False), ("", False)],
)
def test_the_page_calls_the_packaged_model_small(responder: str, small: bool) -> None:
    assert is_small(responder) is small


def test_the_language_of_the_users_reaches_whisper() -> None:
    assert WhisperTranscriber(language="de-CH")._language == "de"
    assert WhisperTranscriber()._language is None
