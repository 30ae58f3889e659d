"""Realtime's side of the database: the messages in its table, and the right to read them."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, NamedTuple

import psycopg

_HEAR = """
create or replace function realtime.told() returns trigger language plpgsql as $$
begin
  perform pg_notify('realtime', new.id::text);
  return null;
end $$;
create or replace trigger told after insert on realtime.messages
  for each row execute function realtime.told();
listen realtime;
"""
_TOLD = "select id::text, topic, event, payload from realtime.messages where id = %s and private"
_TRY = """
insert into realtime.messages (topic, extension, private) values (%s, 'broadcast', true)
returning id
"""
_AS_THEM = """
select set_config('role', %s, true), set_config('realtime.topic', %s, true),
  set_config('request.jwt.claims', %s, true), set_config('request.headers', '{}', true)
"""


class Told(NamedTuple):
    """A row of `realtime.messages` that was written to a private topic."""

    id: str
    topic: str
    event: str
    payload: dict[str, Any]


class Broadcasts:
    """Hands on what is committed, in that order, from the first `listen` on.

    `lost` is called when the database has gone; another `listen` begins anew.
    """

    def __init__(
        self, database: str, told: Callable[[Told], Awaitable[None]], lost: Callable[[], None]
    ) -> None:
        self._address = database
        self._told = told
        self._lost = lost
        self._hearing: asyncio.Task[None] | None = None
        self._starting = asyncio.Lock()

    async def may_read(self, topic: str, claims: dict[str, Any]) -> bool:
        """Whether they see a message of the topic, tried with one that nobody keeps."""
        async with await psycopg.AsyncConnection.connect(self._address) as connection:
            cursor = await connection.execute(_TRY, [topic])
            tried = await cursor.fetchone()
            await connection.execute(_AS_THEM, [claims["role"], topic, json.dumps(claims)])
            query = "select from realtime.messages where topic = %s and id = %s"
            cursor = await connection.execute(query, [topic, *(tried or ())])
            seen = await cursor.fetchone() is not None
            await connection.rollback()
        return seen

    async def listen(self) -> None:
        """Hear of messages from now on; raises psycopg.OperationalError without a database."""
        async with self._starting:
            if self._hearing is None or self._hearing.done():
                listening = await self._connect()
                await listening.execute(_HEAR)
                self._hearing = asyncio.ensure_future(self._hear(listening))

    async def aclose(self) -> None:
        """Hear of no more."""
        if self._hearing:
            self._hearing.cancel()
            await asyncio.wait([self._hearing])

    async def _connect(self) -> psycopg.AsyncConnection[Any]:
        return await psycopg.AsyncConnection.connect(self._address, autocommit=True)

    async def _hear(self, listening: psycopg.AsyncConnection[Any]) -> None:
        with suppress(psycopg.OperationalError):
            async with listening, await self._connect() as reader:
                async for notice in listening.notifies():
                    cursor = await reader.execute(_TOLD, [notice.payload])
                    for row in await cursor.fetchall():
                        await self._told(Told(*row))
        self._lost()
