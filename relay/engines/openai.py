"""The OpenAI engine: a WebSocket to OpenAI Realtime (GA) or to any server that speaks it."""

import hashlib
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol
from urllib.parse import urlencode, urlsplit, urlunsplit

import structlog

from relay.interfaces import Connection, EngineRequest, Frame, Receiver
from relay.realtime.endings import ENGINE_CLOSED, ENGINE_TIMED_OUT, NO_PROVIDER_KEY, SessionRefused
from relay.realtime.events import sniff
from relay.websocket.client import ConnectOptions, WireError, connect

DEFAULT_BASE_URL: Final = "https://api.openai.com/v1"
_SCHEMES: Final = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}
_KEY_REFUSED: Final = (401, 403)  # by HTTP, as some servers do
_KEY_REFUSED_IN_BAND: Final = 3000  # after an `error`, as OpenAI does (PROTOCOL §3)
log = structlog.get_logger(__name__)


class KeySource(Protocol):
    """Whoever knows the provider's key."""

    async def current(self) -> str:
        """The key, "" where there is none; raises `SessionRefused` when nobody could be asked."""

    def refused(self) -> None:
        """The provider does not take the key: it may have been rotated."""


class FixedKey:
    """A key that stays as it is."""

    def __init__(self, key: str) -> None:
        self._key = key

    async def current(self) -> str:
        """The key."""
        return self._key

    def refused(self) -> None:
        """There is no other."""


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

    key: KeySource = field(repr=False)
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
    key = FixedKey(api_key)
    return OpenAIOptions(key, base_url, timeout, key_header=azure_key, model=deployment)


class OpenAIEngine:
    """Reaches the provider with the server's key, which never leaves this module."""

    name = "openai"

    def __init__(self, options: OpenAIOptions) -> None:
        self._options = options

    async def open(self, call: EngineRequest) -> Connection:
        """One socket for one session; no beta header, no subprotocol, no compression."""
        options = self._options
        key = await options.key.current()
        if not key:
            raise SessionRefused(NO_PROVIDER_KEY)
        headers = (
            options.key_header(key),
            ("OpenAI-Safety-Identifier", safety_identifier(call.user_id)),
        )
        wire = ConnectOptions(timeout=options.timeout, ssl_context=options.ssl_context)
        url = realtime_url(options.base_url, options.model or call.model)
        try:
            return _Keyed(await connect(url, headers, wire), options.key)
        except WireError as error:
            if error.status in _KEY_REFUSED:
                options.key.refused()
            log.warning("engine unreachable", kind=error.kind, status=error.status)
            ending = ENGINE_TIMED_OUT if error.kind == "timeout" else ENGINE_CLOSED
            raise SessionRefused(ending) from None

    async def aclose(self) -> None:
        """Nothing is shared between sessions."""


class _Keyed:
    """The provider's peer; until it has greeted, the key's source hears of a refusal in-band."""

    __slots__ = ("_greeted", "_key", "_peer", "_usher", "close", "pause", "ping", "resume", "send")

    def __init__(self, peer: Connection, key: KeySource) -> None:
        self._peer = peer
        self._key = key
        self._greeted = False
        self._usher: _Usher | None = None
        # The peer's own: a frame costs nothing more.
        self.send, self.ping = peer.send, peer.ping
        self.pause, self.resume, self.close = peer.pause, peer.resume, peer.close

    def attach(self, receiver: Receiver) -> None:
        """As the peer's; once the voice has greeted, nobody stands between."""
        self._usher = None if self._greeted else _Usher(self, receiver)
        self._peer.attach(self._usher or receiver)

    def greeted(self) -> None:
        """The key was good."""
        self._greeted = True

    def pass_on(self, usher: "_Usher", receiver: Receiver) -> None:
        """The usher's work is done, unless its receiver has passed the peer on already."""
        if self._usher is usher:
            self.attach(receiver)

    def turned_away(self) -> None:
        """The key was not good."""
        self._key.refused()


class _Usher:
    """Stands before a receiver until the provider says something other than an error."""

    def __init__(self, keyed: _Keyed, receiver: Receiver) -> None:
        self._keyed = keyed
        self._receiver = receiver

    def frame(self, frame: Frame) -> None:
        """Hand it on; what follows the greeting does not come by here."""
        if sniff(frame) == "error":
            self._receiver.frame(frame)
            return
        self._keyed.greeted()
        self._receiver.frame(frame)
        self._keyed.pass_on(self, self._receiver)

    def writable(self, ready: bool) -> None:
        """Hand it on."""
        self._receiver.writable(ready)

    def closed(self, code: int, reason: str) -> None:
        """Hand it on; by this code the key was refused."""
        if code == _KEY_REFUSED_IN_BAND:
            self._keyed.turned_away()
        self._receiver.closed(code, reason)


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
