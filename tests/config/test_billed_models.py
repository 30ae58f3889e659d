"""Which models may cost money: those of servers that are given a key."""

from typing import Any

import pytest

from relay.config import Settings
from relay.config.parts import (
    AZURE_STT,
    AZURE_TTS,
    ELEVENLABS_TTS,
    FIRST_LISTED,
    billed_models,
)
from relay.parts.azure import AzureSynthesizer, AzureTranscriber
from relay.parts.elevenlabs import ElevenLabsSynthesizer
from relay.parts.openai_client import OpenAIClient
from relay.parts.openai_llm import OpenAIResponder
from relay.realtime.billing.pricing import Prices

KEY = {"openai_api_key": "sk-1"}
AZURE = {"azure_speech_key": "k", "azure_speech_region": "westeurope"}
DEFAULTS = {"gpt-4o-mini-transcribe", "gpt-4.1-mini", "gpt-4o-mini-tts"}


def billed(ollama: str | None = None, **given: Any) -> frozenset[str]:
    return billed_models(Settings(**{"relay_engine": "cascade", **given}), ollama)


@pytest.mark.parametrize(
    ("given", "models"),
    [
        ({}, set()),
        (KEY, DEFAULTS),
        ({**KEY, "relay_engine": "offline"}, {"gpt-4.1-mini"}),
        ({**KEY, "relay_engine": "offline", "relay_llm": "local"}, set()),
        (
            {**KEY, "stt_model": "whisper-1", "llm_model": "gpt-4o", "tts_model": "tts-1"},
            {"whisper-1", "gpt-4o", "tts-1"},
        ),
        ({"openai_base_url": "http://box:8000/v1", "llm_model": "qwen"}, set()),
        ({"ollama_host": "http://box:11434", "llm_model": "qwen"}, set()),
        ({"llm_base_url": "https://x.test/v1", "llm_model": "qwen"}, set()),
        ({"llm_base_url": "https://x.test/v1", "llm_model": "q", "llm_api_key": "k"}, {"q"}),
        ({"llm_base_url": "https://x.test/v1", "llm_api_key": "k"}, {FIRST_LISTED}),
        ({"relay_stt": "azure", "relay_tts": "azure", **AZURE}, {"azure-speech", "azure-neural"}),
        ({"relay_tts": "elevenlabs", "elevenlabs_api_key": "k"}, {"eleven_flash_v2_5"}),
    ],
)
def test_the_models_of_providers_are_billed(given: dict[str, Any], models: set[str]) -> None:
    assert billed(**given) == models


def test_an_ollama_that_was_found_is_free() -> None:
    assert billed("http://127.0.0.1:11434", llm_model="qwen") == frozenset()


def test_parts_that_take_over_are_billed_too() -> None:
    spare = {"relay_stt": "local", "relay_tts": "local", "relay_llm": "local"}
    fallback = {"relay_fallback": "stt=openai,tts=azure", **AZURE}
    assert billed(**KEY, **spare, **fallback) == {"gpt-4o-mini-transcribe", "azure-neural"}
    assert billed(**KEY, relay_fallback="local") == DEFAULTS


async def test_the_names_are_those_that_the_parts_give_themselves() -> None:
    heard, spoken = AzureTranscriber("k", "r", "en"), AzureSynthesizer("k", "r")
    eleven = ElevenLabsSynthesizer("k", "v")
    assert (heard.name, spoken.name, eleven.name) == (AZURE_STT, AZURE_TTS, ELEVENLABS_TTS)
    assert OpenAIResponder(OpenAIClient("https://x.test/v1", "k"), "").name == FIRST_LISTED


@pytest.mark.parametrize("model", sorted({*DEFAULTS, AZURE_STT, AZURE_TTS, ELEVENLABS_TTS}))
def test_what_is_used_without_being_named_has_a_price(model: str) -> None:
    assert Prices().find(model) is not None
