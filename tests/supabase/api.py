"""A project's API as its clients call it, each with a role's or a person's token."""

import ssl
from collections.abc import Mapping, Sequence
from typing import Any

import httpx

from relay.realtime.records import AnyRecord
from relay.stores.supabase.store import encode_batch
from tests.supabase.project import Project

Rows = list[dict[str, Any]]
_NO_CERTIFICATES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""The gateway speaks plain HTTP; the system's certificates take a while to read."""


class Api:
    """Requests of one caller: the service, nobody (`anon`), or a person with a token."""

    def __init__(self, project: Project, token: str | None = None, *, anon: bool = False) -> None:
        key = project.anon_key if token or anon else project.service_key
        self._address = f"{project.url}/rest/v1"
        self._headers = {
            "apikey": key,
            "Authorization": f"Bearer {token or key}",
            "Prefer": "return=representation",
        }

    async def ask(self, method: str, path: str, body: Any = None, **query: str) -> httpx.Response:
        async with httpx.AsyncClient(
            headers=self._headers, timeout=20, verify=_NO_CERTIFICATES
        ) as client:
            return await client.request(method, self._address + path, json=body, params=query)

    async def rows(self, table: str, **query: str) -> Rows:
        """What the caller sees of a table."""
        answer = await self.ask("GET", f"/{table}", **query)
        assert answer.status_code == 200, answer.text
        found: Rows = answer.json()
        return found

    async def call(self, function: str, arguments: Mapping[str, Any]) -> Any:
        """What a function answers."""
        answer = await self.ask("POST", f"/rpc/{function}", arguments)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def put(self, *records: AnyRecord) -> dict[str, str]:
        """Store records; answers why some were refused."""
        return await self.put_items(encode_batch(records)[0])

    async def put_items(self, items: Sequence[Mapping[str, Any]]) -> dict[str, str]:
        answer = await self.call("voice_put", {"records": items})
        assert list(answer) == ["refused"]
        refused: dict[str, str] = answer["refused"]
        return refused
