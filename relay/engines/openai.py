"""The OpenAI engine: a WebSocket to OpenAI Realtime (GA) or to any server that speaks it."""

import hashlib
import re
import ssl
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import aiohttp
import structlog

from relay.interfaces import Connection, EngineCapabilities, EngineRequest, Frame, Receiver
from relay.realtime.dialects.server import ServerDialect
from relay.realtime.endings import (
    ENGINE_CLOSED,
    ENGINE_REFUSED,
    ENGINE_TIMED_OUT,
    NO_PROVIDER_KEY,
    Ending,
    SessionRefused,
)
from relay.realtime.events import sniff
from relay.realtime.scrubbing import MASK
from relay.websocket.client import ConnectError, ConnectOptions, ConnectStage, connect

DEFAULT_BASE_URL: Final = "https://api.openai.com/v1"
MAX_SESSION_SECONDS: Final = 3600.0
"""OpenAI ends a session after an hour (PROTOCOL §3); servers like it have limits of their own."""
_SCHEMES: Final = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}
PROBE_SECONDS: Final = 5.0
"""For asking the provider for its list of models."""
SLOW_SECONDS: Final = 2.0
"""A stage of connecting that takes longer is told in the log: callers hear it as silence."""
KEYS_KNOWN: Final = 4
"""Keys that are taken out of what the provider says: rotated ones may still come back."""
_DATED_PATH: Final = "/openai/realtime"  # Azure's, with an api-version and a deployment
_NO_MODELS: Final = (404, 405, 501)  # a server without such a list: it answers, which is enough
_SHORTEST_KEY: Final = 8  # characters; a shorter one would be found in ordinary words
_KEY_REFUSED: Final = (401, 403)  # by HTTP, as some servers do
_KEY_REFUSED_IN_BAND: Final = 3000  # after an `error`, as OpenAI does (PROTOCOL §3)

log = structlog.get_logger(__name__)


class KeySource(Protocol):
    """Source of the provider's key."""

    async def current(self) -> str:
        """Return the key, "" without one; raises `SessionRefused` when it cannot be looked up."""

    def refused(self) -> None:
        """Report that the provider refused the key: it may have been rotated."""


class FixedKey:
    """A key that never changes."""

    def __init__(self, key: str) -> None:
        self._key = key

    async def current(self) -> str:
        """Return the key."""
        return self._key

    def refused(self) -> None:
        """Do nothing: there is no other key."""


def bearer(key: str) -> tuple[str, str]:
    """Return the header with the key for OpenAI and most compatible servers."""
    return "Authorization", f"Bearer {key}"


def azure_key(key: str) -> tuple[str, str]:
    """Return the header with the key for Azure (PROTOCOL §3)."""
    return "api-key", key


@dataclass(frozen=True, slots=True)
class OpenAIOptions:
    """Address and key of a server. `timeout` in seconds.

    `model` is requested instead of the session's: Azure's deployment. `unreachable` counts failures
    by kind and stage.
    """

    key: KeySource = field(repr=False)
    base_url: str = DEFAULT_BASE_URL
    timeout: float = 10.0
    ssl_context: ssl.SSLContext | None = None
    key_header: Callable[[str], tuple[str, str]] = bearer
    model: str | None = None
    unreachable: Callable[[str, str], None] = lambda *_: None


def azure_options(
    endpoint: str, api_key: str, deployment: str | None, timeout: float
) -> OpenAIOptions:
    """Return the options for a resource of Azure, or for a whole address of its Realtime API.

    `deployment` None uses the model's name. What the address names is kept.
    """
    parts = urlsplit(endpoint)
    path = parts.path.rstrip("/")
    if not path.endswith("/realtime") and "/openai/v1" not in path:
        path = f"{path.removesuffix('/openai')}/openai/v1"
    base_url = urlunsplit((parts.scheme, parts.netloc, path, parts.query, ""))
    key = FixedKey(api_key)
    return OpenAIOptions(key, base_url, timeout, key_header=azure_key, model=deployment)


class OpenAIEngine:
    """Connects to the provider with the server's key, which never leaves this module."""

    name = "openai"

    def __init__(self, options: OpenAIOptions) -> None:
        self._options = options
        self._keys = KeyConcealer()
        limit = MAX_SESSION_SECONDS if options.base_url == DEFAULT_BASE_URL else None
        self.capabilities = EngineCapabilities(
            billed=True, max_session_seconds=limit, conceal=self._keys.conceal
        )

    async def open(self, request: EngineRequest) -> Connection:
        """Open a socket for one session: no beta header, no subprotocol, no compression.

        Raises `SessionRefused`.
        """
        options = self._options
        key = await options.key.current()
        if not key:
            raise SessionRefused(NO_PROVIDER_KEY)
        self._keys.learn(key)
        headers = (
            options.key_header(key),
            ("OpenAI-Safety-Identifier", safety_identifier(request.user_id)),
        )
        wire = ConnectOptions(options.timeout, options.ssl_context, report_slow_stages)
        url = realtime_url(options.base_url, options.model or request.model)
        try:
            return _ProviderConnection(await connect(url, headers, wire), options.key)
        except ConnectError as error:
            if error.status in _KEY_REFUSED:
                options.key.refused()
            options.unreachable(error.kind, error.stage or "")
            fields = {"kind": error.kind, "status": error.status, "stage": error.stage}
            log.warning("engine unreachable", **fields)
            raise SessionRefused(_ending_of(error)) from error

    async def probe(self, http: aiohttp.ClientSession) -> str | None:
        """Ask for the list of models, which costs nothing: how it is refused, None if it is not."""
        options = self._options
        try:
            key = await options.key.current()
        except SessionRefused as refused:
            return refused.ending.name
        if not key:
            return NO_PROVIDER_KEY.name
        limit = aiohttp.ClientTimeout(total=PROBE_SECONDS)
        header = dict([options.key_header(key)])
        url = models_url(options.base_url)
        try:
            async with http.get(
                url, headers=header, timeout=limit, allow_redirects=False
            ) as response:
                status = response.status
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            return type(error).__name__
        if status in _KEY_REFUSED:
            options.key.refused()
        return None if status < 400 or status in _NO_MODELS else f"HTTP {status}"

    async def aclose(self) -> None:
        """Do nothing: sessions share nothing."""


class KeyConcealer:
    """Takes the provider's keys out of frames; it knows the latest few."""

    def __init__(self) -> None:
        self._known: deque[str] = deque(maxlen=KEYS_KNOWN)
        self._pattern: re.Pattern[bytes] | None = None

    def learn(self, key: str) -> None:
        """Note a key that is in use."""
        if key not in self._known and len(key) >= _SHORTEST_KEY:
            self._known.append(key)
            self._pattern = re.compile(b"|".join(re.escape(one.encode()) for one in self._known))

    def conceal(self, frame: Frame) -> Frame:
        """Return the frame without keys; the same object where none is in it."""
        if self._pattern is None or self._pattern.search(frame) is None:
            return frame
        return self._pattern.sub(MASK.encode(), bytes(frame))


def _ending_of(error: ConnectError) -> Ending:
    if error.status in _KEY_REFUSED:
        return ENGINE_REFUSED
    return ENGINE_TIMED_OUT if error.kind == "timeout" else ENGINE_CLOSED


def report_slow_stages(seconds: Mapping[ConnectStage, float]) -> None:
    """Log the stages of connecting that took too long, in seconds."""
    for stage, took in seconds.items():
        if took > SLOW_SECONDS:
            log.warning("engine slow to connect", stage=stage, seconds=round(took, 3))


class _ProviderConnection:
    """The provider's connection: GA to its receiver, whatever the provider speaks.

    It stands before the receiver until the provider is known to speak GA, and for as long as it
    lasts before one that does not. The key's source is told of a key that is refused in-band.
    """

    def __init__(self, connection: Connection, key: KeySource) -> None:
        self._connection = connection
        self._key = key
        self._greeted = False
        self._dialect = ServerDialect()
        self._receiver: Receiver | None = None
        # The connection's own methods: a frame costs nothing more.
        self.send, self.ping = connection.send, connection.ping
        self.pause, self.resume, self.close = connection.pause, connection.resume, connection.close

    @property
    def fault(self) -> Ending | None:
        """As the connection says."""
        return self._connection.fault

    def attach(self, receiver: Receiver) -> None:
        """Push to this receiver from now on; directly, once the provider is known to speak GA."""
        speaks_ga = self._dialect.speaks == "ga"
        self._receiver = None if speaks_ga else receiver
        self._connection.attach(receiver if speaks_ga else self)

    def frame(self, frame: Frame) -> None:
        """Forward a frame in GA; those of a provider that speaks GA soon do not pass here."""
        kind = sniff(frame)
        self._greeted = self._greeted or kind != "error"
        frames = self._dialect.down(frame, kind)
        if self._dialect.reads_beta:
            self.send = self._send_translated
        for translated in frames:
            if self._receiver is not None:  # a frame may make it attach another
                self._receiver.frame(translated)
        if self._dialect.speaks == "ga" and self._receiver is not None:
            self.attach(self._receiver)

    def _send_translated(self, frame: Frame) -> None:
        self._connection.send(self._dialect.up(frame))

    def writable(self, ready: bool) -> None:
        """Forward it."""
        if self._receiver is not None:
            self._receiver.writable(ready)

    def closed(self, code: int, reason: str) -> None:
        """Forward it; one code says that the key was refused, if nothing but errors came before."""
        if code == _KEY_REFUSED_IN_BAND and not self._greeted:
            self._key.refused()
        if self._receiver is not None:
            self._receiver.closed(code, reason)


def realtime_url(base_url: str, model: str) -> str:
    """Return `…/realtime?model=` below a base URL such as `https://api.openai.com/v1`.

    What its query says is kept, and a model or deployment in it is the one that is asked for.
    Raises ValueError for an address that is neither http(s) nor ws(s).
    """
    parts = urlsplit(base_url)
    scheme = _SCHEMES.get(parts.scheme)
    if scheme is None or not parts.netloc:
        raise ValueError("OPENAI_BASE_URL must begin with http://, https://, ws:// or wss://")
    path = parts.path.rstrip("/")
    path = path if path.endswith("/realtime") else f"{path}/realtime"
    named = {name for name, _ in parse_qsl(parts.query, keep_blank_values=True)}
    name = "deployment" if path.endswith(_DATED_PATH) else "model"
    asked = "" if named & {"model", "deployment"} else urlencode({name: model})
    query = "&".join(part for part in (parts.query, asked) if part)
    return urlunsplit((scheme, parts.netloc, path, query, ""))


def models_url(base_url: str) -> str:
    """Return the address of the list of models below a base URL, by HTTP, with its query."""
    parts = urlsplit(base_url)
    scheme = {"ws": "http", "wss": "https"}.get(parts.scheme, parts.scheme)
    path = parts.path.rstrip("/").removesuffix("/realtime")
    return urlunsplit((scheme, parts.netloc, f"{path}/models", parts.query, ""))


def safety_identifier(user_id: str) -> str:
    """Return a stable pseudonym of the end user (PROTOCOL §3)."""
    return hashlib.sha256(user_id.encode()).hexdigest()
