"""The `openai` client, unchanged: a base URL and a token as its key are all it is given."""

import base64
from collections import defaultdict
from pathlib import Path
from typing import Any

import openai
from openai.resources.realtime.realtime import AsyncRealtimeConnection

from relay.parts.simple import Script
from tests.scenarios.stage import SILENCE, SPEECH, stage, token

SCRIPT = Script(heard=("Good morning.",), replies=("Good morning to you.", "Blue."))


async def test_an_audio_turn_and_a_text_turn(tmp_path: Path) -> None:
    async with stage(tmp_path, SCRIPT) as here:
        base_url = here.voice.replace("ws://", "http://") + "/v1"
        async with (
            openai.AsyncOpenAI(base_url=base_url, api_key=token()) as client,
            client.realtime.connect(model="gpt-realtime-2.1") as connection,
        ):
            assert (await connection.recv()).type == "session.created"
            await connection.session.update(
                session={
                    "type": "realtime",
                    "output_modalities": ["audio"],
                    "instructions": "Brief.",
                    "audio": {"input": {"transcription": {"model": "whisper-1"}}},
                }
            )
            await _speak(connection)
            seen = await _until_done(connection)
            heard = seen["conversation.item.input_audio_transcription.completed"][0].transcript
            spoken = seen["response.output_audio_transcript.done"][0].transcript
            sound = b"".join(base64.b64decode(e.delta) for e in seen["response.output_audio.delta"])
            assert (heard, spoken) == ("Good morning.", "Good morning to you.")
            assert len(sound) > 24_000, "half a second of sound at least"

            await connection.conversation.item.create(
                item={
                    "type": "message",
                    "role": "user",
                    "content": [{"type": "input_text", "text": "What colour is the sky?"}],
                }
            )
            await connection.response.create(response={"output_modalities": ["text"]})
            seen = await _until_done(connection)
            assert seen["response.output_text.done"][0].text == "Blue."


async def _speak(connection: AsyncRealtimeConnection) -> None:
    pcm = SPEECH + SILENCE
    for start in range(0, len(pcm), 4800):
        audio = base64.b64encode(pcm[start : start + 4800]).decode()
        await connection.input_audio_buffer.append(audio=audio)


async def _until_done(connection: AsyncRealtimeConnection) -> dict[str, list[Any]]:
    """Every event up to the completed answer, by type."""
    seen: dict[str, list[Any]] = defaultdict(list)
    async for event in connection:
        seen[event.type].append(event)
        if event.type == "response.done":
            assert event.response.status == "completed"
            break
    return seen


async def test_a_bad_key_fails_as_at_openai(tmp_path: Path) -> None:
    async with stage(tmp_path, SCRIPT) as here:
        base_url = here.voice.replace("ws://", "http://") + "/v1"
        async with (
            openai.AsyncOpenAI(base_url=base_url, api_key="not-a-token") as client,
            client.realtime.connect(model="gpt-realtime-2.1") as connection,
        ):
            event = await connection.recv()
            assert event.type == "error"
            assert event.error.code == "invalid_api_key"
