"""The OpenAI engine: a WebSocket to OpenAI Realtime (GA) or to any server that speaks it."""

import hashlib
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlencode, urlsplit, urlunsplit

import structlog

from relay.interfaces import Call, Peer
from relay.realtime.endings import ENGINE_CLOSED, ENGINE_TIMED_OUT, NO_PROVIDER_KEY, Refused
from relay.wire.client import ConnectOptions, WireError, connect

DEFAULT_BASE_URL: Final = "https://api.openai.com/v1"
_SCHEMES: Final = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}
log = structlog.get_logger(__name__)


def bearer(key: str) -> tuple[str, str]:
    """The header in which OpenAI, and most servers like it, want the key."""
    return "Authorization", f"Bearer {key}"


def azure_key(key: str) -> tuple[str, str]:
    """The header in which Azure wants it (PROTOCOL §3)."""
    return "api-key", key


@dataclass(frozen=True, slots=True)
class OpenAIOptions:
    """Where the voice is and the key to it. `timeout` in seconds.

    `model` is asked for in place of the call's own: Azure's deployment.
    """

    api_key: str = field(repr=False)
    base_url: str = DEFAULT_BASE_URL
    timeout: float = 10.0
    ssl_context: ssl.SSLContext | None = None
    key_header: Callable[[str], tuple[str, str]] = bearer
    model: str | None = None


def azure_options(
    endpoint: str, api_key: str, deployment: str | None, timeout: float
) -> OpenAIOptions:
    """Azure's resource in OpenAI's place; without a deployment the model's name is the one."""
    parts = urlsplit(endpoint)
    path = parts.path.rstrip("/")
    if "/openai/v1" not in path:
        path = f"{path.removesuffix('/openai')}/openai/v1"
    base_url = urlunsplit((parts.scheme, parts.netloc, path, "", ""))
    return OpenAIOptions(api_key, base_url, timeout, key_header=azure_key, model=deployment)


class OpenAIEngine:
    """Reaches the provider with the server's key, which never leaves this module."""

    name = "openai"

    def __init__(self, options: OpenAIOptions) -> None:
        self._options = options

    async def open(self, call: Call) -> Peer:
        """One socket for one session; no beta header, no subprotocol, no compression."""
        options = self._options
        if not options.api_key:
            raise Refused(NO_PROVIDER_KEY)
        headers = (
            options.key_header(options.api_key),
            ("OpenAI-Safety-Identifier", safety_identifier(call.user_id)),
        )
        wire = ConnectOptions(timeout=options.timeout, ssl_context=options.ssl_context)
        url = realtime_url(options.base_url, options.model or call.model)
        try:
            return await connect(url, headers, wire)
        except WireError as error:
            log.warning("engine unreachable", kind=error.kind, status=error.status)
            ending = ENGINE_TIMED_OUT if error.kind == "timeout" else ENGINE_CLOSED
            raise Refused(ending) from None

    async def aclose(self) -> None:
        """Nothing is shared between sessions."""


def realtime_url(base_url: str, model: str) -> str:
    """`…/realtime?model=` below a base URL such as `https://api.openai.com/v1`.

    Raises ValueError for an address that is neither http(s) nor ws(s).
    """
    parts = urlsplit(base_url)
    scheme = _SCHEMES.get(parts.scheme)
    if scheme is None or not parts.netloc:
        raise ValueError("OPENAI_BASE_URL must begin with http://, https://, ws:// or wss://")
    path = parts.path.rstrip("/")
    path = path if path.endswith("/realtime") else f"{path}/realtime"
    return urlunsplit((scheme, parts.netloc, path, urlencode({"model": model}), ""))


def safety_identifier(user_id: str) -> str:
    """A stable name for the end user that tells the provider nothing else (PROTOCOL §3)."""
    return hashlib.sha256(user_id.encode()).hexdigest()
