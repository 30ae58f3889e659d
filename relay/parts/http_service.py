"""Asks a provider's speech service over HTTP, its key in a header."""

import io
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field
from typing import Final

import aiohttp

from relay.egress import way_out
from relay.http_body import read_beginning
from relay.parts.interfaces import PartFailed, PartKind
from relay.parts.remote import MAX_ERROR_BYTES, RequestSlots, bounded, refused, timed, within

KEEP_ALIVE_SECONDS: Final = 60.0
"""A connection that is idle longer is closed; a pause in a conversation is shorter."""
_CHUNK_BYTES: Final = 16 * 1024


@dataclass(frozen=True, slots=True)
class ServicePost:
    """One request: `path` as it travels (quoted), and what belongs to it."""

    path: str
    body: bytes
    headers: Mapping[str, str]
    max_bytes: int
    params: Mapping[str, str] = field(default_factory=dict)


class HttpService:
    """A `Resource`: the connections to one service for one part, made when they are needed.

    `key_header` holds its name and the key, which go to `base_url` and nowhere else: redirects are
    refused. `at_once` bounds the requests under way, `timeout` a whole answer, in seconds.
    """

    def __init__(
        self,
        part: PartKind,
        base_url: str,
        key_header: tuple[str, str],
        *,
        at_once: int,
        timeout: float,
    ) -> None:
        self.slots = RequestSlots(part, at_once)
        self._part = part
        self._base_url = base_url.rstrip("/")
        self._headers = {key_header[0]: key_header[1], "Accept-Encoding": "identity"}
        self._timeouts = within(timeout)
        self._http: aiohttp.ClientSession | None = None
        self._answers: set[aiohttp.ClientResponse] = set()
        self._closed = False

    async def prepare(self) -> None:
        """Do nothing more: the service may be up later than the relay."""

    async def aclose(self) -> None:
        """Close all connections; requests under way fail."""
        self._closed = True
        for response in self._answers:
            response.close()  # closing the session would leave their readers waiting
        http, self._http = self._http, None
        if http is not None:
            await http.close()

    async def stream(self, post: ServicePost) -> AsyncGenerator[bytes]:
        """Yield the body of the answer as it comes. Raises `PartFailed`, nothing else."""
        body = timed(self._part, self._timeouts, self._body(post))
        async with aclosing(bounded(self._part, body, post.max_bytes)) as chunks:
            async for chunk in chunks:
                yield chunk

    async def _body(self, post: ServicePost) -> AsyncGenerator[bytes]:
        request = self._session().post(
            self._base_url + post.path,
            data=io.BytesIO(post.body),  # as bytes, aiohttp warns of a long one
            params=post.params,
            headers=post.headers,
            allow_redirects=False,
        )
        with self._failures():
            async with request as response:
                if response.status != 200:
                    beginning = await read_beginning(response, MAX_ERROR_BYTES)
                    raise refused(self._part, response.status, beginning)
                self._answers.add(response)
                try:
                    async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
                        yield chunk
                finally:
                    self._answers.discard(response)

    def _session(self) -> aiohttp.ClientSession:
        if self._closed:
            raise PartFailed(self._part, "unavailable", "closed")
        if self._http is None:
            self._http = way_out().http_session(
                0,  # `RequestSlots` bounds them
                keepalive=KEEP_ALIVE_SECONDS,
                headers=self._headers,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._timeouts.connect),
            )
        return self._http

    @contextmanager
    def _failures(self) -> Iterator[None]:
        """Raise what aiohttp raises as `PartFailed`; its texts hold the address."""
        try:
            yield
        except PartFailed:
            raise
        except TimeoutError:  # aiohttp's of the connection are, too
            raise PartFailed(self._part, "timeout", "connection") from None
        except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, OSError) as error:
            raise PartFailed(self._part, "unavailable", type(error).__name__) from None
        except (aiohttp.ClientError, ValueError, RuntimeError) as error:
            raise PartFailed(self._part, "failed", type(error).__name__) from None
