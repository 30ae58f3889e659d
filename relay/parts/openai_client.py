"""The client of an OpenAI-compatible server, which transcriber, responder and synthesizer share."""

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, aclosing, contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import urlsplit

from relay.egress import way_out
from relay.parts.interfaces import PartFailed, PartKind
from relay.parts.remote import (
    MAX_ERROR_BYTES,
    WHOLE_SECONDS,
    RequestSlots,
    bounded,
    refused,
    timed,
    within,
    word_of,
)

if TYPE_CHECKING:
    import httpx2
    from openai import AsyncOpenAI

AT_ONCE: Final = 100
"""Requests of one part at one time."""
KEEP_ALIVE_SECONDS: Final = 60.0
"""The library's 5 s would mean a new TLS handshake after every pause in a conversation."""
DRAIN_SECONDS: Final = 0.1
"""For the end of a stream that has said that it is done; without it the connection is closed."""
MAX_TEXT_BYTES: Final = 16 * 1024 * 1024
"""Of an answer in text: some 60,000 tokens, each in an event of its own."""
MAX_EVENT_BYTES: Final = 1024 * 1024
"""Of one event of a stream."""
LISTING_SECONDS: Final = 60.0
"""Seconds that a server's list of models is believed."""
MAX_MODELS: Final = 1000
"""Models of a server that are remembered; OpenAI lists about a hundred."""

_FIELD: Final = b"data:"
_DONE: Final = b"[DONE]"
_OPENAI_HOSTS: Final = ("api.openai.com", ".openai.azure.com")

Start = Callable[["AsyncOpenAI"], AbstractAsyncContextManager[Any]]
"""Sends a request by one of the client's `with_streaming_response`."""


class OpenAIClient:
    """A `Resource`: one `openai.AsyncOpenAI`, made when it is first needed.

    `base_url` ends with the version (`https://api.openai.com/v1`); `key` goes there and nowhere
    else: redirects are refused. "" sends none. `timeout` is for a whole answer, in seconds, and
    bounds the timeouts of `relay.parts.remote` too. The library itself never repeats a request
    (`max_retries=0`); `attempted` does, once.

    `token_limits` are, by model, the name of the bound of an answer's tokens that the server took,
    `untempered` the models that refuse a `temperature`.
    """

    def __init__(self, base_url: str, key: str, timeout: float = WHOLE_SECONDS) -> None:
        self._base_url = base_url
        self._key = key
        self._timeouts = within(timeout)
        self._client: AsyncOpenAI | None = None
        self._making = asyncio.Lock()
        self._closed = False
        self._slots: dict[PartKind, RequestSlots] = {}
        self._models: tuple[str, ...] = ()
        self._listed_at = -LISTING_SECONDS
        self.token_limits: dict[str, str] = {}
        self.untempered: set[str] = set()

    @property
    def is_openai(self) -> bool:
        """Whether the server is OpenAI's own, or Azure's of the same models."""
        host = urlsplit(self._base_url).hostname or ""
        return host == _OPENAI_HOSTS[0] or host.endswith(_OPENAI_HOSTS[1])

    async def prepare(self) -> None:
        """Import the library, which takes a second, and make the client, off the event loop.

        Raises `ImportError`. The server is not asked anything: it may be up later than the relay.
        """
        async with self._making:
            if self._client is None and not self._closed:
                self._client = await asyncio.to_thread(self._make)

    async def aclose(self) -> None:
        """Close all connections; requests under way fail."""
        self._closed = True
        async with self._making:  # or a client could be made after all
            client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def stream(self, part: PartKind, start: Start, max_bytes: int) -> AsyncGenerator[bytes]:
        """Yield the body of the answer as it comes. Raises `PartFailed`, nothing else."""
        client = await self._ready(part)
        body = timed(part, self._timeouts, _body(part, start(client)))
        async with aclosing(bounded(part, body, max_bytes)) as chunks:
            async for chunk in chunks:
                yield chunk

    async def documents(self, part: PartKind, start: Start) -> AsyncGenerator[dict[str, Any]]:
        """Yield the JSON objects of the answer: one, or one for each event of a stream.

        What the body looks like decides, as some servers stream unasked and others not when asked.
        An error among the events is raised as `PartFailed`.
        """
        body = self.stream(part, start, MAX_TEXT_BYTES)
        async with aclosing(_json_texts(part, body)) as texts:
            async for text in texts:
                document = _document(part, text)
                if document.get("error"):
                    raise PartFailed(part, "failed", word_of(document["error"]) or "error event")
                yield document

    async def first_model(self, part: PartKind) -> str:
        """Return the first model that the server lists, asked once. Raises `PartFailed`."""
        if not self._models:
            await self.probe(part)
        if not self._models:
            raise PartFailed(part, "unavailable", "the server lists no model")
        return self._models[0]

    async def find_model(self, part: PartKind, name: str) -> str | None:
        """Return the name by which the server lists this model, None where it does not.

        Ollama's names may be without their tag `latest`. A list is good for `LISTING_SECONDS`.
        """
        if asyncio.get_running_loop().time() - self._listed_at >= LISTING_SECONDS:
            with contextlib.suppress(PartFailed):  # the work itself shows whether it is there
                await self.probe(part)
        return next((known for known in (name, f"{name}:latest") if known in self._models), None)

    async def probe(self, part: PartKind) -> None:
        """Ask the server for the list of its models; raises `PartFailed`."""
        listing = self.documents(part, lambda client: client.models.with_streaming_response.list())
        async with aclosing(listing) as documents:
            async for document in documents:
                self._models = _ids(document)
        self._listed_at = asyncio.get_running_loop().time()

    def slots(self, part: PartKind) -> RequestSlots:
        """Return what bounds the requests of a part; all sessions share it."""
        return self._slots.setdefault(part, RequestSlots(part, AT_ONCE))

    async def _ready(self, part: PartKind) -> "AsyncOpenAI":
        try:
            await self.prepare()
        except ImportError:
            raise PartFailed(part, "unavailable", "openai is not installed") from None
        if self._client is None:
            raise PartFailed(part, "unavailable", "closed")
        return self._client

    def _make(self) -> "AsyncOpenAI":
        import httpx2  # noqa: PLC0415 - a second of work that only this server needs
        import openai  # noqa: PLC0415 - the same

        http = openai.DefaultAsyncHttpxClient(
            follow_redirects=False,
            proxy=_proxy_to(self._base_url),
            trust_env=False,
            verify=way_out().tls(),
            limits=httpx2.Limits(
                max_connections=None,  # `RequestSlots` bounds them
                max_keepalive_connections=AT_ONCE,
                keepalive_expiry=KEEP_ALIVE_SECONDS,
            ),
            event_hooks={"request": [] if self._key else [_drop_key], "response": [_check]},
        )
        client = openai.AsyncOpenAI(
            api_key=self._key or "none",  # without one the library would look for another
            base_url=self._base_url,
            timeout=httpx2.Timeout(self._timeouts.whole, connect=self._timeouts.connect),
            max_retries=0,
            default_headers={"Accept-Encoding": "identity"},  # nothing waits for a compressor
            http_client=http,
        )
        if not self.is_openai:  # the library took them from the environment
            client.organization = client.project = None
        # They are imported when they are first named, and that should not be in a conversation.
        _ = client.audio.transcriptions, client.audio.speech, client.chat.completions
        return client


def _proxy_to(url: str) -> "httpx2.Proxy | None":
    import httpx2  # noqa: PLC0415 - as above

    proxy = way_out().proxy_to(url)
    if proxy is None:
        return None
    login = (proxy.user, proxy.password) if proxy.authorization else None
    return httpx2.Proxy(proxy.address, auth=login)


async def _body(part: PartKind, request: AbstractAsyncContextManager[Any]) -> AsyncGenerator[bytes]:
    with _failures(part):
        async with request as response:
            async for chunk in response.iter_bytes():
                yield chunk


class _AnswerRefused(Exception):  # noqa: N818 - becomes a `PartFailed` where the part is known
    """The server answered with a status other than success."""

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(status)
        self.status = status
        self.body = body


async def _drop_key(request: "httpx2.Request") -> None:
    """Send no key; the library insists on one."""
    request.headers.pop("Authorization", None)


async def _check(response: "httpx2.Response") -> None:
    """Refuse an answer that is none before the library reads its body, however long."""
    if response.is_success:
        return
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) >= MAX_ERROR_BYTES:
            break
    raise _AnswerRefused(response.status_code, bytes(body))


@contextmanager
def _failures(part: PartKind) -> Iterator[None]:
    """Raise what the library, and the one below it, raise as `PartFailed`."""
    import httpx2  # noqa: PLC0415 - as above; they are loaded by now
    import openai  # noqa: PLC0415 - the same

    try:
        yield
    except _AnswerRefused as answer:
        raise refused(part, answer.status, answer.body) from None
    except (openai.APITimeoutError, httpx2.TimeoutException):
        raise PartFailed(part, "timeout", "connection") from None
    except (openai.APIConnectionError, httpx2.TransportError) as error:
        name = type(error.__cause__ or error).__name__
        raise PartFailed(part, "unavailable", name) from None
    except (openai.OpenAIError, httpx2.HTTPError, RuntimeError) as error:
        # RuntimeError: the client was closed meanwhile.
        raise PartFailed(part, "failed", type(error).__name__) from None


async def _json_texts(part: PartKind, chunks: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
    """Yield the data of each event up to `[DONE]`, or the whole of a body that is no stream."""
    rest = bytearray()
    plain: bool | None = None
    async with aclosing(chunks):
        async for chunk in chunks:
            rest += chunk
            if plain is None and rest.strip():
                plain = rest.lstrip().startswith((b"{", b"["))
            if plain is not False:
                continue
            *lines, rest = rest.split(b"\n")
            if len(rest) > MAX_EVENT_BYTES:
                raise PartFailed(part, "failed", "event too large")
            for data in filter(None, map(_data, lines)):
                if data == _DONE:
                    await _drain(chunks)
                    return
                yield data
    last = bytes(rest.strip()) if plain else _data(rest)
    if last and last != _DONE:
        yield last


async def _drain(chunks: AsyncGenerator[bytes]) -> None:
    """Read the end of a body whose content is known, for its connection to be used again."""
    with contextlib.suppress(TimeoutError, PartFailed):
        async with asyncio.timeout(DRAIN_SECONDS):
            async for _ in chunks:
                pass


def _ids(listing: dict[str, Any]) -> tuple[str, ...]:
    models = listing.get("data") or ()
    known = (one.get("id") for one in models if isinstance(one, dict))
    return tuple(islice((name for name in known if isinstance(name, str)), MAX_MODELS))


def _data(line: bytearray) -> bytes:
    """Return what a line of a stream says: "" for comments, names of events and empty lines."""
    return bytes(line[len(_FIELD) :].strip()) if line.startswith(_FIELD) else b""


def _document(part: PartKind, text: bytes) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        raise PartFailed(part, "failed", "answer is not JSON") from None
    if not isinstance(document, dict):
        raise PartFailed(part, "failed", "answer is not an object")
    return cast("dict[str, Any]", document)
