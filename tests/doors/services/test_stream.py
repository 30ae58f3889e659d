"""The answers as they are written, on a WebSocket."""

from tests.doors.services.stage import ServicesStage, services, wav
from tests.golden.shapes import golden


async def asked(stage: ServicesStage, *questions: object) -> list[dict[str, object]]:
    events: list[dict[str, object]] = []
    async with stage.http.ws_connect(f"{stage.url}/ai/stream?token=ada") as socket:
        for question in questions:
            await socket.send_json(question)
            while not events or events[-1]["type"] not in ("done", "error"):
                events.append(await socket.receive_json())
            events.append({"type": "next"})
    return events


async def test_S4_37_what_was_said_is_answered_piece_by_piece() -> None:
    async with services() as stage:
        events = await asked(stage, {"audio": wav()}, {"text": "And you?"})

    assert [event["type"] for event in events] == [
        *("transcript", "delta", "done", "next", "delta", "done", "next")
    ]
    for event in events[:3]:
        golden("services", f"stream {event['type']}", event)
    assert events[5]["text"] == "You said: And you?"


async def test_S4_37_a_wrong_question_is_an_error_and_the_socket_goes_on() -> None:
    async with services() as stage:
        events = await asked(stage, {}, {"text": 7}, {"text": "And you?"})

    golden("services", "stream error", events[0])
    assert [event["type"] for event in events] == [
        *("error", "next", "error", "next", "delta", "done", "next")
    ]


async def test_S4_37_a_stranger_has_no_stream() -> None:
    async with services() as stage:
        answered = await stage.get("/ai/stream", token="")

    assert answered.status == 401
    golden("services", "401", answered.body)
