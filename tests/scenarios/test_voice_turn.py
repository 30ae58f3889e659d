"""Whole calls over real sockets: client, relay, OpenAI engine, simulator, and back."""

from pathlib import Path

from relay.parts.simple import Script
from tests.scenarios.stage import stage, token


async def test_a_voice_turn_through_the_openai_engine(tmp_path: Path) -> None:
    script = Script(heard=("Good morning.",), replies=("Good morning to you.",))
    async with stage(tmp_path, script) as here, here.openai_client("?relay=1") as line:
        hello = await line.until("relay.session")
        assert line.types == ["session.created", "relay.session"]
        await line.speak()
        await line.until("response.done")
        for kind in (
            "input_audio_buffer.speech_started",
            "input_audio_buffer.speech_stopped",
            "input_audio_buffer.committed",
            "conversation.item.added",
            "response.created",
            "response.output_audio.delta",
            "response.output_audio_transcript.done",
        ):
            assert kind in line.types, kind
        rows = await here.stored(hello["conversation_id"], 2)
        assert [(row["role"], row["text"]) for row in rows] == [
            ("user", "Good morning."),
            ("assistant", "Good morning to you."),
        ]


async def test_S3_18_the_upstream_request_has_our_key_and_no_beta_header(tmp_path: Path) -> None:
    async with stage(tmp_path) as here, here.openai_client() as line:
        await line.until("session.created")
        assert here.simulator is not None
        headers = here.simulator.headers[-1]
        assert headers["authorization"] == "Bearer sk-simulated-provider-key"
        assert "openai-beta" not in headers
        assert "sec-websocket-protocol" not in headers
        assert "sec-websocket-extensions" not in headers, "no compression"
        assert len(headers["openai-safety-identifier"]) == 64
        assert "ada" not in headers["openai-safety-identifier"]


async def test_every_place_for_a_token_works(tmp_path: Path) -> None:
    async with stage(tmp_path) as here:
        async with here.openai_client() as line:
            await line.until("session.created")
        async with here.browser() as line:
            await line.until("session.created")
            assert line.socket.subprotocol == "realtime"
        for query in (f"?token={token()}", f"?access_token={token()}"):
            async with here.openai_client(query, additional_headers={}) as line:
                await line.until("session.created")


async def test_a_relay_aware_browser_gets_relay_v1_when_it_offers_nothing_else(
    tmp_path: Path,
) -> None:
    async with stage(tmp_path) as here:
        protocols = ["relay.v1", f"openai-insecure-api-key.{token()}"]
        async with here.openai_client(additional_headers={}, subprotocols=protocols) as line:
            assert line.socket.subprotocol == "relay.v1"
            await line.until("relay.session")


async def test_S3_1_S3_42_health_is_on_the_port_beside(tmp_path: Path) -> None:
    async with stage(tmp_path) as here, here.openai_client() as line:
        await line.until("session.created")
        status, body = await here.get("/health")
        assert status == 200
        assert '"activeConnections": 1' in body
        assert (await here.get("/nothing"))[0] == 404
        assert (await here.get("/ready"))[0] == 200
        assert "relay_sessions_active 1.0" in (await here.get("/metrics"))[1]


async def test_S3_13_S3_14_a_client_that_leaves_leaves_nothing_behind(tmp_path: Path) -> None:
    async with stage(tmp_path) as here:
        async with here.openai_client() as line:
            await line.until("session.created")
        await here.emptied()
        assert here.app.directory.active == 0
