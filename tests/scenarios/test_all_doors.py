"""Every door at once in one process, on both listeners and on the old ports, over one engine."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from relay.audio.wav import wav_of
from relay.config.loading import contradictions
from relay.config.settings import Settings
from relay.parts.simple import Script
from relay.realtime.coaching.control import Command
from relay.voice import livekit_voice, one_off_parts
from tests.doors.services.test_whole_relay import SPEAK
from tests.doors.sessions.old_client import AUDIO
from tests.doors.socketio.chatting import chatting
from tests.scenarios.stage import (
    SPEECH,
    Stage,
    live_sessions,
    stage,
    token,
)

DOORS = ("openai", "browser", "sessions", "socketio", "services")
ADA = {"Authorization": f"Bearer {token('ada')}"}


@asynccontextmanager
async def all_doors(folder: Path, **settings: Any) -> AsyncIterator[Stage]:
    given = {
        "relay_doors": DOORS,
        "relay_open_doors": DOORS[2:],
        "sessions_port": 0,
        "socketio_port": 0,
        "services_port": 0,
        **settings,
    }
    async with stage(folder, Script(heard=["Hello."]), **given) as here:
        yield here


async def post(url: str, body: Any) -> tuple[int, Any]:
    async with aiohttp.ClientSession() as http, http.post(url, json=body, headers=ADA) as answer:
        return answer.status, await answer.json()


async def test_SX_1_SX_2_all_doors_answer_at_once_with_one_engine(tmp_path: Path) -> None:
    async with all_doors(tmp_path) as here:
        ports = here.app.http.door_ports
        assert set(ports) == set(DOORS[2:])
        async with (
            here.openai_client() as realtime,
            here.s3_client("bob") as browser,
            chatting(here) as chatter,
        ):
            await realtime.until("session.created")
            await browser.until("session.created")
            for number, base in enumerate((here.http, f"http://127.0.0.1:{ports['sessions']}")):
                made = {"sessionId": f"s-{number}"}
                assert (await post(f"{base}/api/session/create", made))[0] == 200
            await chatter.say("Good day.")
            await chatter.until("ai-response")
            doors = sorted(session.door for session in live_sessions(here.app))
            assert doors == ["browser", "openai", "sessions", "sessions", "socketio"]
            for base in (here.http, f"http://127.0.0.1:{ports['services']}"):
                status, answer = await post(f"{base}/ai/process-audio", SPEAK)
                assert status == 200
                assert answer["userText"] == "Hello."
            status, said = await post(f"{here.http}/api/session/s-0/audio", {"audioData": AUDIO})
            assert said["data"]["aiResponse"] == "You said: Hello."
            metrics = (await here.get("/metrics"))[1]

    for door in ("openai", "browser", "sessions", "socketio"):
        assert f'relay_sessions_started_total{{door="{door}"}}' in metrics


async def test_health_and_the_root_of_a_door_are_on_its_own_port_alone(tmp_path: Path) -> None:
    async with all_doors(tmp_path) as here, aiohttp.ClientSession() as http:
        shapes = {}
        for name, port in here.app.http.door_ports.items():
            async with http.get(f"http://127.0.0.1:{port}/health") as answer:
                shapes[name] = set(await answer.json()) if answer.status == 200 else answer.status
        assert shapes["sessions"] == {"status", "message", "timestamp", "sessions"}
        assert shapes["socketio"] == {"status", "timestamp", "activeConnections"}
        async with http.get(f"{here.http}/health") as answer:
            assert "maxConnections" in await answer.json()
        async with http.get(f"{here.http}/") as answer:
            assert answer.status == 404


async def test_SX_3_a_coach_pauses_a_call_at_any_door(tmp_path: Path) -> None:
    async with (
        all_doors(tmp_path) as here,
        here.s3_client("bob") as browser,
        chatting(here) as chatter,
    ):
        await browser.until("session.created")
        await post(f"{here.http}/api/session/create", {"sessionId": "one"})
        await chatter.say("Good day.")
        await chatter.until("ai-response")
        for session in live_sessions(here.app):
            assert session.execute(Command("pause", "coach")) == "done"
            assert session.status().is_paused
        await browser.send({"type": "response.create"})
        done = await browser.until("response.done")
        assert done["response"]["status"] == "cancelled"
        await chatter.say("Are you there?")
        await chatter.until("processing-complete")
        url = f"{here.http}/api/session/one/audio"
        _, paused = await post(url, {"audioData": AUDIO})
        assert paused["data"] == {"sessionPaused": True}


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ({"openai_api_key": "sk-1"}, ("gpt-4o-mini-transcribe", "gpt-4.1-mini", "gpt-4o-mini-tts")),
        (
            {
                "openai_api_key": "sk-1",
                "stt_model": "whisper-1",
                "llm_model": "gpt-4o-mini",
                "tts_model": "tts-1",
            },
            ("whisper-1", "gpt-4o-mini", "tts-1"),
        ),
        (
            {
                "relay_stt": "azure",
                "relay_tts": "elevenlabs",
                "azure_speech_key": "k",
                "azure_speech_region": "westeurope",
                "elevenlabs_api_key": "k",
                "elevenlabs_voice_id": "v",
                "openai_api_key": "sk-1",
                "llm_model": "gpt-4",
            },
            ("azure-speech", "gpt-4", "eleven_flash_v2_5"),
        ),
        (
            {"relay_stt": "local", "relay_tts": "local", "ollama_host": "127.0.0.1:11434"},
            ("tiny.en", "", "en_US-joe-medium"),
        ),
        (
            {"relay_stt": "local", "relay_llm": "local", "relay_tts": "azure",
             "azure_speech_key": "k", "azure_speech_region": "westeurope"},
            ("tiny.en", "SmolLM2-135M-Instruct.Q4_1", "azure-neural"),
        ),
    ],
)  # fmt: skip
async def test_SX_2_S0_28_S0_29_S1_21_S2_29_each_part_is_chosen_by_the_settings(
    given: dict[str, Any], names: tuple[str, str, str]
) -> None:
    parts = one_off_parts(Settings(relay_engine="cascade", **given))
    found = parts.transcriber.name, parts.make_responder().name, parts.synthesizer.name
    await parts.aclose()

    for name, wanted in zip(found, names, strict=True):
        assert wanted in name or not wanted


async def test_S1_15_S1_20_the_livekit_door_has_the_voice_its_clients_were_promised() -> None:
    given: dict[str, Any] = {
        "relay_engine": "cascade",
        "relay_tts": "elevenlabs",
        "openai_api_key": "sk-1",
        "elevenlabs_api_key": "k",
        "elevenlabs_voice_id": "v",
    }
    settings = Settings(**given)
    parts = one_off_parts(settings)
    voice, spoken = livekit_voice(settings, parts.synthesizer)
    await parts.aclose()

    assert voice.name == "eleven_multilingual_v2"
    assert not spoken


def test_S2_3_an_engine_without_its_key_is_named() -> None:
    settings = Settings(relay_engine="cascade", relay_stt="openai", relay_llm="openai")

    assert any("OPENAI_API_KEY" in problem for problem in contradictions(settings))


def test_S2_18_the_system_prompt_is_the_cascades_instructions() -> None:
    assert one_off_parts(Settings(system_prompt="Speak like a pirate.")).instructions == (
        "Speak like a pirate."
    )


async def test_S3_86_the_two_speech_functions_of_the_older_front_end(tmp_path: Path) -> None:
    async with all_doors(tmp_path) as here, aiohttp.ClientSession(headers=ADA) as http:
        form = aiohttp.FormData()
        form.add_field("file", wav_of(SPEECH), filename="said.wav", content_type="audio/wav")
        async with http.post(f"{here.http}/ai/voice-transcribe", data=form) as answer:
            assert (answer.status, (await answer.json())["text"]) == (200, "Hello.")
        spoken = {"text": "Good day.", "voice": "alloy", "speed": 9}
        async with http.post(f"{here.http}/ai/voice-synthesize", json=spoken) as answer:
            assert answer.content_type == "audio/mpeg"
            assert len(await answer.read()) > 1_000
        async with http.post(f"{here.http}/ai/voice-synthesize", json={"text": ""}) as answer:
            assert answer.status == 400
            assert isinstance((await answer.json())["error"], str)


async def test_a_drain_ends_the_clients_of_every_door(tmp_path: Path) -> None:
    async with all_doors(tmp_path) as here, chatting(here) as chatter:
        await post(f"{here.http}/api/session/create", {"sessionId": "one"})
        await chatter.say("Good day.")
        await chatter.until("ai-response")
        async with asyncio.timeout(20):
            await here.app.drain(0)
            await here.emptied()
