"""A tool at an HTTP address."""

from dataclasses import dataclass
from typing import Final

import aiohttp
import msgspec

from relay.tools.call import DONE, ToolFailed, ToolInvocation

MAX_CONNECTIONS: Final = 256  # in one process; who finds none waits, within the tool's time
_READ_AT_ONCE: Final = 16 * 1024  # bytes
_BEARER: Final = "Authorization"
_JSON: Final = ("application/json", "+json")


def http_session() -> aiohttp.ClientSession:
    """What all endpoints share: connections, but no cookies, which would be other people's."""
    connector = aiohttp.TCPConnector(limit=MAX_CONNECTIONS)
    return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())


@dataclass(frozen=True, slots=True)
class HttpAddress:
    """Where the tool is, and the secret in `header` that opens it, if there is one."""

    url: str
    header: str
    secret: str | None
    max_bytes: int

    def headers(self) -> dict[str, str]:
        """What is sent along; compressed answers would be larger than they look."""
        headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
        if self.secret is not None:
            bearer = self.header.lower() == _BEARER.lower()
            headers[self.header] = f"Bearer {self.secret}" if bearer else self.secret
        return headers


class HttpTool:
    """Sends a call as JSON and tells the model what comes back (docs/tools.md)."""

    def __init__(self, http: aiohttp.ClientSession, address: HttpAddress) -> None:
        self._http = http
        self._address = address

    async def __call__(self, work: ToolInvocation) -> str:
        """POST the call; raises `ToolFailed`. Redirects are not followed: they get the secret."""
        try:
            async with self._http.post(
                self._address.url,
                data=_body(work),
                headers=self._address.headers(),
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=None),  # who calls bounds the time
            ) as response:
                if not 200 <= response.status < 300:
                    raise ToolFailed("http_error", status=response.status)
                return _text(await self._read(response), response.content_type)
        except aiohttp.ClientPayloadError:
            raise ToolFailed("unreadable") from None
        except (aiohttp.ClientError, OSError) as error:  # their texts hold the address
            raise ToolFailed("unreachable", cause=type(error).__name__) from None

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        body = bytearray()
        async for chunk in response.content.iter_chunked(_READ_AT_ONCE):
            body += chunk
            if len(body) > self._address.max_bytes:
                raise ToolFailed("too_big")
        return bytes(body)


def _body(work: ToolInvocation) -> bytes:
    return msgspec.json.encode(
        {
            "name": work.name,
            "arguments": work.arguments,
            "call_id": work.call_id,
            "user": work.context.user,
            "agent": work.context.agent,
            "conversation": work.context.conversation,
        }
    )


def _text(body: bytes, content_type: str) -> str:
    """What the model reads: the body as it is, if it is what it says to be."""
    try:
        text = body.decode().strip()
        if text and content_type.endswith(_JSON):
            msgspec.json.decode(body)
    except (UnicodeDecodeError, msgspec.DecodeError, RecursionError):
        raise ToolFailed("unreadable") from None
    return text or DONE
