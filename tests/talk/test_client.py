"""A client of the relay, against servers that answer, delay, refuse, send garbage and vanish."""

import asyncio
import base64
from collections.abc import AsyncIterator

import pytest

from relay.talk.client import (
    CHUNK_BYTES,
    HEARD_SECONDS,
    HeardReply,
    TalkFailed,
    TalkTimeouts,
    VoiceClient,
    chunks_of,
)
from tests.talk.far_end import Caller, Play, far_end

QUICK = TalkTimeouts(answer_seconds=0.3, quiet_seconds=0.05)
TOKEN = "eyJ.eyJ.c2ln"
TWO_CHUNKS = b"\x01\x00" * CHUNK_BYTES
SOUND = b"\x10\x00" * 2400
HEARD = "conversation.item.input_audio_transcription.completed"
ANSWER = (
    {"type": "response.created"},
    {"type": "response.output_audio.delta", "delta": base64.b64encode(SOUND).decode()},
    {"type": "response.output_audio.delta", "delta": base64.b64encode(SOUND).decode()},
    {"type": "response.output_audio_transcript.done", "transcript": " And to you. "},
    {"type": "response.done"},
    {"type": "rate_limits.updated"},
)


async def talk(
    play: Play, chunks: AsyncIterator[bytes] | None = None
) -> tuple[HeardReply, list[str]]:
    """Run a conversation; returns its result and the lines reported meanwhile."""
    said: list[str] = []
    async with far_end(play) as url:
        client = VoiceClient(lambda speaker, text: said.append(f"{speaker}: {text}"), QUICK)
        heard = await client.run(url, TOKEN, chunks or chunks_of(TWO_CHUNKS))
    return heard, said


async def test_it_ends_when_the_answer_is_over() -> None:
    async def play(caller: Caller) -> None:
        assert caller.offered == ["realtime", "relay.v1", f"openai-insecure-api-key.{TOKEN}"]
        await caller.hear(2)
        await caller.say({"type": "input_audio_buffer.speech_stopped"})
        await caller.say({"type": HEARD, "transcript": "Good morning."}, *ANSWER)
        await caller.until_gone()

    heard, said = await talk(play)

    assert said == ["you: Good morning.", "voice: And to you."]
    assert heard.lines == [("you", "Good morning."), ("voice", "And to you.")]
    assert bytes(heard.audio) == SOUND * 2
    assert heard.first_audio_ms is not None
    assert 0 <= heard.first_audio_ms < 1000
    assert (heard.errors, heard.failure) == ([], "")


@pytest.mark.parametrize(
    ("details", "why"),
    [
        ({"error": {"message": "Too much to do."}}, "Too much to do."),
        ({"error": None}, "the engine does not say why"),
        (None, "the engine does not say why"),
    ],
)
async def test_a_failure_is_kept_whatever_comes_after(details: object, why: str) -> None:
    async def play(caller: Caller) -> None:
        done = {"status": "failed", "status_details": details}
        await caller.say({"type": "response.created"}, {"type": "response.done", "response": done})
        await caller.say({"type": "response.created"}, {"type": "response.done", "response": {}})
        await caller.until_gone()

    heard, _ = await talk(play)

    assert heard.failure == why


async def test_the_recording_is_sent_unchanged_and_silence_follows() -> None:
    sent: list[bytes] = []

    async def play(caller: Caller) -> None:
        for event in await caller.until_gone():
            assert event["type"] == "input_audio_buffer.append"
            sent.append(base64.b64decode(event["audio"]))

    await talk(play)

    assert b"".join(sent[:2]) == TWO_CHUNKS[: len(sent[0]) + len(sent[1])]
    assert TWO_CHUNKS.startswith(b"".join(sent[:2]))
    recording, silence = b"".join(sent)[: len(TWO_CHUNKS)], b"".join(sent)[len(TWO_CHUNKS) :]
    assert recording == TWO_CHUNKS
    assert silence
    assert not any(silence)


async def test_it_hangs_up_when_the_answer_has_been_heard_and_not_when_it_has_come() -> None:
    """The record says what was heard: hanging up earlier would interrupt the voice."""
    waited: list[float] = []

    async def play(caller: Caller) -> None:
        loop = asyncio.get_running_loop()
        await caller.say(*ANSWER)
        began = loop.time()
        await caller.until_gone()
        waited.append(loop.time() - began)

    heard, _ = await talk(play)

    assert waited[0] >= len(heard.audio) / 48_000 + HEARD_SECONDS


async def test_the_answer_is_played_and_an_interruption_flushes_it() -> None:
    played: list[bytes] = []

    class Card:
        def play(self, pcm: bytes) -> None:
            played.append(pcm)

        def flush(self) -> None:
            played.append(b"flushed")

    async def play(caller: Caller) -> None:
        await caller.say({"type": "input_audio_buffer.speech_started"}, *ANSWER)
        await caller.until_gone()

    async with far_end(play) as url:
        client = VoiceClient(lambda *_: None, QUICK, Card())
        await client.run(url, TOKEN, chunks_of(TWO_CHUNKS))

    assert played == [b"flushed", SOUND, SOUND]


async def test_it_waits_for_the_second_answer_too() -> None:
    async def play(caller: Caller) -> None:
        await caller.say(*ANSWER, {"type": "response.created"})
        await asyncio.sleep(QUICK.quiet_seconds * 2)  # longer than a quiet that would end it
        text = {"type": "response.output_text.done", "text": "And another thing."}
        await caller.say(text, {"type": "response.done"})
        await caller.until_gone()

    _, said = await talk(play)

    assert said == ["voice: And to you.", "voice: And another thing."]


@pytest.mark.parametrize("events", [(), ({"type": "response.created"},)])
async def test_a_missing_answer_is_given_up(events: tuple[dict[str, str], ...]) -> None:
    async def play(caller: Caller) -> None:
        await caller.say({"type": "session.created"}, *events)
        await caller.until_gone()

    heard, said = await talk(play)

    assert (heard.lines, said) == ([], [])


async def test_errors_are_shown_and_the_conversation_goes_on() -> None:
    async def play(caller: Caller) -> None:
        await caller.say({"type": "error", "error": {"code": "x", "message": "Too fast."}})
        await caller.say({"type": "error", "error": "as a string"}, *ANSWER)
        await caller.until_gone()

    heard, said = await talk(play)

    assert said == ["error: Too fast.", "error: as a string", "voice: And to you."]
    assert heard.errors == ["Too fast.", "as a string"]


async def test_an_empty_transcript_is_no_line() -> None:
    async def play(caller: Caller) -> None:
        await caller.say({"type": HEARD, "transcript": "  "}, {"type": HEARD}, *ANSWER)
        await caller.until_gone()

    _, said = await talk(play)

    assert said == ["voice: And to you."]


async def failure(play: Play, chunks: AsyncIterator[bytes] | None = None) -> str:
    """The line that the user gets."""
    with pytest.raises(TalkFailed) as failed:
        await talk(play, chunks)
    return str(failed.value)


async def test_a_refusal_is_reported_with_its_code() -> None:
    async def play(caller: Caller) -> None:
        await caller.connection.close(4001, "Unauthorized")

    assert await failure(play) == "the relay closed the session: 4001 Unauthorized"


async def test_an_early_normal_close_is_reported() -> None:
    async def play(caller: Caller) -> None:
        await caller.connection.close(1000)

    assert await failure(play) == "the relay closed the session: 1000"


async def test_a_lost_connection_is_reported() -> None:
    async def play(caller: Caller) -> None:
        caller.connection.transport.abort()

    assert await failure(play) == "the connection was lost"


@pytest.mark.parametrize(
    "message",
    [
        "no JSON",
        b"\x00\xff",
        "[]",
        "{}",
        '{"type":"response.output_audio.delta","delta":"not base64"}',
    ],
)
async def test_a_server_of_another_kind_is_reported(message: str | bytes) -> None:
    async def play(caller: Caller) -> None:
        await caller.say(message)
        await caller.until_gone()

    assert await failure(play) == "the server there does not speak the Realtime API"


async def test_a_missing_microphone_is_reported() -> None:
    async def silent() -> AsyncIterator[bytes]:
        raise TalkFailed("no microphone here")
        yield b""

    async def play(caller: Caller) -> None:
        await caller.until_gone()

    assert await failure(play, silent()) == "no microphone here"


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("127.0.0.1:8080", "127.0.0.1:8080 is not a ws:// or wss:// URL"),
        ("http://127.0.0.1", "http://127.0.0.1 is not a ws:// or wss:// URL"),
        ("ws://[::1", "ws://[::1 is not a ws:// or wss:// URL"),
        ("ws://127.0.0.1:8", "cannot reach ws://127.0.0.1:8: "),
        ("ws://nobody.invalid", "cannot reach ws://nobody.invalid: "),
    ],
)
async def test_an_address_that_does_not_work_is_reported(url: str, told: str) -> None:
    with pytest.raises(TalkFailed) as failed:
        await VoiceClient(lambda *_: None, QUICK).run(url, TOKEN, chunks_of(b""))

    assert str(failed.value).startswith(told)


@pytest.mark.parametrize("token", ["", "a b", "a\r\nEvil: yes", "ä", "a,b"])
async def test_a_malformed_token_is_not_sent_and_not_shown(token: str) -> None:
    with pytest.raises(TalkFailed) as failed:
        await VoiceClient(lambda *_: None, QUICK).run("ws://127.0.0.1:8", token, chunks_of(b""))

    assert str(failed.value) == "invalid token; create one with `relay token`"
