"""Calls a tool over HTTP."""

from dataclasses import dataclass
from typing import Final

import aiohttp
import msgspec

from relay.egress import way_out
from relay.http_body import BodyTooLarge, read_body
from relay.tools.call import DONE, ToolFailed, ToolInvocation

MAX_CONNECTIONS: Final = 256  # of one process; a call without one waits, within its timeout
_BEARER: Final = "Authorization"
_JSON: Final = ("application/json", "+json")


def http_session() -> aiohttp.ClientSession:
    """Open the session that all HTTP tools share: connections, but no cookies of other users."""
    return way_out().http_session(MAX_CONNECTIONS)


@dataclass(frozen=True, slots=True)
class HttpAddress:
    """A tool's address, the secret it wants in `header`, and the most bytes it may answer."""

    url: str
    header: str
    secret: str | None
    max_bytes: int

    def headers(self) -> dict[str, str]:
        """The request's headers; a compressed answer would be larger than it looks."""
        headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
        if self.secret is not None:
            bearer = self.header.lower() == _BEARER.lower()
            headers[self.header] = f"Bearer {self.secret}" if bearer else self.secret
        return headers


class HttpTool:
    """Posts a call as JSON and returns the answer (docs/tools.md)."""

    def __init__(self, http: aiohttp.ClientSession, address: HttpAddress) -> None:
        self._http = http
        self._address = address

    async def __call__(self, call: ToolInvocation) -> str:
        """POST the call; raises `ToolFailed`. A redirect is not followed: it would get the secret.

        There is no timeout here: the runner has one.
        """
        try:
            async with self._http.post(
                self._address.url,
                data=_body(call),
                headers=self._address.headers(),
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=None),
            ) as response:
                if not 200 <= response.status < 300:
                    raise ToolFailed("http_error", status=response.status)
                body = await read_body(response, self._address.max_bytes)
                return _text(body, response.content_type)
        except BodyTooLarge:
            raise ToolFailed("too_big") from None
        except aiohttp.ClientPayloadError:
            raise ToolFailed("unreadable") from None
        except (aiohttp.ClientError, OSError) as error:  # their texts hold the address
            raise ToolFailed("unreachable", cause=type(error).__name__) from None


def _body(call: ToolInvocation) -> bytes:
    return msgspec.json.encode(
        {
            "name": call.name,
            "arguments": call.arguments,
            "call_id": call.call_id,
            "user": call.context.user,
            "agent": call.context.agent,
            "conversation": call.context.conversation,
        }
    )


def _text(body: bytes, content_type: str) -> str:
    """The body as text; raises `ToolFailed` if it is not what its content type says."""
    try:
        text = body.decode().strip()
        if text and content_type.endswith(_JSON):
            msgspec.json.decode(body)
    except (UnicodeDecodeError, msgspec.DecodeError, RecursionError):
        raise ToolFailed("unreadable") from None
    return text or DONE
