"""The client of a project: the real PostgREST, and proxies before it that fail."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from relay.interfaces import SupabaseCredentials
from relay.stores.supabase.client import PAGE, RestClient, RestTimeouts
from relay.stores.supabase.errors import (
    DatabaseError,
    DatabaseFailing,
    DatabaseKeyRefused,
    DatabaseNotMigrated,
    DatabaseRejected,
    DatabaseTooSlow,
    DatabaseUnreachable,
    DatabaseUnreadable,
)
from tests.components import needs
from tests.stores.hosted import access
from tests.supabase.project import Project

REAL = needs("postgresql", "postgrest")
SECRET = "88888888-8888-4888-8888-888888888888"
AGENTS = "/rest/v1/agents"


@pytest.fixture
async def rest(s3_project: Project) -> AsyncIterator[RestClient]:
    rest = RestClient(access(s3_project))
    yield rest
    await rest.aclose()


@REAL
async def test_rows_and_functions_answer(rest: RestClient, s3_project: Project) -> None:
    await s3_project.add_agent(SECRET)
    rows = await rest.rows(rest.select("agents", "id", "user_id").eq("id", SECRET))
    assert rows == [{"id": SECRET, "user_id": None}]
    assert await rest.call("get_secret", {"secret_id": SECRET}) == []


@REAL
@pytest.mark.parametrize(
    ("most", "found"), [(1, 1), (PAGE, PAGE), (PAGE + 1, PAGE + 1), (10 * PAGE, 2100)]
)
async def test_all_rows_come_page_by_page_up_to_a_bound(
    rest: RestClient, s3_project: Project, most: int, found: int
) -> None:
    await s3_project.sql(
        "insert into agents (name) select 'Ada ' || n from generate_series(1, 2100) n"
    )
    rows = await rest.all_rows(lambda: rest.select("agents", "id").order("id"), most)
    ids = [row["id"] for row in rows]
    assert (len(ids), sorted(set(ids))) == (found, ids)
    assert s3_project.misbehave.seen[AGENTS] == -(-found // PAGE)


@REAL
@pytest.mark.parametrize(
    ("function", "arguments", "trouble"),
    [
        ("voice_puts", {}, DatabaseNotMigrated),
        ("get_secret", {"secret": "x"}, DatabaseNotMigrated),
        ("get_secret", {"secret_id": "x"}, DatabaseRejected),
    ],
)
async def test_what_the_database_says_has_a_name_and_no_text(
    rest: RestClient, function: str, arguments: dict[str, Any], trouble: type[DatabaseError]
) -> None:
    with pytest.raises(trouble) as told:
        await rest.call(function, arguments)
    assert str(told.value) == ""
    assert told.value.__cause__ is None


@REAL
async def test_a_missing_table_or_column_means_not_migrated(rest: RestClient) -> None:
    for question in (rest.select("voice_agent", "*"), rest.select("agents", "voice_agent")):
        with pytest.raises(DatabaseNotMigrated):
            await rest.rows(question)


@REAL
@pytest.mark.parametrize("key", ["sb_secret_wrong", "anon"])
async def test_a_wrong_key_and_a_key_without_permission_are_refused_keys(
    s3_project: Project, key: str
) -> None:
    key = s3_project.anon_key if key == "anon" else key
    rest = RestClient(SupabaseCredentials(s3_project.url, key))
    with pytest.raises(DatabaseKeyRefused):
        await rest.call("get_secret", {"secret_id": SECRET})
    await rest.aclose()


async def test_an_address_where_nothing_listens_is_unreachable() -> None:
    rest = RestClient(SupabaseCredentials("http://127.0.0.1:1", "sb_secret_1"))
    with pytest.raises(DatabaseUnreachable):
        await rest.rows(rest.select("agents", "id"))
    await rest.aclose()


async def asked(answer: web.StreamResponse, patience: RestTimeouts | None = None) -> Any:
    """The result of a query that gets this answer."""

    async def respond(_: web.Request) -> web.StreamResponse:
        return answer

    app = web.Application()
    app.router.add_route("*", "/{any:.*}", respond)
    async with TestServer(app) as server:
        url = str(server.make_url("")).rstrip("/")
        rest = RestClient(SupabaseCredentials(url, "sb_secret_1"), patience)
        try:
            return await rest.rows(rest.select("agents", "id"))
        finally:
            await rest.aclose()


def json_text(text: str) -> web.Response:
    return web.Response(text=text, content_type="application/json")


@pytest.mark.parametrize("text", ['"text"', "{}", "[1]", "[" * 100_000, "nil", "[NaN", "null"])
async def test_a_2xx_without_a_list_of_rows_is_unreadable(text: str) -> None:
    with pytest.raises(DatabaseUnreadable):
        await asked(json_text(text))


async def test_a_2xx_that_is_not_utf_8_is_unreadable() -> None:
    with pytest.raises(DatabaseUnreadable):
        await asked(web.Response(body=b'[{"id": "\xff"}]', content_type="application/json"))


async def test_a_redirect_is_not_followed() -> None:
    with pytest.raises(DatabaseUnreadable):
        await asked(web.Response(status=302, headers={"Location": "/rest/v1/elsewhere"}))


async def test_only_the_beginning_of_an_endless_error_is_read() -> None:
    with pytest.raises(DatabaseFailing):
        await asked(web.Response(status=500, text="<html>" * 4_000_000))


async def test_an_answer_that_arrives_in_drops_is_too_slow_altogether() -> None:
    class Drip(web.StreamResponse):
        async def write_eof(self, data: bytes = b"") -> None:
            while True:
                await self.write(b" ")
                await asyncio.sleep(0.01)

    with pytest.raises(DatabaseTooSlow):
        await asked(Drip(), RestTimeouts(answer=0.2))
