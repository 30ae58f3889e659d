"""Whether a listener's address could be had, or a relay has it already."""

import asyncio
import errno
import socket
from typing import Final

from relay.check.finding import Finding, fail, ok
from relay.check.probe import Answer, ask_health, ask_voice

_EVERYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104
_MENDS: Final = {
    errno.EADDRINUSE: "stop what runs there, or take another port",
    errno.EACCES: "take one above 1023, and leave those below to the proxy",
    errno.EADDRNOTAVAIL: "set HOST to an address of this machine, or to 0.0.0.0 for all of them",
}


async def voice_port(host: str, port: int) -> Finding:
    """Look at the voice listener's address."""
    refused = await trouble(host, port)
    if refused is None or refused.errno != errno.EADDRINUSE:
        return _untaken(host, port, refused)
    return _taken(port, await ask_voice(f"ws://{shown(host, port)}", "/"))


async def http_port(host: str, port: int) -> Finding:
    """Look at the HTTP listener's address."""
    refused = await trouble(host, port)
    if refused is None or refused.errno != errno.EADDRINUSE:
        return _untaken(host, port, refused)
    return _taken(port, await ask_health(f"http://{shown(host, port)}"))


async def trouble(host: str, port: int) -> OSError | None:
    """Why nobody could listen there, None when one could."""
    try:
        await asyncio.to_thread(_bind, host, port)
    except OSError as error:
        return error
    return None


def _bind(host: str, port: int) -> None:
    """Have every address that the name stands for, as a listener would, and let go of them."""
    for family, kind, protocol, _, address in socket.getaddrinfo(
        host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    ):
        with socket.socket(family, kind, protocol) as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                tried.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            tried.bind(address)


def shown(host: str, port: int) -> str:
    """The `host:port` at which this machine reaches a listener of its own."""
    name = _EVERYWHERE.get(host, host)
    return f"[{name}]:{port}" if ":" in name else f"{name}:{port}"


def _untaken(host: str, port: int, refused: OSError | None) -> Finding:
    if refused is None:
        return ok(f"{port} is free" if port else "any that is free")
    if isinstance(refused, socket.gaierror):
        return fail(f"{host} is no address: {refused.strerror}", _MENDS[errno.EADDRNOTAVAIL])
    mend = _MENDS.get(refused.errno or 0, "take another address")
    return fail(f"{shown(host, port)} cannot be had: {refused.strerror}", mend)


def _taken(port: int, answer: Answer) -> Finding:
    if answer.is_relay:
        return ok(f"a relay answers at {port}")
    return fail(f"{port} is taken, and not by a relay: {answer.said}", _MENDS[errno.EADDRINUSE])
