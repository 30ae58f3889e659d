"""Which engine the settings ask for."""

from pathlib import Path
from typing import Any

import aiohttp
import pytest
from pydantic import SecretStr

from relay import voice
from relay.app import make_engine, own_key, summary_writer
from relay.config import Settings
from relay.engines.openai import FixedKey
from relay.interfaces import EngineRequest
from relay.parts.simple import scripted_parts
from relay.realtime.endings import NO_PROVIDER_KEY, SessionRefused
from relay.simulator import SimulatorOptions, simulate
from relay.summary.extract import SpokenLine
from relay.voice import VoiceNotInstalled
from tests.components import needs
from tests.summary.chat_server import chat_server

CALL = EngineRequest("s1", "gpt-realtime-2.1", "ada")


def settings(tmp_path: Path, **more: Any) -> Settings:
    return Settings(relay_data_dir=tmp_path, relay_store="sqlite", **more)


@pytest.mark.parametrize(
    ("engine", "more", "billed"),
    [
        pytest.param("offline", {"relay_llm": "local"}, False, marks=needs("voice")),
        pytest.param("offline", {"openai_api_key": "sk-1"}, True, marks=needs("voice")),
        pytest.param("cascade", {"relay_llm": "local"}, False, marks=needs("voice")),
        pytest.param("cascade", {"openai_api_key": "sk-1"}, True, marks=needs("voice")),
        ("echo", {"openai_api_key": "sk-1"}, False),
        ("openai", {}, True),
    ],
)
async def test_the_engine_is_the_one_that_is_asked_for(
    tmp_path: Path, engine: str, more: dict[str, Any], billed: bool
) -> None:
    made = make_engine(settings(tmp_path, relay_engine=engine, **more))

    assert made.name == engine
    assert made.capabilities.billed is billed
    await made.aclose()


@needs("voice")
async def test_an_ollama_of_this_machine_costs_nothing(tmp_path: Path) -> None:
    asked = settings(tmp_path, relay_engine="cascade")
    made = make_engine(asked, ollama="http://127.0.0.1:11434")

    assert not made.capabilities.billed
    await made.aclose()


@pytest.mark.parametrize(
    ("base_url", "seconds"),
    [("https://api.openai.com/v1", 3600.0), ("https://elsewhere.example.org/v1", None)],
)
async def test_only_the_limit_of_openais_own_server_is_known(
    tmp_path: Path, base_url: str, seconds: float | None
) -> None:
    made = make_engine(settings(tmp_path, relay_engine="openai", openai_base_url=base_url))

    assert made.capabilities.max_session_seconds == seconds
    await made.aclose()


async def test_the_key_the_address_and_the_patience_are_the_settings(tmp_path: Path) -> None:
    async with await simulate(SimulatorOptions(parts=scripted_parts())) as simulator:
        asked = settings(
            tmp_path,
            relay_engine="openai",
            openai_api_key=SecretStr("sk-of-this-test"),
            openai_base_url=simulator.base_url,
            engine_timeout=3,
        )
        engine = make_engine(asked)
        peer = await engine.open(CALL)
        peer.close(1000, "")
        headers = simulator.headers[-1]

    assert headers["authorization"] == "Bearer sk-of-this-test"


async def test_S3_15_a_vaults_key_comes_before_the_environments(tmp_path: Path) -> None:
    async with await simulate(SimulatorOptions(parts=scripted_parts())) as simulator:
        asked = settings(
            tmp_path,
            relay_engine="openai",
            openai_api_key=SecretStr("sk-environment"),
            openai_base_url=simulator.base_url,
        )
        peer = await make_engine(asked, FixedKey("sk-vault")).open(CALL)
        peer.close(1000, "")
        headers = simulator.headers[-1]

    assert own_key(asked) == "sk-environment"
    assert own_key(settings(tmp_path)) == ""
    assert headers["authorization"] == "Bearer sk-vault"


async def test_S3_9_without_a_key_the_engine_refuses(tmp_path: Path) -> None:
    engine = make_engine(settings(tmp_path, relay_engine="openai"))
    with pytest.raises(SessionRefused) as refused:
        await engine.open(CALL)

    assert refused.value.ending is NO_PROVIDER_KEY


async def test_without_the_extra_the_echo_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(*_: object) -> None:
        raise VoiceNotInstalled("the voice is not installed")

    monkeypatch.setattr(voice, "make_parts", missing)
    engine = make_engine(settings(tmp_path, relay_engine="offline"))

    assert engine.name == "echo"
    await engine.aclose()


@pytest.mark.parametrize(
    ("more", "shown"),
    [
        ({}, "Bearer sk-provider-0001"),
        ({"relay_summary_key": "sk-own-0000000002"}, "Bearer sk-own-0000000002"),
        ({"openai_base_url": "https://elsewhere.example.org/v1"}, None),
    ],
    ids=["the provider's own server", "a key of its own", "somebody else's server"],
)
async def test_the_text_model_is_the_one_that_is_named_and_gets_no_foreign_key(
    tmp_path: Path, more: dict[str, Any], shown: str | None
) -> None:
    async with chat_server() as server, aiohttp.ClientSession() as http:
        given = {
            "openai_api_key": "sk-provider-0001",
            "openai_base_url": server.url,
            "relay_summary_url": server.url,
            "relay_summary_model": "small-model",
        }
        writer = summary_writer(settings(tmp_path, **(given | more)), http)
        assert writer is not None
        assert (await writer.write([SpokenLine("learner", "Hello.")])).main_topics == ["knee"]
        assert summary_writer(settings(tmp_path), http) is None
    assert server.asked[0]["model"] == "small-model"
    assert server.given[0].get("authorization") == shown
