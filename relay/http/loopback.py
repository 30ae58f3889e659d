"""Whether a request comes from this very machine's browser and from a page of ours."""

import ipaddress

from aiohttp import web

_FORWARDED = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP", "Via")


def is_ours(request: web.Request) -> bool:
    """Say whether a development token may be handed to this request.

    The TCP peer must be on loopback and no proxy may stand between; the Host must be a loopback
    name, or a foreign name that resolves to 127.0.0.1 (DNS rebinding) would be let in; and a
    browser must say that a page of the same origin asks.
    """
    return (
        _from_loopback(request)
        and not any(name in request.headers for name in _FORWARDED)
        and is_loopback_host(request.headers.get("Host", ""))
        and _same_origin(request)
    )


def is_loopback_host(host: str) -> bool:
    """Say whether a Host header (`name[:port]`) names loopback: localhost, 127/8 or [::1]."""
    name = host.partition("]")[0][1:] if host.startswith("[") else host.partition(":")[0]
    return name.lower() in ("localhost", "localhost.") or _is_loopback_address(name)


def _from_loopback(request: web.Request) -> bool:
    peer = request.transport.get_extra_info("peername") if request.transport else None
    return peer is not None and _is_loopback_address(peer[0])


def _is_loopback_address(text: str) -> bool:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)


def _same_origin(request: web.Request) -> bool:
    """Believe the browser; a client that is no browser sends neither header and may read."""
    headers = request.headers
    if headers.get("Sec-Fetch-Site", "same-origin") != "same-origin":
        return False
    own = f"http://{headers.get('Host', '')}"
    return headers.get("Origin", own).lower() == own.lower()
