"""Every fault over a real socket, seen by the `websockets` client."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from relay.engines.cascade.outputs import Pace
from relay.parts.interfaces import FunctionCall, Reply, SpokenMessage
from relay.parts.simple import Script, scripted_parts, silence, tone
from relay.simulator import Faults, Simulator, SimulatorOptions, parse, simulate
from relay.simulator.faults.plan import Fault
from tests.engines.cascade.driving import NO_TURNS, TEXT, TRANSCRIBED, Event

KEY = {"Authorization": "Bearer sk-good"}
FAST = Pace(burst=1000, text_seconds=0)
KIND = "conversation.item.input_audio_transcription"
SCRIPT = Script(heard=("How are you?", "Fine."), replies=("One two three four five six.",))


class Caller:
    """A client that asks, and reads until it has what it waits for."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.events: list[Event] = []

    async def say(self, kind: str, **fields: Any) -> None:
        await self.socket.send(json.dumps({"type": kind, **fields}))

    async def hears(self, kind: str, count: int = 1) -> Event:
        """Return the n-th event of a type; raises `ConnectionClosed` when none comes any more."""
        async with asyncio.timeout(10):
            while len(self.of(kind)) < count:
                self.events.append(json.loads(await self.socket.recv()))
        return self.of(kind)[count - 1]

    async def until_the_end(self) -> ConnectionClosed:
        with pytest.raises(ConnectionClosed) as closed:
            await self.hears("never")
        return closed.value

    def of(self, kind: str) -> list[Event]:
        return [event for event in self.events if event["type"] == kind]

    def types(self) -> list[str]:
        return [event["type"] for event in self.events]

    async def asks(self) -> None:
        """Ask for an answer in text."""
        await self.say("session.update", session=TEXT)
        await self.say("response.create")

    async def speaks(self) -> None:
        """Say one turn, with transcription."""
        await self.say("session.update", session=TRANSCRIBED)
        audio = base64.b64encode(tone(300) + silence(700)).decode()
        await self.say("input_audio_buffer.append", audio=audio)


@asynccontextmanager
async def a_simulator(*toml: str, **more: Any) -> AsyncIterator[Simulator]:
    faults = parse("\n".join(f"[[fault]]\n{fault}" for fault in toml)).faults
    parts = scripted_parts(SCRIPT)
    async with await simulate(SimulatorOptions(parts, pace=FAST, faults=faults, **more)) as twin:
        yield twin


@asynccontextmanager
async def a_caller(twin: Simulator) -> AsyncIterator[Caller]:
    async with connect(
        f"{twin.url}?model=m", additional_headers=KEY, max_size=None, close_timeout=1
    ) as socket:
        yield Caller(socket)


# ------------------------------------------------------------------------------------- the door


@pytest.mark.parametrize("status", [401, 403, 429, 500, 503])
async def test_an_upgrade_is_refused_with_a_status(status: int):
    async with a_simulator(f'mode = "handshake"\nstatus = {status}\nretry_after = 7') as twin:
        with pytest.raises(InvalidStatus) as refused:
            async with a_caller(twin):
                pass

    assert refused.value.response.status_code == status
    assert refused.value.response.headers["Retry-After"] == "7"
    assert twin.connections == 0


async def test_an_upgrade_is_redirected():
    # 302 away from the twin: `websockets` follows, and a key that goes along is the relay's matter.
    elsewhere = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    port = elsewhere.sockets[0].getsockname()[1]
    location = f"ws://127.0.0.1:{port}/elsewhere"
    async with (
        elsewhere,
        a_simulator(f'mode = "handshake"\nstatus = 302\nlocation = "{location}"') as twin,
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", twin.port)
        writer.write(
            b"GET /v1/realtime?model=m HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        )
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        writer.close()

    assert head.startswith("HTTP/1.1 302 ")
    assert f"Location: {location}\r\n" in head


async def test_only_the_second_connection_is_refused():
    async with a_simulator('mode = "handshake"\nstatus = 500\nonly = { session = 2 }') as twin:
        for number in (1, 2, 3):
            if number == 2:
                with pytest.raises(InvalidStatus):
                    async with a_caller(twin):
                        pass
            else:
                async with a_caller(twin) as caller:
                    await caller.hears("session.created")


@pytest.mark.parametrize(
    ("code", "close"),
    [("invalid_api_key", 3000), ("invalid_model", 4000), ("beta_api_shape_disabled", 4000)],
)
async def test_a_connection_is_refused_in_band(code: str, close: int):
    async with (
        a_simulator(f'mode = "in_band_refusal"\ncode = "{code}"') as twin,
        a_caller(twin) as caller,
    ):
        closed = await caller.until_the_end()

    assert [event["error"]["code"] for event in caller.events] == [code]
    assert closed.rcvd is not None
    assert (closed.rcvd.code, closed.rcvd.reason) == (close, f"invalid_request_error.{code}")


async def test_a_server_that_does_not_read_for_a_while():
    seen: list[bytes] = []
    fault = 'mode = "slow_reader"\nseconds = 0.5\nafter_events = 1'
    async with a_simulator(fault, on_frame=seen.append) as twin, a_caller(twin) as caller:
        await caller.hears("session.created")
        loop = asyncio.get_running_loop()
        before = loop.time()  # it rests between the two
        await caller.say("input_audio_buffer.clear")
        await caller.hears("input_audio_buffer.cleared")
        await caller.say("input_audio_buffer.clear")
        await caller.hears("input_audio_buffer.cleared", 2)

        assert loop.time() - before >= 0.5
        assert len(seen) == 2


async def test_a_client_that_sends_on_meanwhile_meets_back_pressure():
    fault = 'mode = "slow_reader"\nseconds = 1'
    big = json.dumps({"type": "input_audio_buffer.append", "audio": "A" * 1_000_000})

    async def send_15_megabytes(caller: Caller) -> None:
        for _ in range(15):  # `websockets` itself would read 16 messages ahead
            await caller.socket.send(big)

    async with a_simulator(fault) as twin, a_caller(twin) as caller:
        await caller.hears("session.created")
        with pytest.raises(TimeoutError):  # it cannot get rid of them while nobody reads
            await asyncio.wait_for(send_15_megabytes(caller), 0.1)
        await caller.say("input_audio_buffer.clear")

        await caller.hears("input_audio_buffer.cleared")


async def test_a_server_that_does_not_read_stops_all_the_same():
    async with a_simulator('mode = "slow_reader"\nseconds = 600') as twin, a_caller(twin) as caller:
        await caller.hears("session.created")
        async with asyncio.timeout(5):
            await twin.aclose()

        assert twin.connections == 0


# ------------------------------------------------------------------------------------ the session


@pytest.mark.parametrize(
    ("fault", "told", "code"),
    [
        ("", ["session.created", "error"], 1001),
        ("error = false", ["session.created"], 1001),
    ],
)
async def test_a_session_expires(fault: str, told: list[str], code: int):
    async with (
        a_simulator(f'mode = "session_expired"\nseconds = 0.05\n{fault}') as twin,
        a_caller(twin) as caller,
    ):
        closed = await caller.until_the_end()

    assert caller.types() == told
    assert closed.rcvd is not None
    assert closed.rcvd.code == code
    assert closed.rcvd.reason == "Your session hit the maximum duration of 60 minutes."


async def test_a_session_expires_with_an_error_and_no_close():
    fault = 'mode = "session_expired"\nseconds = 0.05\nclose = false'
    async with a_simulator(fault) as twin, a_caller(twin) as caller:
        error = await caller.hears("error")
        assert error["error"]["code"] == "session_expired"

        assert await silent(caller)


async def test_a_session_goes_silent_and_stays_open():
    async with (
        a_simulator('mode = "session_stalled"\nafter_events = 4') as twin,
        a_caller(twin) as caller,
    ):
        await caller.asks()
        await caller.hears("response.output_item.added")
        assert len(caller.events) == 4

        assert await silent(caller)
        assert twin.connections == 1


async def silent(caller: Caller) -> bool:
    """Return whether nothing comes, although the server answers a ping."""
    await caller.say("response.create")
    await (await caller.socket.ping())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await caller.socket.recv()
    return True


async def test_a_session_is_cut_by_a_lost_connection():
    async with (
        a_simulator('mode = "session_cut"\nafter_events = 5') as twin,
        a_caller(twin) as caller,
    ):
        await caller.asks()
        closed = await caller.until_the_end()

    assert len(caller.events) == 5
    assert closed.rcvd is None  # no close frame: 1006


async def test_a_response_is_cut_by_a_lost_connection():
    fault = 'mode = "response_cut"\nafter_deltas = 3\nonly = { response = 2 }'
    async with a_simulator(fault) as twin, a_caller(twin) as caller:
        await caller.asks()
        await caller.hears("rate_limits.updated")
        await caller.say("response.create")
        closed = await caller.until_the_end()

    assert closed.rcvd is None
    assert len(caller.of("response.output_text.delta")) == 6 + 3
    assert len(caller.of("response.done")) == 1
    assert twin.connections == 0


# ----------------------------------------------------------------------------------- transcription


async def test_words_that_come_after_the_answer():
    async with (
        a_simulator('mode = "transcription_late"\nseconds = 0.6') as twin,
        a_caller(twin) as caller,
    ):
        await caller.speaks()
        await caller.hears(f"{KIND}.completed")

    types = caller.types()
    assert types.index("response.done") < types.index(f"{KIND}.delta")


async def test_words_that_come_twice():
    async with a_simulator('mode = "transcription_doubled"') as twin, a_caller(twin) as caller:
        await caller.speaks()
        second = await caller.hears(f"{KIND}.completed", 2)

    assert second["transcript"] == "How are you?"


async def test_an_empty_transcript():
    async with a_simulator('mode = "transcription_empty"') as twin, a_caller(twin) as caller:
        await caller.speaks()

        assert (await caller.hears(f"{KIND}.completed"))["transcript"] == ""


async def test_words_that_fail():
    async with a_simulator('mode = "transcription_failed"') as twin, a_caller(twin) as caller:
        await caller.speaks()

        assert (await caller.hears(f"{KIND}.failed"))["error"]["code"] == "server_error"
        await caller.hears("response.done")


async def test_words_that_grow():
    async with a_simulator('mode = "transcription_interim"') as twin, a_caller(twin) as caller:
        await caller.speaks()
        await caller.hears(f"{KIND}.completed", 3)

    told = [(event["transcript"], event["status"]) for event in caller.of(f"{KIND}.completed")]
    assert told == [
        ("How", "in_progress"),
        ("How are", "in_progress"),
        ("How are you?", "completed"),
    ]


async def test_words_before_their_item():
    async with a_simulator('mode = "transcription_before_item"') as twin, a_caller(twin) as caller:
        await caller.speaks()
        await caller.hears("conversation.item.added")

    types = caller.types()
    assert types.index(f"{KIND}.delta") < types.index("input_audio_buffer.committed")


async def test_words_out_of_order():
    fault = 'mode = "transcription_out_of_order"'
    async with a_simulator(fault) as twin, a_caller(twin) as caller:
        await caller.say("session.update", session=TRANSCRIBED)
        await caller.say("session.update", session=NO_TURNS)
        for _ in range(2):
            audio = base64.b64encode(tone(200)).decode()
            await caller.say("input_audio_buffer.append", audio=audio)
            await caller.say("input_audio_buffer.commit")
        await caller.hears(f"{KIND}.completed", 2)

    committed = [event["item_id"] for event in caller.of("input_audio_buffer.committed")]
    assert [event["item_id"] for event in caller.of(f"{KIND}.completed")] == committed[::-1]


# ---------------------------------------------------------------------------------------- answers


async def status_of(caller: Caller) -> Event:
    await caller.asks()
    response: Event = (await caller.hears("response.done"))["response"]
    return response


async def test_an_answer_that_fails():
    fault = 'mode = "response_failed"\ncode = "insufficient_quota"'
    async with a_simulator(fault) as twin, a_caller(twin) as caller:
        response = await status_of(caller)

    assert response["status"] == "failed"
    assert response["status_details"]["error"]["code"] == "insufficient_quota"


async def test_an_answer_that_is_incomplete():
    fault = 'mode = "response_incomplete"\nreason = "content_filter"'
    async with a_simulator(fault) as twin, a_caller(twin) as caller:
        response = await status_of(caller)

    assert (response["status"], response["status_details"]["reason"]) == (
        "incomplete",
        "content_filter",
    )


async def test_an_answer_in_two_items():
    async with a_simulator('mode = "response_interleaved"') as twin, a_caller(twin) as caller:
        await status_of(caller)

    indexes = [event["output_index"] for event in caller.of("response.output_text.delta")]
    assert indexes == [0, 1, 0, 1, 0, 1]


async def test_an_answer_without_response_created():
    async with a_simulator('mode = "response_not_created"') as twin, a_caller(twin) as caller:
        await status_of(caller)

    assert caller.of("response.created") == []


async def test_no_rate_limits():
    async with a_simulator('mode = "rate_limits_missing"') as twin, a_caller(twin) as caller:
        await status_of(caller)
        await caller.say("input_audio_buffer.clear")
        await caller.hears("input_audio_buffer.cleared")

    assert caller.of("rate_limits.updated") == []


# ------------------------------------------------------------------------------------------ events


@pytest.mark.parametrize(
    ("fault", "shows"),
    [
        ('mode = "errors"\nevery = 4', lambda c: len(c.of("error")) >= 2),
        (
            'mode = "unknown_events"\nevery = 4\ntype = "session.mood"',
            lambda c: len(c.of("session.mood")) >= 2,
        ),
        (
            'mode = "unknown_fields"\nname = "x_new"',
            lambda c: all("x_new" in event for event in c.events),
        ),
        ('mode = "key_order"', lambda c: all(list(event)[-1] == "type" for event in c.events)),
        (
            'mode = "event_missing"\nevent = "response.output_text.done"',
            lambda c: not c.of("response.output_text.done"),
        ),
        (
            'mode = "event_doubled"\nevent = "response.created"',
            lambda c: len(c.of("response.created")) == 2,
        ),
        (
            'mode = "event_late"\nevent = "response.content_part.added"\nseconds = 0.001',
            lambda c: (
                c.types().index("response.content_part.added")
                > c.types().index("response.output_text.delta")
            ),
        ),
    ],
    ids=lambda value: value.split('"')[1] if isinstance(value, str) else "",
)
async def test_events_in_another_shape(fault: str, shows: Callable[[Caller], bool]):
    async with a_simulator(fault) as twin, a_caller(twin) as caller:
        response = await status_of(caller)
        await caller.say("input_audio_buffer.clear")
        await caller.hears("input_audio_buffer.cleared")

    assert response["status"] == "completed"
    assert shows(caller)


async def test_a_retrieved_item_of_five_mebibytes():
    async with a_simulator('mode = "large_item"') as twin, a_caller(twin) as caller:
        await caller.speaks()
        item = (await caller.hears("conversation.item.added"))["item"]
        await caller.say("conversation.item.retrieve", item_id=item["id"])
        retrieved = await caller.hears("conversation.item.retrieved")

    assert len(retrieved["item"]["content"][0]["audio"]) == 5 * 1024 * 1024


async def test_a_client_that_takes_a_mebibyte_at_most_loses_its_session():
    async with a_simulator('mode = "large_item"') as twin:
        url = f"{twin.url}?model=m"
        async with connect(url, additional_headers=KEY, max_size=1 << 20) as socket:
            caller = Caller(socket)
            await caller.speaks()
            item = (await caller.hears("conversation.item.added"))["item"]
            await caller.say("conversation.item.retrieve", item_id=item["id"])
            closed = await caller.until_the_end()

    assert closed.sent is not None
    assert closed.sent.code == 1009


# -------------------------------------------------------------------------------------- as a whole


async def test_a_function_round_with_a_comment_over_a_socket():
    call = FunctionCall("get_weather", {"city": "London"})
    comment = SpokenMessage("Let me look.", phase="commentary")
    script = Script(replies=(Reply((comment, call)), "It is {heard}."))
    options = SimulatorOptions(scripted_parts(script), pace=FAST)
    async with await simulate(options) as twin, a_caller(twin) as caller:
        await caller.asks()
        call_id = (await caller.hears("response.function_call_arguments.done"))["call_id"]
        item = {"type": "function_call_output", "call_id": call_id, "output": "foggy"}
        await caller.say("conversation.item.create", item=item)
        await caller.hears("response.done")
        await caller.say("response.create")
        await caller.hears("response.done", 2)

    texts = [event["text"] for event in caller.of("response.output_text.done")]
    assert texts == ["Let me look.", "It is foggy."]


async def test_faults_made_in_python_are_those_of_a_script():
    fault: Fault = parse('[[fault]]\nmode = "session_cut"\nafter_events = 1').faults.faults[0]
    options = SimulatorOptions(scripted_parts(), faults=Faults((fault,)))
    async with await simulate(options) as twin, a_caller(twin) as caller:
        await caller.until_the_end()

    assert caller.types() == ["session.created"]
