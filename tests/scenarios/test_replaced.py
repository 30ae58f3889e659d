"""The same user comes back to their conversation while the old socket is still open."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from relay.parts.simple import Script
from tests.edge.program import Program, provider, served
from tests.scenarios.by_hand import browser, client, openai, provided
from tests.scenarios.stage import Line, new_id, stage, token

SCRIPT = Script(heard=("My name is Ada.", "Do you remember me?"), replies=("Hello, Ada.", "Yes."))
REPLACED = (4009, "Replaced")


def ada(sub: str = "ada") -> dict[str, Any]:
    return {"additional_headers": {"Authorization": f"Bearer {token(sub)}"}}


async def type_in(line: Line, text: str) -> None:
    """Say something in writing, and hear the answer begin."""
    said = {"type": "input_text", "text": text}
    item = {"type": "message", "role": "user", "content": [said]}
    await line.send({"type": "conversation.item.create", "item": item}, {"type": "response.create"})
    await line.until("response.done")


def endings(relay: Program) -> list[str]:
    """Why sessions ended, by the log."""
    return [one["ending"] for one in relay.lines("combined.log") if "ending" in one]


async def test_after_a_change_of_networks_a_user_is_let_in_at_once(tmp_path: Path) -> None:
    """In a process of its own; nothing tells the relay that the first network is gone."""
    async with (
        provider(SCRIPT) as base_url,
        served(tmp_path, OPENAI_BASE_URL=base_url, MAX_SESSIONS_PER_USER="1") as relay,
        relay.call("/v1/realtime?relay=1", **ada()) as old,
    ):
        talk = (await old.until("relay.session"))["conversation_id"]
        async with relay.call(f"/v1/realtime?conversation_id={talk}", **ada()) as new:
            await new.until("session.created", within=10)
            assert await old.closed() == REPLACED
            assert old.events[-1]["error"]["code"] == "replaced"
            await type_in(new, "Here I am again.")
        async with asyncio.timeout(30):
            while len(endings(relay)) < 2:
                await asyncio.sleep(0.02)
        assert endings(relay)[0] == "replaced"
        async with relay.call("/v1/realtime", **ada()) as third:
            await third.until("session.created")


FULL: dict[str, dict[str, Any]] = {
    "user": {"max_sessions_per_user": 1},
    "house": {"max_connections": 1},
    "address": {"max_connections_per_ip": 1},
    "all": {"max_sessions_per_user": 1, "max_connections": 1, "max_connections_per_ip": 1},
}


@pytest.mark.parametrize("full", FULL)
async def test_in_a_full_house_a_ghost_gives_its_place_to_the_newer_session(
    tmp_path: Path, full: str
) -> None:
    """The ghost's socket answers nothing any more, and nobody waits for that."""
    talk, limits = new_id(), FULL[full]
    at_openai, at_browser = openai(more=f"&conversation_id={talk}"), browser(conversation_id=talk)
    target = at_browser if full == "all" else at_openai
    async with provided(tmp_path, **limits) as (here, _), client(here, target) as ghost:
        await ghost.until("session.created")
        ghost.reads.clear()
        ghost.answers = ghost.pongs = False
        async with client(here, target) as new:
            await new.until("session.created")
            ghost.reads.set()
            assert await ghost.ended() == REPLACED
            async with client(here, at_openai.replace(talk, talk.upper())) as newest:
                await newest.until("session.created")
                assert await new.ended() == REPLACED
                assert here.app.directory.active == 1
                assert newest.closes == []


async def test_in_a_full_house_nobody_else_gets_the_place(tmp_path: Path) -> None:
    talk = new_id()
    async with (
        stage(tmp_path, SCRIPT, max_connections=1) as here,
        here.openai_client(f"?conversation_id={talk}") as first,
    ):
        await first.until("session.created")
        others = (
            (f"?conversation_id={talk}", ada("eve")),
            (f"?conversation_id={new_id()}", ada("ada")),
            ("", ada("ada")),
            (f"?conversation_id={talk}&agent_id=%00", ada("ada")),
        )
        codes = []
        for query, options in others:
            async with here.openai_client(query, **options) as other:
                codes.append((await other.closed())[0])
        assert codes == [1013, 1013, 1013, 4003]
        async with here.openai_client(
            f"?conversation_id={talk}", additional_headers={"Authorization": "Bearer x"}
        ) as stranger:
            assert (await stranger.closed())[0] == 3000
        await type_in(first, "I am still here.")


async def test_another_conversation_does_not_end_the_first(tmp_path: Path) -> None:
    async with (
        stage(tmp_path, SCRIPT, max_sessions_per_user=1) as here,
        here.openai_client("?relay=1") as first,
    ):
        await first.until("relay.session")
        for query in ("", f"?conversation_id={new_id()}"):
            async with here.openai_client(query) as second:
                assert await second.closed() == (4029, "Too many sessions")
        await type_in(first, "I am still here.")


async def test_without_a_limit_the_older_session_ends_too(tmp_path: Path) -> None:
    talk = new_id()
    async with (
        stage(tmp_path, SCRIPT, max_sessions_per_user=0) as here,
        here.openai_client(f"?conversation_id={talk}") as old,
    ):
        await old.until("session.created")
        async with here.s3_client(conversation_id=talk) as new:
            await new.until("session.created")
            assert await old.closed() == REPLACED
            async with here.openai_client(f"?conversation_id={talk}") as newest:
                await newest.until("session.created")
                assert await new.closed() == REPLACED
                await type_in(newest, "Only I am left.")


async def test_what_the_old_session_heard_is_told_to_the_new_one_and_stored_before_it(
    tmp_path: Path,
) -> None:
    talk = new_id()
    async with (
        stage(tmp_path, SCRIPT) as here,
        here.openai_client(f"?conversation_id={talk}") as old,
    ):
        await old.until("session.created")
        await old.speak()
        await old.until("response.output_audio.delta")  # the answer is being heard
        async with here.openai_client(f"?conversation_id={talk}") as new:
            await new.until("session.created")
            assert await old.closed() == REPLACED
            await type_in(new, "Who am I?")
            await here.stored(talk, 4)
        await here.emptied()
        rows = await here.stored(talk, 4)
    sessions = [row["record"].head.session_id for row in rows]
    assert len(set(sessions)) == 2
    first = [row["record"] for row in rows if row["record"].head.session_id == sessions[0]]
    assert {record.utterance.role for record in first} == {"user", "assistant"}


async def test_of_two_users_with_one_new_conversation_the_second_is_refused(tmp_path: Path) -> None:
    talk = new_id()
    async with stage(tmp_path, SCRIPT) as here:
        async with here.openai_client(f"?conversation_id={talk}", **ada("ada")) as first:
            await first.until("session.created")
            async with here.openai_client(f"?conversation_id={talk}", **ada("eve")) as second:
                assert await second.closed(within=10) == (4003, "Forbidden")
            await type_in(first, "This is mine.")
        await here.emptied()
        async with here.openai_client(f"?conversation_id={talk}", **ada("eve")) as second:
            assert await second.closed() == (4003, "Forbidden"), "words were said in it"


async def test_of_two_users_at_the_same_moment_one_is_refused(tmp_path: Path) -> None:
    talk, decided = new_id(), asyncio.Event()

    async def opens(sub: str) -> bool:
        async with here.openai_client(f"?conversation_id={talk}", **ada(sub)) as line:
            try:
                await line.until("session.created")
            except ConnectionClosed:
                assert line.socket.close_code == 4003
                decided.set()
                return False
            await decided.wait()
            return True

    async with stage(tmp_path, SCRIPT) as here, asyncio.timeout(30):
        async with asyncio.TaskGroup() as group:
            both = [group.create_task(opens(sub)) for sub in ("ada", "eve")]
        assert sorted(one.result() for one in both) == [False, True]


async def test_a_conversation_in_which_nothing_was_said_is_nobodys(tmp_path: Path) -> None:
    talk = new_id()
    async with stage(tmp_path, SCRIPT) as here:
        async with here.openai_client(f"?conversation_id={talk}", **ada("ada")) as first:
            await first.until("session.created")
        await here.emptied()
        async with here.openai_client(f"?conversation_id={talk}", **ada("eve")) as second:
            await second.until("session.created")
