"""What is no word of the conversation, and many faults at once."""

from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from relay.parts.interfaces import FunctionCall, McpCall, Reply, SpokenMessage
from relay.parts.simple import Script
from relay.simulator.faults import (
    Condition,
    Errors,
    EventDoubled,
    EventLate,
    KeyOrder,
    RateLimitsMissing,
    ResponseNotCreated,
    TranscriptionDoubled,
    TranscriptionInterim,
    TranscriptionLate,
    UnknownEvents,
    UnknownFields,
)
from relay.simulator.faults.plan import Fault
from tests.scenarios.faulty import PLAIN, SCRIPT, TYPED, bad_day, together
from tests.scenarios.stage import Event

WEATHER = FunctionCall("get_weather", {"city": "Paris"})
COMMENT = SpokenMessage("Let me look it up.", phase="commentary")
SEARCH = McpCall("docs", "search", {"query": "Paris"}, output="Two pages.")
DOCS = {"type": "mcp", "server_label": "docs", "server_url": "https://docs.example"}


def output_of(call: Event) -> Event:
    item = {"type": "function_call_output", "call_id": call["call_id"], "output": "foggy"}
    return {"type": "conversation.item.create", "item": item}


@pytest.mark.parametrize("weave", ["overlapping", "in_turn", "alternating"])
@pytest.mark.parametrize(
    "fault", [UnknownFields(), EventDoubled(event="response.output_item.done"), KeyOrder()]
)
async def test_a_comment_a_call_and_what_came_of_it(
    tmp_path: Path, weave: str, fault: Fault
) -> None:
    first = Reply((COMMENT, WEATHER), interleaving=weave)  # type: ignore[arg-type]
    script = Script(replies=(first, "It is foggy."))
    async with bad_day(tmp_path, fault, script=script) as here, here.call() as caller:
        await caller.types()
        await caller.answered()
        (called,) = caller.of("response.function_call_arguments.done")
        await caller.line.send(output_of(called), {"type": "response.create"})
        await caller.answered(2)
        await caller.at_rest()
    assert here.told(caller) == [
        ("user", TYPED, "final"),
        ("assistant", COMMENT.text, "final"),
        ("assistant", "It is foggy.", "final"),
    ]
    assert called["arguments"] == '{"city":"Paris"}'


@pytest.mark.parametrize("fails", [False, True])
async def test_a_tool_of_an_mcp_server_is_shown_and_is_no_utterance(
    tmp_path: Path, fails: bool
) -> None:
    call = McpCall("docs", "search", "{}", error="No such page.") if fails else SEARCH
    script = Script(
        replies=(Reply((COMMENT, call), interleaving="in_turn"), "There are pages."),
        servers={"docs": [{"name": "search", "input_schema": {"type": "object"}}]},
    )
    async with bad_day(tmp_path, script=script) as here, here.call() as caller:
        tool = {**DOCS, "require_approval": "never"}
        session = {"type": "realtime", "tools": [tool]}
        await caller.line.send({"type": "session.update", "session": session})
        await caller.hears(lambda: caller.of("mcp_list_tools.completed"))
        await caller.types()
        await caller.answered()
        await caller.line.send({"type": "response.create"})
        await caller.answered(2)
        await caller.at_rest()
    assert caller.counts["response.mcp_call.failed" if fails else "response.mcp_call.completed"]
    assert [told[1] for told in here.told(caller)] == [TYPED, COMMENT.text, "There are pages."]


@pytest.mark.parametrize("modality", ["text", "audio"])
async def test_what_is_said_out_of_band_is_heard_and_not_stored(
    tmp_path: Path, modality: str
) -> None:
    script = Script(replies=SCRIPT.replies, asides=("A secret summary.",))
    aside = {"conversation": "none", "output_modalities": [modality], "metadata": {"of": "me"}}
    async with bad_day(tmp_path, script=script) as here, here.call() as caller:
        await caller.says(200)
        await caller.answered()
        await caller.line.send({"type": "response.create", "response": aside})
        await caller.answered(2)
        await caller.types()
        await caller.answered(3)
        await caller.written_down()
        await caller.at_rest()
    told = caller.of("response.done")[1]["response"]
    assert (told["conversation_id"], told["metadata"]) == (None, {"of": "me"})
    (content,) = told["output"][0]["content"]
    assert "A secret summary." in content.values()
    assert here.told(caller) == PLAIN[:4]


async def test_everything_that_should_change_nothing_at_once_and_by_chance(tmp_path: Path) -> None:
    often, rarely = Condition(probability=0.5), Condition(probability=0.1)
    faults = (
        TranscriptionLate(seconds=0.2, only=often),
        TranscriptionInterim(only=often),
        TranscriptionDoubled(only=often),
        ResponseNotCreated(only=often),
        RateLimitsMissing(only=often),
        EventLate(event="conversation.item.done", seconds=0.1, only=often),
        EventDoubled(event="conversation.item.added", only=often),
        EventDoubled(event="response.done", only=often),
        Errors(every=5, only=often),
        UnknownEvents(every=7, only=often),
        UnknownFields(only=often),
        KeyOrder(only=rarely),
    )
    async with bad_day(tmp_path, *faults) as here, AsyncExitStack() as calls:
        callers = [await calls.enter_async_context(here.call(f"ada{n}")) for n in range(24)]
        await together(*(caller.converses_to_the_last_word() for caller in callers))
    assert [told for c in callers if (told := here.told(c)) != PLAIN] == []
    shapes = {tuple(sorted(caller.counts.items())) for caller in callers}
    assert len(shapes) == len(callers), "no two of them met the same faults"
