"""A client dials anew and replays its history, as LiveKit's plugin does: nothing is there twice."""

import asyncio
from pathlib import Path
from typing import Any

from relay.parts.simple import Script
from relay.realtime.earlier import seed_items
from relay.realtime.records import Record, newest
from tests.scenarios.stage import Event, Line, stage
from tests.stores.words import texts

SCRIPT = Script(
    heard=("My name is Ada.", "Where is Oslo?"), replies=("Hello, Ada.", "In Norway.", "Yes.")
)
SAID = ["My name is Ada.", "Hello, Ada.", "Where is Oslo?", "In Norway."]


async def spoken(line: Line) -> None:
    """A spoken turn, to the end of its answer, which is heard at once."""
    await line.speak()
    done = await line.until("response.done")
    item_id = done["response"]["output"][0]["id"]
    await line.send({"type": "relay.playback", "item_id": item_id, "played_ms": 60_000})


async def two_turns(line: Line) -> tuple[str, list[Event]]:
    """The conversation's id, and what its client remembers after two spoken turns."""
    talk = (await line.until("relay.session"))["conversation_id"]
    await spoken(line)
    await spoken(line)
    return talk, remembered(line)


def remembered(line: Line) -> list[Event]:
    """The messages that a client remembers, by id and as texts."""
    words: dict[str, str] = {}
    for event in line.events:
        if "transcript" in event and "delta" not in event:
            words[event["item_id"]] = event["transcript"]
    items = [event["item"] for event in line.events if event["type"] == "conversation.item.added"]
    return [_message(item, words[item["id"]]) for item in items if item["id"] in words]


def _message(item: Event, text: str) -> Event:
    kind = "input_text" if item["role"] == "user" else "output_text"
    content = [{"type": kind, "text": text}]
    return {"id": item["id"], "type": "message", "role": item["role"], "content": content}


async def replay(line: Line, items: list[Event]) -> None:
    """Send them as on a new socket: the settings, then each item after the one before."""
    await line.until("session.created")
    await line.send({"type": "session.update", "session": {"type": "realtime"}})
    for previous, item in zip(["root", *(item["id"] for item in items)], items, strict=False):
        create = {"type": "conversation.item.create", "previous_item_id": previous, "item": item}
        await line.send({**create, "event_id": f"chat_ctx_create_{item['id']}"})


def added(line: Line) -> list[tuple[str, str | None]]:
    """The items that a client was told of, each with the one before it."""
    return [
        (event["item"]["id"], event["previous_item_id"])
        for event in line.events
        if event["type"] == "conversation.item.added"
    ]


async def said(here: Any, conversation_id: str, count: int) -> list[str]:
    return texts(newest([row["record"] for row in await here.stored(conversation_id, count)]))


async def test_in_a_conversation_that_it_continues_each_word_is_told_and_stored_once(
    tmp_path: Path,
) -> None:
    async with stage(tmp_path, SCRIPT) as here:
        async with here.openai_client("?relay=1") as first:
            talk, items = await two_turns(first)
        assert [item["content"][0]["text"] for item in items] == SAID
        async with here.openai_client(f"?conversation_id={talk}") as second:
            await replay(second, items)
            await second.send({"type": "conversation.item.retrieve", "item_id": items[3]["id"]})
            known = await second.until("conversation.item.retrieved")
            assert known["item"]["content"][0]["text"] == "In Norway.", "the engine knows it by id"
            ids = [item["id"] for item in items]
            assert added(second) == list(zip(ids, [None, *ids[:3]], strict=True))
            item = _message({"id": "item_new", "role": "user"}, "Is it cold?")
            await second.send(
                {"type": "conversation.item.create", "item": item}, {"type": "response.create"}
            )
            await second.until("response.done")
            assert added(second)[4] == ("item_new", ids[3])
            assert "error" not in second.types
        answer = second.events[-1]["response"]["output"][0]["content"][0]["transcript"]
        assert await said(here, talk, 6) == [*SAID, "Is it cold?", answer]


async def test_without_its_id_it_is_a_new_conversation_that_has_each_word_once(
    tmp_path: Path,
) -> None:
    async with stage(tmp_path, SCRIPT) as here:
        async with here.openai_client("?relay=1") as first:
            old, items = await two_turns(first)
        async with here.openai_client("?relay=1") as second:
            await replay(second, items)
            new = (await second.until("relay.session"))["conversation_id"]
            while len(added(second)) < 4:
                await second.until("conversation.item.done")
            await spoken(second)
            ids = [item["id"] for item in items]
            assert added(second)[:4] == list(zip(ids, [None, *ids[:3]], strict=True))
        assert (await said(here, new, 6))[:4] == SAID
        assert await said(here, old, 4) == SAID


async def test_what_a_client_deletes_is_stored_and_told_to_no_model_again(tmp_path: Path) -> None:
    """In its own session, and in one that continues it, from the journal and from the store."""
    async with stage(tmp_path, SCRIPT) as here:
        async with here.openai_client("?relay=1") as first:
            talk, items = await two_turns(first)
            await first.send({"type": "conversation.item.delete", "item_id": items[1]["id"]})
            await first.until("conversation.item.deleted")
        left = [items[0], *items[2:]]
        async with here.openai_client(f"?conversation_id={talk}") as second:
            await replay(second, left[:1])
            told = {"type": "conversation.item.delete", "item_id": items[0]["id"]}
            await second.send(told)
            await second.until("conversation.item.deleted")
        await here.emptied()
        rows: list[Record] = []
        async with asyncio.timeout(30):  # the marks come to the store after the words
            while sum(row.utterance.deleted_for_model is True for row in newest(rows)) < 2:
                rows = [row["record"] for row in await here.stored(talk, 4)]
    assert texts(newest(rows)) == SAID, "people read all of it"
    assert [item["content"][0]["text"] for item in seed_items(newest(rows))] == SAID[2:]
