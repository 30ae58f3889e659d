"""S3's own front end at its own door, over real sockets."""

import asyncio
import contextlib
import json
import uuid
from pathlib import Path

import pytest
from pydantic import SecretStr
from websockets.exceptions import ConnectionClosed

from relay.app import running
from relay.parts.simple import Script
from tests.scenarios.stage import SECRET, SILENCE, SPEECH, Stage, loaded, new_id, stage, token

SCRIPT = Script(heard=("Good morning.",), replies=("Good morning to you.",))
BETA_TURN = [
    "input_audio_buffer.speech_started",
    "input_audio_buffer.speech_stopped",
    "input_audio_buffer.committed",
    "conversation.item.created",
    "response.created",
    "response.output_item.added",
    "conversation.item.created",
    "response.content_part.added",
    "response.audio_transcript.delta",
    "response.audio.delta",
    "response.audio.done",
    "response.audio_transcript.done",
    "response.content_part.done",
    "response.output_item.done",
    "conversation.created",
    "response.done",
]


async def test_S3_2_S3_20_S3_23_S3_27_S3_46_a_whole_turn_in_beta_names(tmp_path: Path) -> None:
    async with stage(tmp_path, SCRIPT) as here, here.s3_client() as line:
        await line.until("session.updated")
        assert line.types == ["session.created", "session.updated"]
        assert line.events[0]["session"]["id"].startswith("sess_")
        assert line.events[1]["session"]["voice"] == "alloy"
        assert line.events[1]["session"]["input_audio_format"] == "pcm16"
        await line.speak()
        await line.until("response.done")
        firsts = list(dict.fromkeys(line.types))
        assert [kind for kind in BETA_TURN if kind not in firsts] == []
        assert not [kind for kind in firsts if "output_audio" in kind or "output_text" in kind]
        created = [event for event in line.events if event["type"] == "conversation.created"]
        assert len(created) == 1
        assert set(created[0]) == {"type", "conversation_id"}
        assert uuid.UUID(created[0]["conversation_id"]).version == 4
        assert line.types.index("conversation.created") == line.types.index("response.done") - 1
        rows = await here.stored(created[0]["conversation_id"], 2)
        assert [(row["role"], row["text"]) for row in rows] == [
            ("user", "Good morning."),
            ("assistant", "Good morning to you."),
        ]


async def test_S3_28_a_given_conversation_is_announced_when_it_is_new_and_continued_later(
    tmp_path: Path,
) -> None:
    async with stage(tmp_path, SCRIPT) as here:
        conversation = new_id()
        for turns in (1, 2):
            async with here.s3_client(conversation_id=conversation) as line:
                await line.speak()
                await line.until("response.done")
                assert line.types.count("conversation.created") == (1 if turns == 1 else 0)
            rows = await here.stored(conversation, 2 * turns)
            assert {row["record"].head.conversation_id for row in rows} == {conversation}


async def test_the_conversation_of_somebody_else_is_refused(tmp_path: Path) -> None:
    async with stage(tmp_path, SCRIPT) as here:
        conversation = new_id()
        async with here.s3_client("ada", conversation_id=conversation) as line:
            await line.speak()
            await line.until("response.done")
        await here.stored(conversation, 2)
        async with here.s3_client("grace", conversation_id=conversation) as line:
            assert await line.closed() == (4003, "Forbidden")
        async with here.s3_client("ada", conversation_id="not-a-uuid") as line:
            assert await line.closed() == (4003, "Forbidden")


@pytest.mark.parametrize(
    ("query", "code", "reason"),
    [
        ({"token": ""}, 4000, "Missing token or agent_id"),
        ({"agent_id": ""}, 4000, "Missing token or agent_id"),
        ({"token": "nonsense"}, 4001, "Unauthorized"),
        ({"token": token(ttl=-3600)}, 4001, "Unauthorized"),
    ],
)
async def test_S3_3_S3_4_S3_7_refusals_come_after_the_handshake(
    tmp_path: Path, query: dict[str, str], code: int, reason: str
) -> None:
    async with stage(tmp_path) as here, here.s3_client(**query) as line:
        assert line.socket.response is not None
        assert line.socket.response.status_code == 101
        assert await line.closed() == (code, reason)
        assert line.events == []


async def test_S3_8_one_more_than_the_house_holds(tmp_path: Path) -> None:
    async with stage(tmp_path, max_connections=2) as here:
        async with here.s3_client() as one, here.s3_client() as two:
            await one.until("session.created")
            await two.until("session.created")
            async with here.s3_client(token="") as three:
                assert await three.closed() == (1008, "Server at capacity"), "before the token"
            async with here.openai_client() as four:
                assert await four.closed() == (1013, "Server at capacity")
                assert four.types == ["error"]
            await one.speak()
            await one.until("response.done")
        await here.emptied()
        async with here.s3_client() as again:
            await again.until("session.created")


async def test_S3_9_no_provider_key(tmp_path: Path) -> None:
    async with stage(tmp_path, openai_api_key=None) as here, here.s3_client() as line:
        assert await line.closed() == (1011, "OpenAI API key not configured")


async def test_S3_12_a_provider_that_says_no_is_not_quoted(tmp_path: Path) -> None:
    key = SecretStr("bad-key-of-the-provider")
    async with stage(tmp_path, openai_api_key=key) as here, here.s3_client() as line:
        assert await line.closed() == (1011, "OpenAI connection closed")
        assert line.events == [{"type": "error", "error": "OpenAI connection error"}]


async def test_S3_17_the_key_is_nowhere_a_client_can_look(tmp_path: Path) -> None:
    secret = "sk-simulated-provider-key"
    async with stage(tmp_path, SCRIPT) as here, here.s3_client() as line:
        await line.speak()
        await line.until("response.done")
        await line.socket.send("{nonsense")
        await line.until("error")
        seen = (
            json.dumps(line.events)
            + (await here.get("/health"))[1]
            + (await here.get("/metrics"))[1]
        )
        assert secret not in seen
        assert SECRET not in seen
    on_disk = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert secret.encode() not in on_disk


async def test_S3_25_S3_48_push_to_talk_in_beta_words(tmp_path: Path) -> None:
    async with stage(tmp_path, SCRIPT) as here, here.s3_client() as line:
        await line.until("session.updated")
        await line.send({"type": "session.update", "session": {"turn_detection": None}})
        updated = await line.until("session.updated")
        assert updated["session"]["turn_detection"] is None
        await line.speak(SPEECH)
        await line.send({"type": "input_audio_buffer.commit"}, {"type": "response.create"})
        await line.until("response.done")
        assert "input_audio_buffer.speech_started" not in line.types
        assert "input_audio_buffer.committed" in line.types


async def test_S3_44_bad_json_is_answered_in_s3s_shape_and_the_call_goes_on(tmp_path: Path) -> None:
    async with stage(tmp_path, SCRIPT) as here, here.s3_client() as line:
        await line.until("session.updated")
        await line.socket.send("{nonsense")
        error = await line.until("error")
        assert isinstance(error["error"], str)
        assert error["code"] == "invalid_json"
        await line.speak()
        await line.until("response.done")


async def test_S3_47_speaking_over_the_answer_cancels_it(tmp_path: Path) -> None:
    script = Script(heard=("One.",), replies=("A long answer " * 30,))
    async with stage(tmp_path, script, burst=2.0) as here, here.s3_client() as line:
        await line.speak()
        await line.until("response.audio.delta")
        await line.speak(SPEECH + SILENCE)
        await line.until("input_audio_buffer.speech_started")
        done = await line.until("response.done")
        assert done["response"]["status"] == "cancelled"
        assert done["response"]["status_details"]["reason"] == "turn_detected"


async def test_S3_41_no_sound_is_ever_written_to_disk(tmp_path: Path) -> None:
    marker = b"\x12\x34\x56\x78" * 12_000
    async with stage(tmp_path, SCRIPT) as here, here.s3_client() as line:
        await line.until("session.updated")
        await line.speak(SPEECH + marker + SILENCE)
        await line.until("response.done")
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files, "the words are there"
    for path in files:
        data = path.read_bytes()
        assert marker[:64] not in data
        assert b"EjRWeBI0VngSNFZ4" not in data, "nor as base64"
        assert path.suffix not in (".wav", ".pcm", ".raw")


async def test_S3_43_a_message_over_the_limit_is_1009_and_nothing_is_compressed(
    tmp_path: Path,
) -> None:
    async with stage(tmp_path) as here, here.s3_client() as line:
        await line.until("session.updated")
        assert "sec-websocket-extensions" not in line.socket.response.headers  # type: ignore[union-attr]
        with contextlib.suppress(ConnectionClosed):  # refused by its length, before it all came
            await line.socket.send("x" * (10 * 1024 * 1024 + 1))
        assert (await line.closed())[0] == 1009


async def test_S3_11_the_upstreams_own_code_is_never_passed_on(tmp_path: Path) -> None:
    async with stage(tmp_path) as here, here.s3_client() as line:
        await line.until("session.updated")
        assert here.simulator is not None
        closing = asyncio.ensure_future(here.simulator.aclose())
        assert await line.closed() == (1011, "OpenAI connection closed")
        await closing


async def test_S3_63_a_stopping_server_says_1012_and_leaves_in_bounded_time(tmp_path: Path) -> None:
    async with stage(tmp_path) as here, here.s3_client() as one, here.openai_client() as two:
        await one.until("session.updated")
        await two.until("session.created")
        draining = asyncio.ensure_future(here.app.drain(0.05))
        assert await one.closed() == (1012, "Service restart")
        assert await two.closed() == (1012, "Service restart")
        await draining
        assert (await here.get("/ready"))[0] == 503
        with pytest.raises(OSError, match=r"refused|Connect"):
            async with here.s3_client():
                pass


async def test_S3_10_a_failing_set_up_is_1011(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(loaded(tmp_path)) as app:

        async def broken(conversation_id: str) -> str | None:
            raise OSError("disk on fire")

        monkeypatch.setattr(app.server._services.engine, "open", broken)
        async with Stage(app, None, tmp_path).s3_client() as line:
            assert await line.closed() == (1011, "Internal server error")
