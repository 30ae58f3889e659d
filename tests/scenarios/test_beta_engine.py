"""A call whose engine speaks beta is heard and stored as one whose engine speaks GA."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from relay.app import running
from relay.parts.interfaces import FunctionCall, Reply
from relay.parts.simple import Script, scripted_parts
from relay.realtime.events import Event
from relay.simulator import SimulatorOptions, simulate
from tests.scenarios.stage import Line, Stage, loaded, new_id

SCRIPT = Script(
    heard=("Is rhubarb a fruit?",),
    replies=("It is a vegetable.", Reply((FunctionCall("look_up", "{}"),)), "So it says."),
)
TOOL = {"type": "function", "name": "look_up", "parameters": {"type": "object"}}


@dataclass(frozen=True, slots=True)
class Call:
    """What a GA client saw and what was stored; `sent` is what the engine was sent."""

    types: list[str]
    responses: list[Any]
    items: list[Any]
    stored: list[tuple[str, str, str]]
    sent: bytes


async def call(folder: Path, *, beta: bool) -> Call:
    """Take a spoken turn, then a written one that calls a tool."""
    sent: list[bytes] = []
    options = SimulatorOptions(parts=scripted_parts(SCRIPT), beta=beta, on_frame=sent.append)
    conversation = new_id()
    async with await simulate(options) as simulator:
        given = {"openai_api_key": "sk-simulated", "openai_base_url": simulator.base_url}
        async with running(loaded(folder, relay_engine="openai", **given)) as app:
            here = Stage(app, simulator, folder)
            async with here.openai_client(f"?conversation_id={conversation}") as line:
                await talk(line)
                stored = await here.stored(conversation, 4)
    rows = [(row["role"], row["text"], row["state"]) for row in stored]
    done = [event["response"] for event in line.events if event["type"] == "response.done"]
    items = [e["item"] for e in line.events if e["type"] == "conversation.item.done"]
    return Call(
        types=list(dict.fromkeys(line.types)),
        responses=[shown(response) for response in done],
        items=[shown(item) for item in items],
        stored=rows,
        sent=b"\n".join(sent),
    )


async def talk(line: Line) -> None:
    await line.until("session.created")
    audio = {"input": {"turn_detection": {"type": "server_vad", "silence_duration_ms": 200}}}
    session: Event = {"type": "realtime", "tools": [TOOL], "audio": audio}
    await line.send({"type": "session.update", "session": session})
    await line.until("session.updated")
    await line.speak()
    await line.until("response.done")
    content = [{"type": "input_text", "text": "Who says so?"}]
    item = {"type": "message", "role": "user", "content": content}
    await line.send({"type": "conversation.item.create", "item": item})
    await line.send({"type": "response.create", "response": {"output_modalities": ["audio"]}})
    called = (await line.until("response.done"))["response"]["output"][0]
    output = {"type": "function_call_output", "call_id": called["call_id"], "output": "A book."}
    await line.send({"type": "conversation.item.create", "item": output})
    await line.send({"type": "response.create", "response": {"output_modalities": ["text"]}})
    await line.until("response.done")


def shown(value: Any) -> Any:
    """The value without ids and what one of the two dialects never tells."""
    if isinstance(value, list):
        return [shown(one) for one in value]
    if not isinstance(value, dict):
        return value
    left_out = ("id", "call_id", "conversation_id", "usage", "event_id", "object", "audio")
    return {name: shown(one) for name, one in value.items() if name not in left_out}


async def test_a_beta_engine_gives_the_same_call_as_a_ga_engine(tmp_path: Path) -> None:
    ga = await call(tmp_path / "ga", beta=False)
    beta = await call(tmp_path / "beta", beta=True)

    assert beta.stored == ga.stored
    assert [text for _, text, _ in beta.stored][:3] == [
        "Is rhubarb a fruit?",
        "It is a vegetable.",
        "Who says so?",
    ]
    assert beta.types == ga.types
    assert beta.responses == ga.responses
    assert beta.items == ga.items
    assert b'"modalities"' in beta.sent
    assert b"output_modalities" not in beta.sent
