"""The `openai` client, unchanged: a base URL and a token as its key are all it is given."""

import base64
from pathlib import Path

import openai

from relay.engines.offline.scripted import Script
from tests.scenarios.stage import SILENCE, SPEECH, stage, token

SCRIPT = Script(heard=("Good morning.",), replies=("Good morning to you.", "Blue."))


async def test_an_audio_turn_and_a_text_turn(tmp_path: Path) -> None:
    async with stage(tmp_path, SCRIPT) as here:
        base_url = here.voice.replace("ws://", "http://") + "/v1"
        async with (
            openai.AsyncOpenAI(base_url=base_url, api_key=token()) as client,
            client.realtime.connect(model="gpt-realtime-2.1") as connection,
        ):
            created = await connection.recv()
            assert created.type == "session.created"
            await connection.session.update(
                session={
                    "type": "realtime",
                    "output_modalities": ["audio"],
                    "instructions": "Be brief.",
                }
            )
            pcm = SPEECH + SILENCE
            for start in range(0, len(pcm), 4800):
                audio = base64.b64encode(pcm[start : start + 4800]).decode()
                await connection.input_audio_buffer.append(audio=audio)
            spoken, heard, audio_bytes = "", "", 0
            async for event in connection:
                if event.type == "response.output_audio.delta":
                    audio_bytes += len(base64.b64decode(event.delta))
                elif event.type == "response.output_audio_transcript.done":
                    spoken = event.transcript
                elif event.type == "conversation.item.input_audio_transcription.completed":
                    heard = event.transcript
                elif event.type == "response.done":
                    assert event.response.status == "completed"
                    break
            assert (heard, spoken) == ("Good morning.", "Good morning to you.")
            assert audio_bytes > 24_000, "half a second of sound at least"

            question = {"type": "input_text", "text": "What colour is the sky?"}
            await connection.conversation.item.create(
                item={"type": "message", "role": "user", "content": [question]}
            )
            await connection.response.create(response={"output_modalities": ["text"]})
            async for event in connection:
                if event.type == "response.output_text.done":
                    assert event.text == "Blue."
                elif event.type == "response.done":
                    assert event.response.status == "completed"
                    break


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
