"""Opens outgoing connections as the environment asks: by a proxy, and with the roots it trusts.

There is one way out of a process, as there is one environment: `use` sets it when a program starts,
and whoever connects asks `way_out`.
"""

import contextlib
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import aiohttp

HTTP_PROXY_PORT: Final = 80
"""Of a proxy's address that names none."""

_PORTS: Final = {"http": 80, "ws": 80, "https": 443, "wss": 443}
_SECURE: Final = ("https", "wss")
_NO_PROXY_ADDRESS: Final = "must be an HTTP proxy's address, like http://proxy.example.org:3128"
_DROPPED_BY_URLSPLIT: Final = frozenset("\t\r\n")  # a password would silently be another


@dataclass(frozen=True, slots=True)
class Proxy:
    """An HTTP proxy; `user` and `password` are shown to it alone.

    Bytes of theirs that are not UTF-8 are surrogates, as `os.fsdecode` makes them.
    """

    host: str
    port: int
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)

    @property
    def address(self) -> str:
        """Its address without what opens it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    @property
    def authorization(self) -> str | None:
        """The value of `Proxy-Authorization`, None where it wants none."""
        if not self.user and not self.password:
            return None
        login = f"{self.user}:{self.password}".encode(errors="surrogateescape")
        return f"Basic {b64encode(login).decode()}"


def read_proxy(url: str) -> Proxy:
    """Read an address like `http://user:secret@proxy.example.org:3128`, or without its scheme.

    Raises ValueError for one that is no HTTP proxy's; the text does not quote it.
    """
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        host, port = parts.hostname, parts.port or HTTP_PROXY_PORT
    except ValueError:  # it quotes what may be a part of a password
        raise ValueError(_NO_PROXY_ADDRESS) from None
    is_plain = not _DROPPED_BY_URLSPLIT & set(url)
    if parts.scheme != "http" or not host or parts.path not in ("", "/") or not is_plain:
        raise ValueError(_NO_PROXY_ADDRESS)
    user, password = (
        unquote(part or "", errors="surrogateescape") for part in (parts.username, parts.password)
    )
    return Proxy(host, port, user, password)


class NoProxy:
    """The hosts that are reached without a proxy: those of NO_PROXY, and this machine always.

    An entry is a host with all names below it (`example.org`, `.example.org`, `*.example.org`), an
    address or a network (`10.0.0.0/8`, `::1`), either with a port where only that one is meant, or
    `*` for every host.
    """

    def __init__(self, entries: str) -> None:
        self._networks: list[tuple[IPv4Network | IPv6Network, int | None]] = []
        self._names: list[tuple[str, int | None]] = []
        for entry in entries.replace(",", " ").lower().split():
            host, port = _host_and_port(entry)
            try:
                self._networks.append((ip_network(host, strict=False), port))
            except ValueError:
                self._names.append((host.removeprefix("*").strip("."), port))

    def covers(self, host: str, port: int) -> bool:
        """Whether this host is reached directly on this port."""
        name = host.lower().rstrip(".")
        try:
            address = ip_address(name)
        except ValueError:
            return _is_local_name(name) or any(
                asked in (None, port) and _is_below(name, entry) for entry, asked in self._names
            )
        # An entry of `*` has become an empty name, which every host is below.
        every = any(not entry and asked in (None, port) for entry, asked in self._names)
        networks = (net for net, asked in self._networks if asked in (None, port))
        return _is_this_machine(address) or every or any(address in net for net in networks)


def _host_and_port(entry: str) -> tuple[str, int | None]:
    """Split `host:port`, `[::1]:port` or either alone; an address with colons has no port."""
    bracketed = entry.startswith("[")
    host, _, port = entry.lstrip("[").partition("]" if bracketed else ":")
    port = port.lstrip(":")
    if port.isdecimal() and not (not bracketed and entry.count(":") > 1):
        return host, int(port)
    return (host if bracketed else entry), None


def _is_this_machine(address: IPv4Address | IPv6Address) -> bool:
    inner = getattr(address, "ipv4_mapped", None) or address
    return bool(inner.is_loopback or inner.is_unspecified)


def _is_local_name(name: str) -> bool:
    return name == "localhost" or name.endswith(".localhost")


def _is_below(name: str, entry: str) -> bool:
    return not entry or name == entry or name.endswith(f".{entry}")


@dataclass(frozen=True, slots=True)
class WayOut:
    """The way to every other machine.

    `secure` is the proxy to `https://` and `wss://` addresses, `plain` the one to the others;
    `roots_file` and `roots_folder` have certificates that are trusted beside the system's.
    """

    secure: Proxy | None = None
    plain: Proxy | None = None
    direct: NoProxy = field(default_factory=lambda: NoProxy(""))
    roots_file: Path | None = None
    roots_folder: Path | None = None
    _contexts: list[ssl.SSLContext] = field(default_factory=list, repr=False, compare=False)

    def proxy_to(self, url: str) -> Proxy | None:
        """The proxy to an address, None where it is reached directly."""
        parts = urlsplit(url)
        proxy = self.secure if parts.scheme in _SECURE else self.plain
        if proxy is None or parts.hostname is None:
            return None
        port = parts.port or _PORTS.get(parts.scheme, 0)
        return None if self.direct.covers(parts.hostname, port) else proxy

    def tls(self) -> ssl.SSLContext:
        """Whom to trust; made once, since it takes milliseconds and a megabyte."""
        if not self._contexts:
            context = ssl.create_default_context()
            with contextlib.suppress(OSError):  # the settings have warned of it
                if self.roots_file is not None:
                    context.load_verify_locations(cafile=self.roots_file)
            if self.roots_folder is not None:
                context.load_verify_locations(capath=self.roots_folder)
            self._contexts.append(context)
        return self._contexts[0]

    def http_session(self, limit: int = 100, **options: Any) -> aiohttp.ClientSession:
        """Open a session of at most so many connections, 0: any number, which keeps no cookies.

        `options` are aiohttp's.
        """
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=limit, ssl=self.tls(), keepalive_timeout=options.pop("keepalive", 15.0)
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            middlewares=(self._choose_proxy,),
            **options,
        )

    async def _choose_proxy(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        proxy = self.proxy_to(str(request.url))
        if proxy is not None:
            login = proxy.authorization
            named = {"Proxy-Authorization": login} if login is not None else {}
            # A tunnel is asked for with the login; what passes in it is not the proxy's to read.
            request.update_proxy(type(request.url)(proxy.address), None, named)
            if request.url.scheme == "http":
                request.headers.update(named)
        return await handler(request)


_used = [WayOut()]


def way_out() -> WayOut:
    """The way that `use` has set; without it directly, with the system's roots."""
    return _used[-1]


def use(way: WayOut) -> None:
    """Open every connection from now on in this way."""
    _used[:] = [way]


@contextlib.asynccontextmanager
async def using(way: WayOut) -> AsyncIterator[WayOut]:
    """Open connections in this way for as long as the context lasts."""
    _used.append(way)
    try:
        yield way
    finally:
        _used.remove(way)
