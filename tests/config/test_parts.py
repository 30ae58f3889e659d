"""Which parts a cascade is made of, where they are, and which key goes there."""

from typing import Any

import pytest

from relay.config import Settings, SettingsError, local_settings, serve_settings
from relay.config.parts import (
    Endpoint,
    PartsPlan,
    http_url,
    llm_endpoint,
    missing_for_parts,
    plan_parts,
    stt_endpoint,
    tts_endpoint,
)

KEY = "sk-of-openai"
OWN = "sk-of-another"
OPENAI = "https://api.openai.com/v1"
OLLAMA = "http://127.0.0.1:11434"


def cascade(**more: Any) -> Settings:
    return Settings(**{"relay_engine": "cascade", **more})


# ---------------------------------------------------------------------------------- which parts


@pytest.mark.parametrize(
    ("given", "parts"),
    [
        ({}, ("local", "local", "local")),
        ({"openai_api_key": KEY}, ("openai", "openai", "openai")),
        ({"openai_base_url": "http://10.0.0.1/v1"}, ("openai", "openai", "openai")),
        ({"llm_base_url": "http://10.0.0.1/v1"}, ("local", "openai", "local")),
        ({"ollama_host": "10.0.0.1"}, ("local", "openai", "local")),
        ({"openai_api_key": KEY, "relay_stt": "local"}, ("local", "openai", "openai")),
        ({"openai_api_key": KEY, "relay_llm": "local"}, ("openai", "local", "openai")),
        ({"openai_api_key": KEY, "relay_tts": "azure"}, ("openai", "openai", "azure")),
        ({"relay_stt": "azure", "relay_tts": "elevenlabs"}, ("azure", "local", "elevenlabs")),
        ({"relay_llm": "local", "ollama_host": "10.0.0.1"}, ("local", "local", "local")),
        ({"relay_engine": "offline", "openai_api_key": KEY}, ("local", "openai", "local")),
        (
            {"relay_engine": "offline", "relay_stt": "openai", "relay_tts": "azure"},
            ("local", "local", "local"),
        ),
    ],
)
def test_what_is_set_decides_and_else_a_key_does(
    given: dict[str, Any], parts: tuple[str, str, str]
) -> None:
    plan = plan_parts(cascade(**given))

    assert (plan.stt, plan.llm, plan.tts) == parts
    assert plan.remote is (parts != ("local", "local", "local"))


def test_an_ollama_of_this_machine_answers_unless_something_else_is_asked_for() -> None:
    assert plan_parts(cascade(), OLLAMA) == PartsPlan("local", "openai", "local")
    assert plan_parts(cascade(relay_llm="local"), OLLAMA) == PartsPlan("local", "local", "local")


# ----------------------------------------------------------------------------------- fallbacks


@pytest.mark.parametrize(
    ("text", "fallbacks"),
    [
        ("", (None, None, None)),
        ("local", ("local", "local", "local")),
        ("stt=azure", ("azure", None, None)),
        ("llm=openai", (None, "openai", None)),
        (" stt=local , tts=elevenlabs ,", ("local", None, "elevenlabs")),
        ("local,tts=azure", ("local", "local", "azure")),
    ],
)
def test_a_fallback_is_for_all_parts_or_for_one(
    environ: Any, text: str, fallbacks: tuple[str | None, ...]
) -> None:
    environ(RELAY_ENGINE="cascade", RELAY_FALLBACK=text)
    plan = plan_parts(Settings())

    assert (plan.stt_fallback, plan.llm_fallback, plan.tts_fallback) == fallbacks


def test_a_remote_fallback_is_remote() -> None:
    assert plan_parts(cascade(relay_fallback="llm=openai")).remote
    assert not plan_parts(cascade(relay_fallback="local")).remote


# ------------------------------------------------------------------------- addresses and keys


def test_at_openai_each_part_has_its_usual_model_and_the_key() -> None:
    settings = cascade(openai_api_key=KEY)

    assert stt_endpoint(settings) == Endpoint(OPENAI, KEY, "gpt-4o-mini-transcribe")
    assert llm_endpoint(settings) == Endpoint(OPENAI, KEY, "gpt-4.1-mini")
    assert tts_endpoint(settings) == Endpoint(OPENAI, KEY, "gpt-4o-mini-tts")


def test_a_model_that_is_named_is_the_one_that_is_asked_for() -> None:
    settings = cascade(openai_api_key=KEY, llm_model="gpt-5")

    assert stt_endpoint(settings, "whisper-1").model == "whisper-1"
    assert llm_endpoint(settings).model == "gpt-5"
    assert tts_endpoint(settings, "tts-1").model == "tts-1"


@pytest.mark.parametrize(
    ("base", "key"),
    [
        ("https://api.openai.com/v1", KEY),
        ("https://api.openai.com/v2", KEY),
        ("https://api.openai.com:443/v1", KEY),
        ("https://API.openai.com/v1", KEY),
        ("http://api.openai.com/v1", ""),
        ("https://api.openai.com:8443/v1", ""),
        ("https://api.openai.com.example.org/v1", ""),
        ("https://openai.com/v1", ""),
        ("http://127.0.0.1:8000/v1", ""),
    ],
)
def test_openais_key_goes_to_its_own_origin_only(base: str, key: str) -> None:
    assert llm_endpoint(cascade(openai_api_key=KEY, llm_base_url=base)).key == key


def test_the_origin_is_that_of_the_base_url_whichever_it_is() -> None:
    own = {"openai_api_key": KEY, "openai_base_url": "wss://voice.example.org/v1"}
    there = "https://voice.example.org/v1"

    assert stt_endpoint(cascade(**own)) == Endpoint(there, KEY, "gpt-4o-mini-transcribe")
    assert llm_endpoint(cascade(**own)) == Endpoint(there, KEY, "")
    assert llm_endpoint(cascade(**own, llm_base_url=OPENAI)).key == ""


def test_another_server_gets_its_own_key_or_none() -> None:
    there = "https://models.example.org/v1"
    both = cascade(openai_api_key=KEY, llm_api_key=OWN, llm_base_url=there)

    assert llm_endpoint(both) == Endpoint(there, OWN, "")
    assert llm_endpoint(cascade(llm_base_url=there)) == Endpoint(there, "", "")
    assert llm_endpoint(cascade(openai_api_key=KEY, llm_api_key=OWN)).key == OWN


def test_an_ollama_gets_no_key_of_openais() -> None:
    named = cascade(openai_api_key=KEY, ollama_host="10.0.0.1", llm_model="llama3.2")

    assert llm_endpoint(named) == Endpoint("http://10.0.0.1:11434/v1", "", "llama3.2")
    assert llm_endpoint(cascade(), OLLAMA) == Endpoint(f"{OLLAMA}/v1", "", "")
    assert llm_endpoint(cascade(llm_base_url=OPENAI), OLLAMA).base_url == OPENAI


def test_transcription_may_have_a_key_of_its_own() -> None:
    settings = cascade(openai_api_key=KEY, whisper_api_key=OWN)

    assert stt_endpoint(settings).key == OWN
    assert (llm_endpoint(settings).key, tts_endpoint(settings).key) == (KEY, KEY)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1", "http://127.0.0.1:11434"),
        ("0.0.0.0", "http://127.0.0.1:11434"),  # noqa: S104 - as people write it
        ("0.0.0.0:8000", "http://127.0.0.1:8000"),
        (":8000", "http://127.0.0.1:8000"),
        ("localhost:1234", "http://localhost:1234"),
        ("http://box", "http://box:11434"),
        ("https://models.example.org", "https://models.example.org:443"),
        ("https://models.example.org/ollama/", "https://models.example.org:443/ollama"),
        ("[::1]", "http://[::1]:11434"),
        ("http://[::1]:8000", "http://[::1]:8000"),
    ],
)
def test_an_ollamas_address_is_read_as_ollama_does(environ: Any, text: str, address: str) -> None:
    environ(OLLAMA_HOST=text)

    assert Settings().ollama_host == address


@pytest.mark.parametrize(
    ("url", "http"),
    [
        ("wss://a.example.org/v1", "https://a.example.org/v1"),
        ("ws://127.0.0.1:1/v1", "http://127.0.0.1:1/v1"),
        ("https://ws.example.org/v1", "https://ws.example.org/v1"),
    ],
)
def test_the_realtime_address_has_an_http_side(url: str, http: str) -> None:
    assert http_url(url) == http


# ---------------------------------------------------------------------------- what is missing


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ({}, ()),
        ({"openai_api_key": KEY}, ()),
        ({"relay_stt": "openai"}, ("OPENAI_API_KEY", "transcriber")),
        ({"relay_llm": "openai"}, ("OPENAI_API_KEY", "responder")),
        ({"relay_tts": "openai"}, ("OPENAI_API_KEY", "synthesizer")),
        ({"relay_fallback": "llm=openai"}, ("OPENAI_API_KEY", "responder")),
        ({"relay_stt": "openai", "whisper_api_key": OWN}, ()),
        ({"relay_llm": "openai", "llm_api_key": OWN}, ()),
        ({"relay_llm": "openai", "llm_base_url": "http://10.0.0.1/v1"}, ()),
        ({"relay_llm": "openai", "ollama_host": "10.0.0.1"}, ()),
        (
            {"relay_stt": "openai", "ollama_host": "10.0.0.1"},
            ("OPENAI_API_KEY", "transcriber"),
        ),
        ({"relay_tts": "openai", "openai_base_url": "http://10.0.0.1/v1"}, ()),
        ({"relay_stt": "azure"}, ("AZURE_SPEECH_KEY and AZURE_SPEECH_REGION",)),
        ({"relay_tts": "azure", "azure_speech_key": OWN}, ("needs AZURE_SPEECH_REGION",)),
        ({"relay_fallback": "tts=azure"}, ("AZURE_SPEECH_KEY",)),
        (
            {"relay_stt": "azure", "azure_speech_key": OWN, "azure_speech_region": "westeurope"},
            (),
        ),
        ({"relay_tts": "elevenlabs"}, ("ELEVENLABS_API_KEY and ELEVENLABS_VOICE_ID",)),
        ({"relay_tts": "elevenlabs", "elevenlabs_api_key": OWN}, ("ELEVENLABS_VOICE_ID",)),
        ({"relay_tts": "elevenlabs", "elevenlabs_api_key": OWN, "tts_voice": "v"}, ()),
        (
            {"relay_fallback": "tts=elevenlabs", "elevenlabs_api_key": OWN, "tts_voice": "v"},
            ("ELEVENLABS_VOICE_ID",),
        ),
        ({"relay_engine": "offline", "relay_tts": "elevenlabs"}, ()),
        ({"relay_engine": "openai", "relay_tts": "elevenlabs"}, ()),
        ({"relay_engine": "echo", "relay_fallback": "local"}, ("RELAY_FALLBACK",)),
    ],
)
def test_what_a_chosen_part_lacks_is_named(given: dict[str, Any], missing: tuple[str, ...]) -> None:
    problems = list(missing_for_parts(cascade(**given)))

    assert len(problems) == (1 if missing else 0), problems
    for word in missing:
        assert word in problems[0]
    assert OWN not in "".join(problems)


def test_all_that_is_missing_is_named_at_once() -> None:
    given = cascade(relay_stt="azure", relay_llm="openai", relay_tts="elevenlabs")

    assert len(list(missing_for_parts(given))) == 3


def test_no_command_starts_with_a_part_that_lacks_its_key(environ: Any) -> None:
    environ(RELAY_ENGINE="cascade", RELAY_TTS="azure")
    environ(RELAY_STORE="sqlite", SUPABASE_JWT_SECRET="s" * 40)
    for start in (local_settings, serve_settings):
        with pytest.raises(SettingsError, match="AZURE_SPEECH_KEY"):
            start()
