"""The one connection to a project's database: bounded in time, its troubles known by name."""

import asyncio
import json
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import httpx
from postgrest import APIError, AsyncQueryRequestBuilder, AsyncSelectRequestBuilder, CountMethod

from relay.interfaces import SupabaseCredentials
from relay.stores.supabase.errors import (
    CLOCK_SKEW,
    DatabaseError,
    DatabaseKeyRefused,
    DatabaseTooSlow,
    DatabaseUnreachable,
    DatabaseUnreadable,
    trouble,
)
from supabase import AsyncClient, AsyncClientOptions

KEEP_ALIVE_SECONDS: Final = 60.0
"""httpx's own 5 s would mean a new TLS handshake for every pause in a conversation."""
CONNECTIONS: Final = 8
"""At most; delivery uses one, callers at the door share the others."""
MAX_ERROR_BYTES: Final = 16 * 1024
"""Of an answer that is no success; the code is looked for in there."""
PAGE: Final = 1000
"""Rows asked for at once; hosted projects give no more unless told otherwise."""

_FUNCTIONS: Final = "/rest/v1/rpc/"

Row = dict[str, Any]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RestTimeouts:
    """Seconds for a socket with TLS, for one question altogether, and for one write altogether.

    Somebody waits at the door for a question's answer. The writes of one batch end before delivery
    gives it up, so that the trouble gets its name.
    """

    connect: float = 3.0
    answer: float = 5.0
    write: float = 7.0


class RestClient:
    """A project's tables and functions, as service role.

    Every question raises `DatabaseError` alone. The library's retries are off (it sleeps 7 s over
    a GET, and never retries a POST); what was cut off on a connection that had stood idle, and
    `CLOCK_SKEW`, are asked once more here, since all that is asked may be asked twice.
    """

    def __init__(self, access: SupabaseCredentials, patience: RestTimeouts | None = None) -> None:
        self._patience = patience = patience or RestTimeouts()
        self._http = httpx.AsyncClient(
            verify=ssl.create_default_context(),  # the system's roots, as for the voice
            http2=False,  # one batch at a time has nothing to multiplex
            trust_env=False,
            timeout=httpx.Timeout(patience.write, connect=patience.connect),
            limits=httpx.Limits(max_connections=CONNECTIONS, keepalive_expiry=KEEP_ALIVE_SECONDS),
            event_hooks={"response": [_inspect]},
        )
        options = AsyncClientOptions(
            auto_refresh_token=False,
            persist_session=False,
            postgrest_client_retry=False,
            httpx_client=self._http,
        )
        self._client = AsyncClient(access.url, access.service_key, options)

    async def call(self, function: str, arguments: Mapping[str, Any]) -> Any:
        """What an SQL function answers, as JSON."""
        return await self._call(function, arguments, self._patience.answer)

    async def write(self, function: str, arguments: Mapping[str, Any]) -> Any:
        """The same, of a function that has a batch to write."""
        return await self._call(function, arguments, self._patience.write)

    async def _call(self, function: str, arguments: Mapping[str, Any], within: float) -> Any:
        answer = await _ask(self._client.rpc(function, dict(arguments)).execute, within)
        return answer.data

    def select(self, table: str, *columns: str) -> AsyncSelectRequestBuilder:
        """A question to one table, to be given to `rows`."""
        return self._client.table(table).select(*columns, count=CountMethod.exact)

    async def add(self, table: str, row: Row, key: str) -> bool:
        """Write a row unless there is one with the same `key`, columns with commas between."""
        added = self._client.table(table).upsert(row, on_conflict=key, ignore_duplicates=True)
        return bool(await self.rows(added))

    async def remove(self, table: str, row: Row) -> bool:
        """Take away the rows that have all these values; False where there was none."""
        return bool(await self.rows(self._client.table(table).delete().match(row)))

    async def rows(self, question: AsyncQueryRequestBuilder) -> list[Row]:
        """The rows that answer it."""
        return (await self._page(question))[0]

    async def all_rows(
        self, question: Callable[[], AsyncSelectRequestBuilder], most: int
    ) -> list[Row]:
        """The same, page by page until there are no more or `most`; the question has an order."""
        found: list[Row] = []
        total = most
        while len(found) < min(total, most):
            wanted = min(PAGE, most - len(found))
            page, count = await self._page(question().limit(wanted).offset(len(found)))
            if not page:
                break
            found += page[:wanted]
            total = most if count is None else count
        return found

    async def _page(self, question: AsyncQueryRequestBuilder) -> tuple[list[Row], int | None]:
        """Rows, and how many there are in all; a project may give fewer at once than we ask for."""
        answer = await _ask(question.execute, self._patience.answer)
        rows: Any = answer.data
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise DatabaseUnreadable
        return rows, answer.count

    async def aclose(self) -> None:
        """Let go of the sockets."""
        await self._http.aclose()


async def _ask(execute: Callable[[], Awaitable[T]], within: float) -> T:
    """The answer, asked for a second time where that is likely to help at once."""
    try:
        async with asyncio.timeout(within):
            try:
                return await execute()
            except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError):
                return await execute()
            except DatabaseKeyRefused as refused:
                if refused.code != CLOCK_SKEW:
                    raise
                return await execute()
    except DatabaseError:
        raise
    except (TimeoutError, httpx.TimeoutException):
        raise DatabaseTooSlow from None
    except (httpx.HTTPError, OSError):
        raise DatabaseUnreachable from None
    except (APIError, ValueError, RecursionError):
        # Not the answer of a database, or not UTF-8: their texts quote it.
        raise DatabaseUnreadable from None


async def _inspect(response: httpx.Response) -> None:
    """Before the library reads it: an answer that is none raises.

    The library loses the status of an error, takes an empty answer for no rows, and gives a broken
    one as a text, which a function's answer might be.
    """
    if not response.is_success:
        raise trouble(response.status_code, _code(await _beginning(response)))
    body = await response.aread()
    if not body:
        raise DatabaseUnreadable
    if _FUNCTIONS in response.url.path:
        json.loads(body)


async def _beginning(response: httpx.Response) -> bytes:
    body = bytearray()
    async for chunk in response.aiter_bytes(MAX_ERROR_BYTES):
        body += chunk
        if len(body) >= MAX_ERROR_BYTES:
            break
    return bytes(body)


def _code(body: bytes) -> str:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    code = document.get("code") if isinstance(document, dict) else None
    return code if isinstance(code, str) else ""
