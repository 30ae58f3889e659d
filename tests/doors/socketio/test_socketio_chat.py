"""The older voice chat, as its clients use it, through a whole relay (CONTRACTS §2.2)."""

import asyncio
import base64
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import socketio

from relay.audio.decoding import AudioDecoder, AudioRejected
from relay.audio.wav import wav_of
from relay.calls.turns import TurnClient
from relay.doors.socketio import door, talker
from relay.parts.interfaces import Reply, failed
from relay.parts.simple import Script
from relay.realtime.coaching.control import Command
from tests.audio.made import encoded
from tests.doors.socketio.chatting import address, chatting, socketio_door
from tests.golden.shapes import golden
from tests.scenarios.stage import SPEECH, Stage, live_sessions, new_id, token

SPOKEN = wav_of(SPEECH)
LONG = "A long answer that goes on for quite a while so that there is time to interrupt it. " * 4
TURN = ["message-received", "ai-typing True", "ai-typing False", "ai-response"]
BROKEN = Reply((), ending=failed("server_error", "The model failed."))


def coach(here: Stage, action: str, **more: str) -> str:
    (session,) = live_sessions(here.app)
    return session.execute(Command(action, "coach", **more))  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def frequent_pings(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that polls leaves with the answer to its last poll."""
    monkeypatch.setattr(door, "PING_SECONDS", 1)
    monkeypatch.setattr(door, "PONG_SECONDS", 2)


@pytest.mark.parametrize("transport", ["websocket", "polling"])
async def test_S2_1_S2_8_S2_12_a_written_message_is_answered(
    tmp_path: Path, transport: str
) -> None:
    async with socketio_door(tmp_path) as here, chatting(here, transports=[transport]) as client:
        await client.say("Good morning.")
        assert await client.names(4) == TURN
        received, answer = client.seen[0][1], client.seen[3][1]
        assert received["message"]["text"] == "Good morning."
        assert received["message"]["isVoice"] is False
        assert answer["message"]["text"] == "You said: Good morning."
        assert await client.silent()


async def test_S2_11_the_answer_is_an_mp3_that_decodes(tmp_path: Path) -> None:
    async with socketio_door(tmp_path) as here, chatting(here) as client:
        await client.say("Hello.")
        mp3 = base64.b64decode((await client.until("ai-response"))["audioBuffer"])
    decoder = AudioDecoder(workers=1)
    try:
        assert len(await decoder.decode(mp3)) > 10_000
    finally:
        await decoder.aclose()


@pytest.mark.parametrize(
    "sound", [SPOKEN, encoded("webm", "libopus"), encoded("mp3", "libmp3lame")]
)
async def test_S2_4_S2_9_a_final_chunk_is_a_turn(tmp_path: Path, sound: bytes) -> None:
    async with socketio_door(tmp_path) as here, chatting(here) as client:
        await client.emit("audio-stream", {"audioChunk": sound, "isFinal": True, "timestamp": 1})
        assert await client.names(4) == TURN
        assert client.seen[0][1]["message"]["text"] == "Hello there."
        assert client.seen[0][1]["message"]["isVoice"] is True


async def test_S2_5_S2_6_small_bare_chunks_are_one_utterance(tmp_path: Path) -> None:
    async with socketio_door(tmp_path) as here, chatting(here) as client:
        await client.emit("start-recording")
        for start in range(0, len(SPOKEN), 4_800):
            await client.emit("audio-stream", SPOKEN[start : start + 4_800])
        await client.emit("stop-recording")
        assert await client.names(4) == TURN
        assert await client.silent()


async def test_S2_6_many_chunks_of_a_client_that_polls(tmp_path: Path) -> None:
    async with socketio_door(tmp_path) as here, chatting(here, transports=["polling"]) as client:
        for start in range(0, len(SPOKEN), 480):
            await client.emit("audio-stream", SPOKEN[start : start + 480])
        await client.emit("stop-recording")
        assert await client.names(4) == TURN


async def test_S2_7_a_new_recording_forgets_the_old_one(tmp_path: Path) -> None:
    async with socketio_door(tmp_path) as here, chatting(here) as client:
        await client.emit("audio-stream", b"not audio at all")
        await client.emit("start-recording")
        await client.emit("stop-recording")
        assert await client.silent(), "an empty recording is nothing"


async def test_S2_10_S2_14_S2_15_an_interruption_drops_the_answer(tmp_path: Path) -> None:
    script = Script(replies=[LONG, "As you like."])
    async with socketio_door(tmp_path, script, burst=4.0) as here:
        conversation = new_id()
        async with chatting(here, {"conversation_id": conversation}) as client:
            await client.say("Go on.")
            assert await client.names(2) == TURN[:2]
            await client.emit("interrupt", {"timestamp": 1})
            assert await client.names(1) == ["ai-typing False"]
            await client.say("Stop.")
            assert await client.names(4) == TURN
            assert client.seen[-1][1]["message"]["text"] == "As you like."
            assert await client.silent()
        await here.emptied()
        said = await here.stored(conversation, 4)

    assert [one["text"] for one in said if one["role"] == "user"] == ["Go on.", "Stop."]


async def test_S2_14_also_while_the_sound_is_encoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoding, go_on = asyncio.Event(), asyncio.Event()

    async def slowly(_self: Any, _pcm: bytes) -> bytes:
        encoding.set()
        await go_on.wait()
        return b"mp3"

    monkeypatch.setattr(AudioDecoder, "encode_mp3", slowly)
    async with socketio_door(tmp_path) as here, chatting(here) as client:
        await client.say("Hello.")
        await encoding.wait()
        await client.emit("interrupt")
        assert await client.names(3) == [*TURN[:2], "ai-typing False"]
        go_on.set()
        assert await client.silent()
        await client.say("Again.")
        assert await client.names(4) == TURN


async def test_S2_16_S2_23_S2_24_what_comes_meanwhile_is_answered_in_turn(tmp_path: Path) -> None:
    script = Script(heard=["Spoken."])
    async with socketio_door(tmp_path, script) as here, chatting(here) as client:
        await client.say("One.")
        await client.emit("audio-stream", {"audioChunk": SPOKEN, "isFinal": True})
        await client.say("Three.")
        assert await client.names(12) == TURN * 3
        texts = [data["message"]["text"] for name, data in client.seen if name == TURN[3]]

    assert texts == ["You said: One.", "You said: Spoken.", "You said: Three."]


@pytest.mark.parametrize("text", ["", "   ", "\n\t"])
async def test_S2_17_nothing_is_answered_with_nothing(tmp_path: Path, text: str) -> None:
    async with socketio_door(tmp_path, Script(heard=[""])) as here, chatting(here) as client:
        await client.say(text)
        assert await client.names(1) == ["processing-complete"]
        await client.emit("audio-stream", {"audioChunk": SPOKEN, "isFinal": True})
        assert await client.names(1) == ["processing-complete"]
        assert await client.silent()


@pytest.mark.parametrize("bad", [None, "text", 5, {}, {"text": None}, {"text": 5}, ["text"]])
async def test_S2_21_a_malformed_message_gets_one_error(tmp_path: Path, bad: Any) -> None:
    async with socketio_door(tmp_path) as here, chatting(here) as client:
        await client.emit("text-message", bad)
        assert (await client.next())[1] == {"message": "Failed to process text message"}
        assert await client.silent(0.2)
        await client.say("Still here?")
        assert await client.names(4) == TURN


@pytest.mark.parametrize(
    "bad",
    [
        {"audioChunk": b"This is no audio.", "isFinal": True},
        {"audioChunk": "text", "isFinal": True},
        {"audioChunk": 5},
        "text",
        None,
    ],
)
async def test_S2_21_bad_audio_gets_one_documented_error(tmp_path: Path, bad: Any) -> None:
    texts = {talker.FAILED_STREAM, talker.FAILED_AUDIO, talker.FAILED_TRANSCRIPT}
    async with socketio_door(tmp_path) as here, chatting(here) as client:
        await client.emit("audio-stream", bad)
        assert (await client.next())[1]["message"] in texts
        assert await client.silent(0.2)
        await client.say("Still here?")
        assert await client.names(4) == TURN


async def test_S2_21_a_failed_answer_ends_the_typing_first(tmp_path: Path) -> None:
    script = Script(replies=[BROKEN])
    async with socketio_door(tmp_path, script) as here, chatting(here) as client:
        await client.say("Hello.")
        assert await client.names(4) == [*TURN[:3], "error"]
        assert client.seen[-1][1] == {"message": "Failed to get AI response"}


async def test_S2_22_text_comes_also_without_its_sound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(_self: Any, _pcm: bytes) -> bytes:
        raise AudioRejected("busy")

    monkeypatch.setattr(AudioDecoder, "encode_mp3", broken)
    async with socketio_door(tmp_path) as here, chatting(here) as client:
        await client.say("Hello.")
        assert await client.names(5) == [*TURN, "error"]
        assert client.seen[3][1]["audioBuffer"] == ""
        assert client.seen[3][1]["message"]["text"] == "You said: Hello."


async def test_S2_2_S2_27_health_on_its_own_port(tmp_path: Path) -> None:
    async with (
        socketio_door(tmp_path) as here,
        chatting(here),
        aiohttp.ClientSession() as http,
        http.get(f"{address(here)}/health") as answer,
    ):
        golden("socketio", "health", await answer.json())
        assert (await answer.json())["activeConnections"] == 1
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "Strict-Transport-Security" in answer.headers


@pytest.mark.parametrize("transport", ["websocket", "polling"])
async def test_S2_25_a_foreign_page_is_refused(tmp_path: Path, transport: str) -> None:
    async with socketio_door(tmp_path, allowed_origins=("https://app.example",)) as here:
        with pytest.raises(socketio.exceptions.ConnectionError):
            async with chatting(here, transports=[transport], Origin="https://evil.example"):
                pass
        async with chatting(here, transports=[transport], Origin="https://app.example") as client:
            await client.say("Hello.")
            assert await client.names(4) == TURN


async def test_S2_28_there_is_room_for_so_many(tmp_path: Path) -> None:
    async with socketio_door(tmp_path, max_connections=1) as here, chatting(here):
        with pytest.raises(socketio.exceptions.ConnectionError):
            async with chatting(here):
                pass


async def test_S2_28_an_answer_that_does_not_begin_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(_self: TurnClient) -> None:
        await asyncio.Event().wait()

    async with socketio_door(tmp_path, request_timeout=300) as here, chatting(here) as client:
        with monkeypatch.context() as patched:
            patched.setattr(TurnClient, "respond", never)
            await client.say("Hello.")
            assert await client.names(4) == [*TURN[:3], "error"]
        await client.say("Again.")
        assert await client.names(4) == TURN


async def test_S2_30_users_have_tokens(tmp_path: Path) -> None:
    async with socketio_door(tmp_path, relay_open_doors=()) as here:
        for auth in (None, {}, {"token": "wrong"}, {"token": 5}):
            with pytest.raises(socketio.exceptions.ConnectionError):
                async with chatting(here, auth):
                    pass
        async with chatting(here, {"token": token("ada")}) as client:
            await client.say("Hello.")
            await client.until("ai-response")
            (session,) = live_sessions(here.app)
            assert session.head.user_id == "ada"


async def test_S2_30_S2_32_S2_33_a_conversation_goes_on_after_a_reconnect(tmp_path: Path) -> None:
    auth = {"token": token("ada"), "conversation_id": new_id()}
    async with socketio_door(tmp_path, relay_open_doors=()) as here:
        async with chatting(here, auth) as client:
            await client.say("Remember me.")
            await client.until("ai-response")
        await here.emptied()
        async with chatting(here, auth) as client:
            told = await client.until("conversation-update")
            assert [one["sender"] for one in told["messages"]] == ["user", "ai"]
            assert told["messages"][0]["text"] == "Remember me."
            await client.say("Hello.")
            assert (await client.names(4)) == TURN
            await client.emit("conversation-update")
            assert len((await client.until("conversation-update"))["messages"]) == 4
        other = {**auth, "token": token("eve")}
        with pytest.raises(socketio.exceptions.ConnectionError):
            async with chatting(here, other):
                pass


async def test_S2_33_who_has_no_token_resumes_by_the_conversation(tmp_path: Path) -> None:
    auth = {"conversation_id": new_id()}
    async with socketio_door(tmp_path) as here:
        async with chatting(here, auth) as client:
            await client.say("Remember me.")
            await client.until("ai-response")
        await here.emptied()
        async with chatting(here, auth) as client:
            assert len((await client.until("conversation-update"))["messages"]) == 2


async def test_S2_19_S2_20_histories_are_of_one_client(tmp_path: Path) -> None:
    async with socketio_door(tmp_path) as here, chatting(here) as one, chatting(here) as two:
        await one.say("I am one.")
        await two.say("I am two.")
        for client, name in ((one, "one"), (two, "two")):
            await client.until("ai-response")
            await client.emit("conversation-update")
            told = (await client.until("conversation-update"))["messages"]
            assert [message["text"] for message in told] == [
                f"I am {name}.",
                f"You said: I am {name}.",
            ]


async def test_S2_34_audio_without_an_end_has_a_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(talker, "MAX_AUDIO", 1_000_000)
    async with socketio_door(tmp_path) as here, chatting(here) as client:
        for _ in range(3):
            await client.emit("audio-stream", bytes(400_000))
        assert "34 MB" in (await client.until("error"))["message"]
        await client.say("Still here?")
        assert await client.names(4) == TURN


async def test_S2_34_what_waits_for_its_turn_has_a_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(talker, "MAX_AUDIO", 3 * len(SPOKEN))
    async with socketio_door(tmp_path) as here, chatting(here) as client:
        for _ in range(8):
            await client.emit("audio-stream", {"audioChunk": SPOKEN, "isFinal": True})
        seen = [(await client.next())[0] for _ in range(16)]
        assert "error" in seen
        assert "ai-response" in seen


async def test_S2_34_an_event_of_three_megabytes_passes(tmp_path: Path) -> None:
    sound = wav_of(SPEECH + bytes(3_000_000))
    async with socketio_door(tmp_path) as here, chatting(here) as client:
        await client.emit("audio-stream", {"audioChunk": sound, "isFinal": True})
        assert await client.names(4) == TURN


async def test_S2_13_what_is_understood_is_told_where_it_is_asked_for(tmp_path: Path) -> None:
    async with socketio_door(tmp_path) as here, chatting(here, {"speechResults": True}) as client:
        await client.emit("audio-stream", {"audioChunk": SPOKEN, "isFinal": True})
        told = await client.until("speech-result")
        while not told["isFinal"]:
            assert "Hello there.".startswith(told["text"])
            told = await client.until("speech-result")
        assert told["text"] == "Hello there."
        assert "message-received" in [event for event, _ in client.seen] or await client.until(
            "message-received"
        )


async def test_a_coach_pauses_and_has_something_said(tmp_path: Path) -> None:
    async with socketio_door(tmp_path) as here, chatting(here) as client:
        await client.say("Hello.")
        await client.until("ai-response")
        assert coach(here, "pause") == "done"
        await client.say("Are you there?")
        assert await client.names(4) == [*TURN[:3], "processing-complete"]
        assert coach(here, "resume") == "done"
        assert coach(here, "whisper", text="Say goodbye.", mode="say") == "done"
        assert (await client.until("ai-response"))["message"]["text"]
        coach(here, "end")
        await here.emptied()
        await client.say("Anybody?")
        assert await client.names(4) == TURN


async def test_S2_20_a_client_that_leaves_ends_its_session(tmp_path: Path) -> None:
    async with socketio_door(tmp_path) as here:
        async with chatting(here) as client:
            await client.say("Hello.")
            await client.until("ai-response")
            assert len(live_sessions(here.app)) == 1
        await here.emptied()
