"""One Supabase project of a test's own: a database, the real API on it, the gateway before them."""

import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from tests.supabase.gateway import Gateway
from tests.supabase.misbehaviour import Misbehaviour
from tests.supabase.postgres import Postgres
from tests.supabase.postgrest import PostgREST
from tests.supabase.realtime import Realtime
from tests.supabase.signing import Keys, user_claims


class Project:
    """What a test of the store is given.

    `url`, `service_key` and `anon_key` are what `SUPABASE_URL` and the keys of a project are;
    `database_url` is for those who go to PostgreSQL directly, as its superuser.
    """

    def __init__(self, postgres: Postgres, database: str) -> None:
        self._postgres = postgres
        self._database = database
        self._folder = tempfile.TemporaryDirectory(prefix="relay-api-")
        self._keys = Keys()
        folder = Path(self._folder.name)
        api_user = postgres.address(database, "authenticator")
        self._api = PostgREST(folder, api_user, self._keys.of_the_api())
        self._gateway = Gateway(self._keys, self._api.socket, self.database_url)

    def open(self) -> None:
        """Start the API and the gateway; `fixtures.py` does it."""
        self._api.start()
        self._gateway.start()

    def close(self) -> None:
        """Stop both; the database is the server's to drop."""
        if self._gateway.url:
            self._gateway.stop()
        self._api.stop()
        self._folder.cleanup()

    @property
    def url(self) -> str:
        return self._gateway.url

    @property
    def database_url(self) -> str:
        return self._postgres.address(self._database)

    @property
    def service_key(self) -> str:
        return self._keys.service_key

    @property
    def anon_key(self) -> str:
        return self._keys.anon_key

    @property
    def jwt_secret(self) -> str:
        return self._keys.jwt_secret

    @property
    def keys(self) -> Keys:
        return self._keys

    @property
    def api_socket(self) -> Path:
        """Where PostgREST itself listens, for those who measure it without the gateway."""
        return self._api.socket

    @property
    def misbehave(self) -> Misbehaviour:
        return self._gateway.misbehave

    @property
    def realtime(self) -> Realtime:
        return self._gateway.realtime

    @property
    def issuer(self) -> str:
        return f"{self.url}/auth/v1"

    def mint(self, sub: str, role: str = "authenticated", **claims: Any) -> str:
        """A person's token, signed with the shared secret (HS256), as old projects do."""
        return self._keys.hs256(user_claims(self.issuer, sub, role) | claims)

    def mint_es256(self, sub: str, role: str = "authenticated", **claims: Any) -> str:
        """A person's token, signed with the key of the published key set, as new projects do."""
        return self._keys.es256(user_claims(self.issuer, sub, role) | claims)

    async def sql(self, query: str, *args: Any) -> list[tuple[Any, ...]]:
        """Run one query as the superuser, in its own transaction; `%s` stands for an argument."""
        return await asyncio.to_thread(self._sql, query, args)

    def _sql(self, query: str, args: Sequence[Any]) -> list[tuple[Any, ...]]:
        values = [Jsonb(value) if isinstance(value, dict) else value for value in args]
        with psycopg.connect(self.database_url) as connection:
            cursor = connection.execute(query, values or None)
            return cursor.fetchall() if cursor.description else []

    async def script(self, *paths: Path) -> None:
        """Run files of SQL as the superuser, each in one transaction."""
        await asyncio.to_thread(self._postgres.script, self._database, *paths)

    async def add_user(self, user_id: str, **columns: Any) -> None:
        """Sign somebody up."""
        await self._insert("auth.users", {"id": user_id, **columns})

    async def add_agent(self, agent_id: str, **columns: Any) -> None:
        """Make an agent."""
        await self._insert("public.agents", {"id": agent_id, "name": "Ada", **columns})

    async def stop_database(self) -> None:
        """Crash the whole server."""
        await asyncio.to_thread(self._postgres.stop)

    async def start_database(self) -> None:
        """Bring it back; the API finds it again by itself within a second or some."""
        await asyncio.to_thread(self._postgres.start)

    async def stop_api(self) -> None:
        """Kill PostgREST; the gateway answers 503."""
        await asyncio.to_thread(self._api.stop)

    async def start_api(self) -> None:
        """Bring it back, with what the schema is now."""
        await asyncio.to_thread(self._api.start)

    async def restart_api(self) -> None:
        """Let PostgREST see a schema that was changed."""
        await self.stop_api()
        await self.start_api()

    async def _insert(self, table: str, columns: dict[str, Any]) -> None:
        query = sql.SQL("insert into {} ({}) values ({}) on conflict (id) do nothing").format(
            sql.Identifier(*table.split(".")),
            sql.SQL(", ").join(map(sql.Identifier, columns)),
            sql.SQL(", ").join(sql.Placeholder() * len(columns)),
        )
        await self.sql(query, *columns.values())  # type: ignore[arg-type]
