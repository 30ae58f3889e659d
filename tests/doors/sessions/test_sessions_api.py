"""The session API as its old clients call it, through a whole relay (CONTRACTS §2.0)."""

import asyncio
import base64
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from relay.audio.wav import wav_of
from relay.doors.sessions import session
from relay.doors.sessions.door import prompt_of
from relay.parts.interfaces import Reply, failed
from relay.parts.simple import Script
from tests.audio.made import encoded
from tests.doors.sessions.old_client import AUDIO, sessions_door
from tests.golden.shapes import golden
from tests.scenarios.stage import SPEECH, live_sessions, token

LONG = "A long answer that goes on for quite a while so that there is time to interrupt it. " * 3
BROKEN = Reply((), ending=failed("server_error", "The model failed."))


async def test_S0_2_S0_10_S0_37_the_calls_of_the_old_test_suite_in_order(tmp_path: Path) -> None:
    script = Script(heard=["I feel stuck.", "Are you there?", "I want to walk more."])
    async with sessions_door(tmp_path, script) as client:
        created = await client.create("s-1", clientContext={"name": "Mia"})
        assert created["sessionId"] == "s-1"
        host = client.base.removeprefix("http://")
        assert created["data"]["audioStreamUrl"] == f"ws://{host}/audio/s-1"
        assert created["data"]["transcriptUrl"] == f"ws://{host}/transcript/s-1"

        answer = await client.speak("s-1")
        golden("sessions", "audio", answer)
        assert answer["data"]["transcript"] == "I feel stuck."
        assert answer["data"]["aiResponse"] == "You said: I feel stuck."

        paused = await client.post("/api/session/s-1/pause", {"coachId": "c", "reason": "mine"})
        golden("sessions", "pause", paused[1])
        golden("sessions", "audio, paused", await client.speak("s-1"))
        golden("sessions", "resume", (await client.post("/api/session/s-1/resume"))[1])
        await client.speak("s-1")

        status, transcript = await client.get("/api/session/s-1/transcript")
        golden("sessions", "transcript", transcript)
        assert transcript["data"]["totalMessages"] == 3
        record = await client.record("s-1")
        assert [one["text"] for one in record["transcript"]] == list(script.heard)
        assert {one["speaker"] for one in record["transcript"]} == {"client"}
        assert {one["timestamp"] for one in record["transcript"]} == {"2026-12-01T10:00:00Z"}
        golden("sessions", "summary", (await client.post("/api/session/s-1/summary"))[1])
        golden("sessions", "delete", (await client.ask("DELETE", "/api/session/s-1"))[1])
        status, gone = await client.ask("DELETE", "/api/session/s-1")
        assert status == 404
        golden("sessions", "not found", gone)


async def test_S0_3_S0_4_who_may_not_create_is_told_in_order(tmp_path: Path) -> None:
    async with sessions_door(tmp_path, max_concurrent_sessions=1) as client:
        await client.create("one")
        bodies: list[Any] = [None, {}, {"sessionId": ""}, {"sessionId": None}]
        for body in bodies:
            status, error = await client.post("/api/session/create", body)
            assert status == 400
            golden("sessions", "no id", error)
        assert (await client.post("/api/session/create", ["list"]))[0] == 400
        status, error = await client.post("/api/session/create", {"sessionId": "two"})
        assert status == 503
        golden("sessions", "no room", error)
        again = await client.create("one")
        assert again["data"]["session"]["createdAt"]
        await client.ask("DELETE", "/api/session/one")
        await client.create("two")


@pytest.mark.parametrize(
    ("method", "rest"),
    [
        ("GET", "/status"),
        ("POST", "/pause"),
        ("POST", "/resume"),
        ("POST", "/audio"),
        ("GET", "/transcript"),
        ("POST", "/summary"),
        ("DELETE", ""),
    ],
)
async def test_S0_5_an_unknown_session_is_404_before_its_body_is_read(
    tmp_path: Path, method: str, rest: str
) -> None:
    async with sessions_door(tmp_path) as client:
        status, error = await client.ask(method, f"/api/session/none{rest}", ["no object"])

    assert status == 404
    golden("sessions", "not found", error)


async def test_S0_6_S0_7_S0_24_a_pause_keeps_the_model_silent_and_the_words(
    tmp_path: Path,
) -> None:
    async with sessions_door(tmp_path, Script(heard=["One.", "Two."])) as client:
        await client.create()
        async with client.socket("transcript") as reader:
            first = await reader.next("transcript_update")
            golden("sessions", "transcript update", first)
            await client.post("/api/session/one/pause", {"coachId": "c"})
            assert (await reader.next("transcript_update"))["data"]["sessionStatus"] == "paused"
            record = await client.record()
            assert record["status"] == "paused"
            assert record["pausedAt"]
            golden("sessions", "audio, paused", await client.speak())
            golden("sessions", "audio, paused", await client.speak(speaker="coach"))
            pushed = await reader.next("transcript_update")
            assert pushed["data"]["latestTranscript"][-1]["text"] == "One."
            await client.post("/api/session/one/resume")
            record = await client.record()

    assert record["status"] == "active"
    assert record["resumedAt"]
    assert len(record["transcript"]) == 2
    assert record["aiResponses"] == []


async def test_S0_23_a_pause_stops_the_answer_at_once(tmp_path: Path) -> None:
    async with sessions_door(tmp_path, Script(replies=[LONG]), burst=2.0) as client:
        await client.create()
        async with client.socket("audio") as ear, asyncio.TaskGroup() as group:
            speaking = group.create_task(client.speak())
            await ear.next("audio_response")
            await client.post("/api/session/one/pause")
            answer = await speaking
            golden("sessions", "audio", answer)
            assert answer["data"]["aiResponse"] is None
            assert answer["data"]["transcript"]
            left = 0
            with suppress(TimeoutError):
                while True:
                    frame = await ear.next("audio_response", within=1.0)
                    left += len(base64.b64decode(frame["audioData"]))
        assert left <= 0.25 * 48_000, "what was on its way, and no more"
        assert (await client.record())["aiResponses"] == []


async def test_S0_9_a_coach_is_taken_down_and_not_answered(tmp_path: Path) -> None:
    async with sessions_door(tmp_path, Script(heard=["Hello, client here."])) as client:
        await client.create()
        answer = await client.speak(speaker="coach")
        record = await client.record()

    golden("sessions", "audio", answer)
    assert answer["data"]["aiResponse"] is None
    assert answer["data"]["speaker"] == "coach"
    assert [one["speaker"] for one in record["transcript"]] == ["coach"]
    assert record["aiResponses"] == []


async def test_S0_11_the_time_is_measured(tmp_path: Path) -> None:
    async with sessions_door(tmp_path) as client:
        await client.create()
        began = time.monotonic()
        told = (await client.speak())["data"]["processingTime"]
        took = (time.monotonic() - began) * 1000

    assert told.endswith("ms")
    assert 0.2 * took <= int(told.removesuffix("ms")) <= took + 1


async def test_S0_8_S0_12_turns_are_in_their_order(tmp_path: Path) -> None:
    heard = [f"Sentence {number}." for number in range(7)]
    async with sessions_door(tmp_path, Script(heard=heard)) as client:
        await client.create()
        for _ in heard:
            await client.speak()
        record = await client.record()
        async with client.socket("transcript") as reader:
            update = await reader.next("transcript_update")

    assert [one["text"] for one in record["transcript"]] == heard
    assert [one["text"] for one in record["aiResponses"]] == [f"You said: {one}" for one in heard]
    assert [one["text"] for one in update["data"]["latestTranscript"]] == heard[-5:]
    assert update["data"]["totalEntries"] == 7


async def test_S0_13_the_summary_is_of_what_was_said(tmp_path: Path) -> None:
    said = "I want to walk in the park every morning. Walking helps me. I will walk tomorrow."
    async with sessions_door(
        tmp_path, Script(heard=[said], replies=["Walking is fine."])
    ) as client:
        await client.create()
        _, empty = await client.post("/api/session/one/summary")
        assert (empty["data"]["mainTopics"], empty["data"]["actionItems"]) == ([], [])
        await client.speak()
        await client.post("/api/session/one/pause")
        await client.post("/api/session/one/resume")
        _, summary = await client.post("/api/session/one/summary")

    golden("sessions", "summary", summary)
    data = summary["data"]
    assert (data["totalInteractions"], data["aiResponses"]) == (1, 1)
    assert data["coachInterventions"] == 1
    assert any("walk" in topic.lower() for topic in data["mainTopics"])
    assert data["clientSatisfaction"] is None


async def test_S0_14_an_end_closes_the_sockets(tmp_path: Path) -> None:
    async with sessions_door(tmp_path) as client:
        await client.create()
        async with client.socket("audio") as ear, client.socket("transcript") as reader:
            await client.ask("DELETE", "/api/session/one")
            assert await ear.closed() == 1000
            assert await reader.closed() == 1000
        await client.here.emptied()


async def test_S0_15_S0_16_the_system_has_real_figures_and_an_off_switch(tmp_path: Path) -> None:
    async with sessions_door(tmp_path) as client:
        await client.create()
        _, capacity = await client.get("/api/system/capacity")
        golden("sessions", "capacity", capacity)
        data = capacity["data"]
        assert (data["status"], data["activeSessions"], data["maxSessions"]) == ("ready", 1, 4)
        assert data["availableSlots"] == 3
        assert data["cpuUsage"].endswith("%")
        used, total = (float(one.removesuffix("GB")) for one in data["memoryUsage"].split("/"))
        assert 0 < used < total
        async with client.socket("audio") as ear:
            _, off = await client.post("/api/system/power/off")
            golden("sessions", "power off", off)
            assert off["data"]["sessionsCleared"] == 1
            assert await ear.closed() == 1000
        assert (await client.get("/api/system/capacity"))[1]["data"]["status"] == "offline"
        assert (await client.post("/api/session/create", {}))[0] == 400
        assert (await client.post("/api/session/create", {"sessionId": "x"}))[0] == 503
        again = (await client.post("/api/system/power/off"))[1]
        assert again["data"]["sessionsCleared"] == 0
        golden("sessions", "power on", (await client.post("/api/system/power/on"))[1])
        await client.create("x")


async def test_S0_16_the_switch_is_an_admins(tmp_path: Path) -> None:
    async with sessions_door(tmp_path, relay_open_doors=()) as client:
        for role, status in (("learner", 403), ("coach", 403), ("admin", 200)):
            bearer = f"Bearer {token('ada', role)}"  # type: ignore[arg-type]
            told = await client.post("/api/system/power/off", Authorization=bearer)
            assert told[0] == status
        assert (await client.post("/api/system/power/on"))[0] == 401
    async with sessions_door(tmp_path) as client:
        away = {"X-Forwarded-For": "203.0.113.9"}
        assert (await client.post("/api/system/power/off", **away))[0] == 403
        assert (await client.post("/api/system/power/off", Host="relay.example"))[0] == 403


async def test_S0_1_S0_17_health_and_cross_origin_on_its_own_port(tmp_path: Path) -> None:
    async with sessions_door(tmp_path) as client:
        golden("sessions", "health", (await client.get("/health"))[1])
        async with client._http.options(
            f"{client.base}/api/session/create", headers={"Origin": "https://any.example"}
        ) as preflight:
            assert preflight.status == 204
            assert preflight.headers["Access-Control-Allow-Origin"] == "*"
            assert "DELETE" in preflight.headers["Access-Control-Allow-Methods"]


async def test_S0_1_origins_can_be_named(tmp_path: Path) -> None:
    async with sessions_door(tmp_path, allowed_origins=("https://app.example",)) as client:
        status, error = await client.get("/health", Origin="https://evil.example")
        assert status == 403
        golden("sessions", "error with a code", error)
        assert (await client.get("/health", Origin="https://app.example"))[0] == 200


async def test_S0_18_S0_20_S0_22_sockets_greet_also_unknown_sessions(tmp_path: Path) -> None:
    async with sessions_door(tmp_path) as client, client.socket("audio", "nobody") as ear:
        golden("sessions", "audio connected", await ear.next("connected"))
        for nonsense in ("{not json", "[1]", '"text"', "{}"):
            await ear.send(nonsense)
        await ear.send({"type": "audio_chunk", "data": "AAAA", "timestamp": "now"})
        golden("sessions", "processing result", await ear.next("processing_result"))
        async with client.socket("transcript", "nobody") as reader:
            golden("sessions", "transcript connected", await reader.next("connected"))
            await reader.send("{not json")
            with pytest.raises(TimeoutError):
                await reader.next("transcript_update", within=0.5)


async def test_S0_19_processed_audio_is_told_on_the_socket(tmp_path: Path) -> None:
    async with sessions_door(tmp_path) as client:
        await client.create()
        async with client.socket("audio") as ear:
            await ear.send({"type": "audio_chunk", "data": "AAAA"})
            assert (await ear.next("processing_result"))["confidence"] > 0
            await client.speak()
            golden("sessions", "audio processed", await ear.next("audio_processed"))


async def test_S0_21_S0_34_the_answers_sound_comes_in_numbered_frames(tmp_path: Path) -> None:
    async with sessions_door(tmp_path, audio_chunk_size=500) as client:
        await client.create()
        async with client.socket("audio") as ear:
            answers = []
            for _ in range(2):
                await client.speak()
                frames = [await ear.next("audio_response")]
                while "final" not in frames[-1]:
                    golden("sessions", "audio response", frames[-1])
                    frames.append(await ear.next("audio_response"))
                golden("sessions", "last audio response", frames[-1])
                answers.append(frames)

    for frames in answers:
        assert [one["sequence"] for one in frames] == list(range(len(frames)))
        sizes = {len(base64.b64decode(one["audioData"])) for one in frames[:-1]}
        assert sizes == {500}
        assert 0 < len(base64.b64decode(frames[-1]["audioData"])) <= 500


async def test_S0_25_four_sessions_at_once_are_not_mixed(tmp_path: Path) -> None:
    async with sessions_door(tmp_path) as client:

        async def one(name: str) -> Any:
            await client.create(name)
            return await client.record(name)

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(f"s{number}")) for number in range(4)]
        assert [task.result()["id"] for task in tasks] == ["s0", "s1", "s2", "s3"]
        await client.speak("s2")
        for number in range(4):
            said = (await client.record(f"s{number}"))["transcript"]
            assert len(said) == (number == 2)
        assert (await client.post("/api/session/create", {"sessionId": "s4"}))[0] == 503


async def test_S0_26_a_session_that_nobody_uses_expires(tmp_path: Path) -> None:
    async with sessions_door(tmp_path, session_timeout_minutes=0.005) as client:
        await client.create()
        async with client.socket("audio") as ear:
            assert await ear.closed() == 1000
        assert (await client.get("/api/session/one/status"))[0] == 404


async def test_S0_30_S0_32_a_failure_is_an_error(tmp_path: Path) -> None:
    async with sessions_door(tmp_path, Script(replies=[BROKEN])) as client:
        await client.create()
        status, error = await client.post("/api/session/one/audio", {"audioData": AUDIO})
        record = await client.record()

    assert status == 502
    golden("sessions", "error with a code", error)
    assert [one["text"] for one in record["transcript"]] == ["Hello there."]
    assert record["aiResponses"] == []


async def test_S0_30_the_old_fallback_is_marked_as_an_error(tmp_path: Path) -> None:
    settings = {"sessions_legacy_fallback": True}
    async with sessions_door(tmp_path, Script(replies=[BROKEN]), **settings) as client:
        await client.create()
        answer = await client.speak()
        record = await client.record()

    golden("sessions", "audio, fallback", answer)
    assert [one["category"] for one in record["aiResponses"]] == ["fallback_response"]
    assert [one["text"] for one in record["transcript"]] == ["Hello there."]


@pytest.mark.parametrize(
    ("body", "statuses"),
    [
        ({}, {400}),
        ({"audioData": ""}, {400}),
        ({"audioData": 5}, {400}),
        ({"audioData": "not base64!"}, {400, 415, 422}),
        ({"audioData": base64.b64encode(b"This is no audio.").decode()}, {400, 415, 422}),
        ({"audioData": base64.b64encode(b"RIFFjunkjunkjunk").decode()}, {400, 415, 422}),
        ({"audioData": AUDIO, "speaker": "robot"}, {400}),
        ({"audioData": AUDIO, "format": {"sampleRate": "fast"}}, {400}),
    ],
)
async def test_S0_33_audio_that_cannot_be_used_is_an_error(
    tmp_path: Path, body: Any, statuses: set[int]
) -> None:
    async with sessions_door(tmp_path) as client:
        await client.create()
        status, error = await client.post("/api/session/one/audio", body)

    assert status in statuses
    assert error["status"] == "error"


@pytest.mark.parametrize(
    ("data", "more"),
    [
        (encoded("webm", "libopus"), {}),
        (encoded("mp3", "libmp3lame"), {}),
        (encoded("ogg", "libopus"), {}),
        (wav_of(SPEECH, 16_000), {}),
        (SPEECH, {}),
        (SPEECH, {"format": {"sampleRate": 48_000, "channels": 1, "bitsPerSample": 16}}),
    ],
)
async def test_S0_33_every_format_is_heard(
    tmp_path: Path, data: bytes, more: dict[str, Any]
) -> None:
    async with sessions_door(tmp_path) as client:
        await client.create()
        answer = await client.speak(audioData=base64.b64encode(data).decode(), **more)

    assert answer["data"]["transcript"] == "Hello there."


async def test_S0_33_ten_megabytes_pass_and_forty_do_not(tmp_path: Path) -> None:
    large = base64.b64encode(wav_of(bytes(10 * 1024 * 1024))).decode()
    async with sessions_door(tmp_path) as client:
        await client.create()
        assert (await client.speak(audioData=large))["status"] == "success"
        status, error = await client.post("/api/session/one/audio", {"audioData": "A" * 40_000_000})

    assert status == 413
    assert error["status"] == "error"


async def test_turns_of_a_session_that_wait_have_a_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "MAX_WAITING", 1)
    async with sessions_door(tmp_path, Script(replies=[LONG]), burst=2.0) as client:
        await client.create()
        async with client.socket("audio") as ear, asyncio.TaskGroup() as group:
            first = group.create_task(client.speak())
            await ear.next("audio_response")
            status, error = await client.post("/api/session/one/audio", {"audioData": AUDIO})
            assert status == 429
            golden("sessions", "error with a code", error)
            await client.post("/api/session/one/pause")
            await first


async def test_silence_is_no_entry(tmp_path: Path) -> None:
    async with sessions_door(tmp_path, Script(heard=[""])) as client:
        await client.create()
        answer = await client.speak()
        record = await client.record()

    golden("sessions", "audio", answer)
    assert answer["data"]["transcript"] == ""
    assert answer["data"]["aiResponse"] is None
    assert record["transcript"] == []


async def test_S0_27_the_clients_context_reaches_the_model() -> None:
    prompt = prompt_of({"name": "Mia", "goal": "walk more"})
    assert "Mia" in prompt
    assert "walk more" in prompt
    assert "three sentences" in prompt


async def test_S0_31_the_conversation_is_stored_and_a_restart_starts_anew(tmp_path: Path) -> None:
    async with sessions_door(tmp_path) as client:
        await client.create()
        await client.speak()
    async with sessions_door(tmp_path) as client:
        assert (await client.get("/api/session/one/status"))[0] == 404
        await client.create()


async def test_sessions_are_their_creators_their_coachs_and_admins(tmp_path: Path) -> None:
    async with sessions_door(tmp_path) as client:
        ada = {"Authorization": f"Bearer {token('ada')}"}
        assert (await client.post("/api/session/create", {"sessionId": "a"}, **ada))[0] == 200
        for bearer, status in (
            (ada, 200),
            ({"Authorization": f"Bearer {token('eve')}"}, 404),
            ({"Authorization": f"Bearer {token('carl', 'coach')}"}, 404),
            ({"Authorization": f"Bearer {token('root', 'admin')}"}, 200),
            ({}, 404),
        ):
            assert (await client.get("/api/session/a/status", **bearer))[0] == status
            made = await client.post("/api/session/create", {"sessionId": "a"}, **bearer)
            assert made[0] == status


async def test_a_coach_of_the_relay_pauses_and_ends_it(tmp_path: Path) -> None:
    admin = {"Authorization": f"Bearer {token('root', 'admin')}"}
    async with sessions_door(tmp_path) as client:
        await client.create()
        (live,) = live_sessions(client.here.app)
        api = f"{client.here.http}/api/sessions/{live.head.session_id}"
        async with client.socket("transcript") as reader:
            await reader.next("transcript_update")
            async with client._http.post(f"{api}/pause", headers=admin) as told:
                assert told.status == 200
            assert (await reader.next("transcript_update"))["data"]["sessionStatus"] == "paused"
            async with client._http.post(f"{api}/end", headers=admin) as told:
                assert told.status == 200
            await reader.closed()
        assert (await client.get("/api/session/one/status"))[0] == 404


async def test_S0_49_at_the_end_the_sockets_are_closed(tmp_path: Path) -> None:
    async with sessions_door(tmp_path) as client:
        await client.create()
        async with client.socket("audio") as ear:
            client.here.app.draining = True
            await client.here.app.server.drain(0)
            assert await ear.closed() in (1000, 1012)


async def test_S0_50_no_audio_and_no_word_is_logged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with sessions_door(tmp_path, Script(heard=["A secret word."])) as client:
        await client.create("s", clientContext={"name": "Mia"})
        await client.speak("s")
    logged = capsys.readouterr()
    text = logged.out + logged.err

    assert "door=sessions" in text
    assert "secret word" not in text
    assert "Mia" not in text
    assert AUDIO[:100] not in text


async def test_S0_2_any_id_has_an_address(tmp_path: Path) -> None:
    async with sessions_door(tmp_path) as client:
        made = await client.create("a b?c#1")
        address = made["data"]["audioStreamUrl"].replace("ws://", "http://")
        async with client._http.ws_connect(address) as ear:
            assert (await ear.receive_json(timeout=10))["sessionId"] == "a b?c#1"


async def test_a_context_is_bounded(tmp_path: Path) -> None:
    async with sessions_door(tmp_path) as client:
        body = {"sessionId": "one", "clientContext": {"notes": "x" * 200_000}}
        status, error = await client.post("/api/session/create", body)

    assert status == 413
    assert error["status"] == "error"


async def test_S0_27_the_session_carries_context_and_bound_to_the_model(tmp_path: Path) -> None:
    async with sessions_door(tmp_path) as client:
        await client.create(clientContext={"name": "Mia"})
        (live,) = live_sessions(client.here.app)
        grant = live.core.setup.grant

    assert "Mia" in (grant.instructions or "")
    assert grant.bounds.max_output_tokens == 150
