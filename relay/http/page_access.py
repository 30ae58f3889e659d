"""Decides who may have what the development pages get: this machine's browsers, with a code."""

import hmac
import ipaddress
import re
import secrets
from typing import Final

from aiohttp import HttpVersion11, web

CODE_BYTES: Final = 24
"""Random bytes of the code and of the cookie: more than anybody can guess."""
MAX_WRONG_CODES: Final = 20
"""Wrong codes in `WRONG_SECONDS`; beyond, none is looked at until they are over."""
WRONG_SECONDS: Final = 60.0

_PROXY_NAMES: Final = frozenset(
    {"forwarded", "via", "x-real-ip", "x-client-ip", "x-cluster-client-ip", "true-client-ip"}
    | {"cdn-loop"}
)
_PROXY_PREFIXES: Final = ("x-forwarded-", "x-original-", "x-envoy-", "cf-")
_HOST: Final = re.compile(
    r"(?:(?P<name>localhost\.?)|(?P<v4>[0-9.]+)|\[(?P<v6>[0-9a-f:.]+)\])(?::[0-9]{1,5})?",
    re.IGNORECASE | re.ASCII,
)


class TooManyCodes(Exception):  # noqa: N818 - an outcome, not a fault
    """So many wrong codes were tried that none is looked at for a while."""


class PageKey:
    """Lets browsers of this run in: whoever has its code gets its cookie, as often as they ask.

    The code is in the address that the terminal prints. Both are random and end with the process.
    """

    def __init__(self) -> None:
        self.code: Final = secrets.token_urlsafe(CODE_BYTES)
        self._cookie: Final = secrets.token_urlsafe(CODE_BYTES)
        self._wrong = 0
        self._since = 0.0

    def cookie_for(self, code: str, now: float) -> str | None:
        """The cookie for a code, None for a wrong one; `now` is any clock's seconds.

        Raises `TooManyCodes` after `MAX_WRONG_CODES` wrong ones in `WRONG_SECONDS`.
        """
        if now >= self._since + WRONG_SECONDS:
            self._wrong, self._since = 0, now
        if self._wrong >= MAX_WRONG_CODES:
            raise TooManyCodes
        if _is_same(code, self.code):
            return self._cookie
        self._wrong += 1
        return None

    def opens(self, cookie: str) -> bool:
        """Tell whether this is the cookie of this run."""
        return _is_same(cookie, self._cookie)


def _is_same(given: str, own: str) -> bool:
    """Compare in a time that does not tell how much was right."""
    return hmac.compare_digest(given.encode(errors="replace"), own.encode())


def is_local_page(request: web.Request) -> bool:
    """Tell whether a request comes straight from a browser on this machine.

    The TCP peer must be on loopback, with no sign of a proxy in between: one of its headers, or
    HTTP/1.0, which no browser speaks and nginx does. The Host must be a loopback name: otherwise a
    foreign name that resolves to 127.0.0.1 (DNS rebinding) would be let in. A browser must report
    that a page of the same origin asks. A proxy may still leave no sign: hence `PageKey`.
    """
    hosts = request.headers.getall("Host", [])
    return (
        _is_from_loopback(request)
        and not _has_passed_a_proxy(request)
        and len(hosts) == 1
        and is_loopback_host(hosts[0])
        and _is_same_origin(request, hosts[0])
    )


def is_loopback_host(host: str) -> bool:
    """Tell whether a Host header (`name[:port]`) is exactly localhost, one of 127/8 or [::1]."""
    found = _HOST.fullmatch(host)
    if found is None:
        return False
    return bool(found["name"]) or _is_loopback_address(found["v4"] or found["v6"])


def _has_passed_a_proxy(request: web.Request) -> bool:
    names = [name.lower() for name in request.headers]
    return request.version < HttpVersion11 or any(
        name in _PROXY_NAMES or name.startswith(_PROXY_PREFIXES) for name in names
    )


def _is_from_loopback(request: web.Request) -> bool:
    peer = request.transport.get_extra_info("peername") if request.transport else None
    return peer is not None and _is_loopback_address(peer[0])


def _is_loopback_address(text: str) -> bool:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)


def _is_same_origin(request: web.Request, host: str) -> bool:
    """Trust the browser's headers; other clients send neither, and may ask."""
    headers = request.headers
    if headers.get("Sec-Fetch-Site", "same-origin") != "same-origin":
        return False
    own = f"http://{host}"
    return headers.get("Origin", own).lower() == own.lower()
