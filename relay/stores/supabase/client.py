"""HTTP client of a project's database: requests bounded in time, errors named by class."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import httpx
from postgrest import APIError, AsyncQueryRequestBuilder, AsyncSelectRequestBuilder, CountMethod

from relay.egress import way_out
from relay.interfaces import SupabaseCredentials
from relay.stores.supabase.errors import (
    CLOCK_SKEW,
    DatabaseError,
    DatabaseKeyRefused,
    DatabaseTooSlow,
    DatabaseUnreachable,
    DatabaseUnreadable,
    error_for,
)
from supabase import AsyncClient, AsyncClientOptions

KEEP_ALIVE_SECONDS: Final = 60.0
"""httpx's default of 5 s would mean a new TLS handshake after every pause in a conversation."""
CONNECTIONS: Final = 8
"""At most; delivery uses one, callers that connect share the others."""
MAX_ERROR_BYTES: Final = 16 * 1024
"""Of an unsuccessful answer that are searched for its code."""
PAGE: Final = 1000
"""Rows of one request; hosted projects return no more by default."""

_FUNCTIONS: Final = "/rest/v1/rpc/"

Row = dict[str, Any]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RestTimeouts:
    """Seconds for a socket with TLS, for one query altogether, and for one write altogether.

    A caller waits for a query's answer. The writes of one batch end before delivery gives the batch
    up, so that the error keeps its class.
    """

    connect: float = 3.0
    answer: float = 5.0
    write: float = 7.0


class RestClient:
    """A project's tables and functions, with the service role.

    Every request raises `DatabaseError` only. The library's retries are off (it sleeps 7 s over a
    GET, and never retries a POST); a request that broke off on an idle connection, or met
    `CLOCK_SKEW`, is repeated once here: every request may be sent twice.
    """

    def __init__(
        self, credentials: SupabaseCredentials, timeouts: RestTimeouts | None = None
    ) -> None:
        self._timeouts = timeouts = timeouts or RestTimeouts()
        self._http = httpx.AsyncClient(
            verify=way_out().tls(),
            proxy=_proxy_to(credentials.url),
            http2=False,  # one batch at a time has nothing to multiplex
            trust_env=False,
            timeout=httpx.Timeout(timeouts.write, connect=timeouts.connect),
            limits=httpx.Limits(max_connections=CONNECTIONS, keepalive_expiry=KEEP_ALIVE_SECONDS),
            event_hooks={"response": [_check_response]},
        )
        options = AsyncClientOptions(
            auto_refresh_token=False,
            persist_session=False,
            postgrest_client_retry=False,
            httpx_client=self._http,
        )
        self._client = AsyncClient(credentials.url, credentials.service_key, options)

    async def call(self, function: str, arguments: Mapping[str, Any]) -> Any:
        """Call an SQL function; returns its answer as JSON."""
        return await self._call(function, arguments, self._timeouts.answer)

    async def write(self, function: str, arguments: Mapping[str, Any]) -> Any:
        """Call a function that writes a batch."""
        return await self._call(function, arguments, self._timeouts.write)

    async def _call(self, function: str, arguments: Mapping[str, Any], within: float) -> Any:
        answer = await _execute(self._client.rpc(function, dict(arguments)).execute, within)
        return answer.data

    def select(self, table: str, *columns: str) -> AsyncSelectRequestBuilder:
        """A query of one table, for `rows`."""
        return self._client.table(table).select(*columns, count=CountMethod.exact)

    async def add(self, table: str, row: Row, key: str) -> bool:
        """Insert a row unless one has the same `key` (columns, comma-separated); whether it did."""
        added = self._client.table(table).upsert(row, on_conflict=key, ignore_duplicates=True)
        return bool(await self.rows(added))

    async def remove(self, table: str, row: Row) -> bool:
        """Delete the rows with all these values; False where there is none."""
        return bool(await self.rows(self._client.table(table).delete().match(row)))

    async def rows(self, query: AsyncQueryRequestBuilder) -> list[Row]:
        """The rows that a query returns."""
        return (await self._page(query))[0]

    async def count(self, query: AsyncSelectRequestBuilder) -> int:
        """The number of rows that a query finds."""
        _, count = await self._page(query.limit(1))
        if count is None:
            raise DatabaseUnreadable
        return count

    async def all_rows(
        self, query: Callable[[], AsyncSelectRequestBuilder], limit: int
    ) -> list[Row]:
        """The rows of an ordered query, page by page up to `limit`; `query` builds it anew."""
        found: list[Row] = []
        total = limit
        while len(found) < min(total, limit):
            wanted = min(PAGE, limit - len(found))
            page, count = await self._page(query().limit(wanted).offset(len(found)))
            if not page:
                break
            found += page[:wanted]
            total = limit if count is None else count
        return found

    async def _page(self, query: AsyncQueryRequestBuilder) -> tuple[list[Row], int | None]:
        """Rows, and the number of all; a project may return fewer at once than requested."""
        answer = await _execute(query.execute, self._timeouts.answer)
        rows: Any = answer.data
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise DatabaseUnreadable
        return rows, answer.count

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()


async def _execute(execute: Callable[[], Awaitable[T]], within: float) -> T:
    """The answer, requested a second time where that is likely to help at once."""
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
        # Not the answer of a database, or not UTF-8: these errors' texts quote it.
        raise DatabaseUnreadable from None


def _proxy_to(url: str) -> httpx.Proxy | None:
    proxy = way_out().proxy_to(url)
    if proxy is None:
        return None
    login = (proxy.user, proxy.password) if proxy.authorization else None
    return httpx.Proxy(proxy.address, auth=login)


async def _check_response(response: httpx.Response) -> None:
    """Raise for an unsuccessful or unreadable answer before the library reads it.

    The library loses the status of an error, takes an empty answer for no rows, and returns a
    broken one as text, which may also be a function's answer.
    """
    if not response.is_success:
        raise error_for(response.status_code, _code(await _beginning(response)))
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
