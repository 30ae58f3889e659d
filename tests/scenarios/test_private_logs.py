"""What stands in the logs of a whole evening, good calls and bad: whose call it was, no secret."""

import contextlib
import json
import signal
import uuid
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed

from tests.edge.program import Program, served
from tests.realtime import wire_events as wire
from tests.scenarios.by_hand import KEY, Provider, browser, listening, openai
from tests.scenarios.stage import SECRET, Event, token
from tests.websocket.ends import TEXT

HEARD = "My neighbour waters the tomatoes."
SAID = "Then thank him with a marmalade."
TYPED = "He would rather have honey."
WORDS = [word for text in (HEARD, SAID, TYPED) for word in text.strip(".").split() if len(word) > 5]
ECHO: Event = {
    "type": "error",
    "error": {"code": "invalid_api_key", "message": f"Incorrect API key provided: {KEY}. {HEARD}"},
}
OF_A_CALL = {
    *("session started", "session failed"),
    *("engine refused", "engine unreachable", "token renewal refused"),
}
"""Lines that are about one call."""


async def a_good_call(relay: Program, provider: Provider) -> None:
    async with relay.call(browser("ada")) as line:
        await line.until("session.created")
        call = await provider.call("ada")
        call.send(
            *wire.spoken_turn("U1", None), wire.heard_delta("U1", HEARD), wire.heard("U1", HEARD)
        )
        call.send(*wire.answer("A1", SAID, "U1"))
        await line.until("response.done")


async def a_call_of_mistakes(relay: Program, provider: Provider) -> None:
    """Bad events with words and tokens in them, and tokens that are refused."""
    async with relay.call(openai("grace", "&relay=1")) as line:
        await line.until("relay.session")
        bad = (
            f'{{"type": "{TYPED}", "token": "{token()}"',
            f'["{TYPED}"]',
            f'{{"type": "{TYPED}"}}',
        )
        for frame in bad:
            await line.socket.send(frame)
            await line.until("error")
        await line.send({"type": "relay.token", "token": token("eve")})
        await line.send({"type": "relay.token", "token": token("grace")[:-4]})
        await line.send({"type": "conversation.item.create", "item": typed(TYPED)})
        call = await provider.call("grace")
        await call.until("conversation.item.create")
        call.send(*wire.typed("U1", TYPED, None), ECHO)
        await line.until("error")
        call.write(TEXT, f'{{"type": "response.done", "{SAID}'.encode())
        await line.socket.send(TYPED.encode())  # as a binary frame
        with contextlib.suppress(ConnectionClosed):
            while True:
                await line.socket.recv()


def typed(text: str) -> Event:
    content = [{"type": "input_text", "text": text}]
    return {"type": "message", "role": "user", "content": content}


async def calls_that_the_provider_refuses(relay: Program, provider: Provider) -> None:
    provider.greets = False
    async with relay.call(openai("linus")) as line:
        call = await provider.call("linus")
        call.send(ECHO)
        call.say_goodbye(3000, f"invalid_api_key {KEY}")
        await line.closed()
    body = json.dumps(ECHO).encode()
    provider.refusal = b"HTTP/1.1 401 No\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    async with relay.call(browser("linus")) as line:
        await line.closed()


async def calls_that_the_relay_refuses(relay: Program, provider: Provider) -> None:
    for target in (
        browser(token=token()[:-3]),
        browser(agent_id=""),
        browser(conversation_id="x", voice=token()),
        openai("ada", f"&model={token()}&intent=transcription"),
        f"/v1/{token()}",
    ):
        async with relay.call(target) as line:
            await line.closed()
    async with relay.call(browser(), subprotocols=[f"openai-insecure-api-key.{token()}"]) as line:
        await line.closed()


@pytest.mark.parametrize("level", ["info", "debug"])
async def test_S3_17_S3_60_S3_61_every_line_of_a_call_names_it_and_none_holds_a_secret_or_a_word(
    tmp_path: Path, level: str
) -> None:
    async with (
        listening() as provider,
        served(
            tmp_path,
            OPENAI_BASE_URL=provider.base_url,
            OPENAI_API_KEY=KEY,
            LOG_LEVEL=level,
            DRAIN_TIMEOUT="1",
        ) as relay,
    ):
        for evening in (a_good_call, a_call_of_mistakes, calls_that_the_provider_refuses):
            await evening(relay, provider)
        await calls_that_the_relay_refuses(relay, provider)
        relay.process.send_signal(signal.SIGTERM)
        assert await relay.ended() == 0
        lines = relay.lines("combined.log")
    messages = [line["message"] for line in lines]
    assert messages.count("session started") == 2
    assert messages.count("session ended") == 10
    assert {"engine refused", "engine unreachable", "token renewal refused"} <= set(messages)
    for line in lines:
        if line["message"] in OF_A_CALL or line["message"] == "session ended":
            assert uuid.UUID(line["session_id"]).version == 4, line
    ids = [line["session_id"] for line in lines if line["message"] == "session ended"]
    assert len(set(ids)) == len(ids)
    assert {line["session_id"] for line in lines if line["message"] in OF_A_CALL} <= set(ids)
    for path in [*tmp_path.rglob("*.log"), *(tmp_path / "logs").iterdir()]:
        told = path.read_text()
        head, *_ = token().split(".")
        assert [secret for secret in (KEY, SECRET, head, *WORDS) if secret in told] == [], path
