"""The attacks by name, and a program that carries out one of them.

`python -m tests.hostile.attacks NAME` waits for a line `VOICE_PORT HTTP_PORT SECONDS [ISSUER]`,
attacks so long, and says in one line of JSON what it sent. All of it stays on loopback.
"""

import contextlib
import json
import select
import socket
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from tests.hostile.wire import (
    APPEND,
    PATIENCE,
    TINY,
    Aim,
    block_of,
    call,
    calls,
    deliver,
    dial,
    frame,
    pour,
    request,
    reset,
    token,
)
from tests.websocket.ends import CONTINUATION, PING, PONG, TEXT

MIB: Final = 1 << 20
BURST: Final = 6 * MIB
"""What a kernel's receive buffer holds of a connection that nobody reads."""
LARGE: Final = 9 * MIB
"""Of an event or a message, within MAX_MESSAGE_BYTES."""
FEW: Final = 20
CROWD: Final = 600
UPGRADES: Final = 150
PLACES: Final = "100"
AT_ONCE: Final = 32
SOON: Final = 0.05
LONGEST: Final = 1.0
"""Seconds that an attacker who wants to be refused waits for it."""

Deed = Callable[[Aim], None]


@dataclass(frozen=True, slots=True)
class Attack:
    """One attack: what it does, the relay's settings, and what it is held to.

    `descriptors` is the relay's limit of open files. Where `shuts_out` is set, callers need be let
    in again only when it is over: there is no descriptor left for them. `most_seconds` bounds an
    attack in which nothing else can come to light.
    """

    name: str
    deed: Deed
    settings: dict[str, str] = field(default_factory=dict)
    descriptors: int | None = None
    shuts_out: bool = False
    auth_server: bool = False
    most_seconds: float = float("inf")
    short: bool = True


def _repeated(aim: Aim, once: Deed, pause: float = SOON) -> None:
    """Do it again and again; what a refused or a broken connection raises ends one time only."""
    while aim.goes_on:
        with contextlib.suppress(OSError):
            once(aim)
        aim.pause(pause)


# ------------------------------------------------------------------------------------------ floods


def nothing(aim: Aim) -> None:
    """Attack nobody: what the machine and the harness cost by themselves."""
    aim.hold()


def flood(unit: bytes, first: bytes = b"", connections: int = 1) -> Deed:
    """Send these frames without end in sessions."""
    block = block_of(unit)

    def once(aim: Aim) -> None:
        with calls(aim, connections) as ones:
            deliver(aim, ones, first)
            for one in ones:
                one.setblocking(False)
            while aim.goes_on and ones:
                deliver_some(aim, ones, block)

    return lambda aim: _repeated(aim, once)


def deliver_some(aim: Aim, ones: list[socket.socket], block: bytes) -> None:
    """Send a whole block on each connection in turn, and leave out those that ended."""
    if len(ones) == 1:
        pour(aim, ones[0], block)
        return
    before = aim.sent
    deliver(aim, ones, block)
    if aim.sent == before:
        raise ConnectionError("all of them ended")


def flood_without_token(unit: bytes, first: bytes = b"") -> Deed:
    """Send them with an upgrade that has no token, until it is refused, and again."""
    block = block_of(unit)

    def once(aim: Aim) -> None:
        with dial(aim, aim.voice) as one:
            one.sendall(request(aim, None) + first)
            pour(aim, one, block, BURST)

    return lambda aim: _repeated(aim, once)


def flood_and_reset(unit: bytes) -> Deed:
    """Send a burst in a session, vanish, and again."""
    block = block_of(unit)

    def once(aim: Aim) -> None:
        one = call(aim, "attacker")
        try:
            pour(aim, one, block, BURST)
        finally:
            reset(one)

    return lambda aim: _repeated(aim, once)


def reset_with_data(aim: Aim) -> None:
    """Have a few calls vanish in the moment in which they say something."""

    def once(aim: Aim) -> None:
        with calls(aim, FEW // 2) as ones:
            for one in ones:
                one.send(TINY)
                reset(one)

    _repeated(aim, once, 2.0)  # each is a session, with two log lines of its own


# ------------------------------------------------------------------------------------------ memory


def open_fragments(aim: Aim) -> None:
    """Send most of a large message in each of a few calls, and hold it open."""
    with calls(aim, FEW) as ones:
        deliver(aim, ones, frame(TEXT, b"x" * LARGE, fin=False))
        aim.hold()


def large_events(model: str) -> Deed:
    """Send a large event in each of a few calls whose engine does not read."""
    event = APPEND.replace(b"AAAA", b"A" * LARGE)

    def deed(aim: Aim) -> None:
        with calls(aim, FEW, model) as ones:
            deliver(aim, ones, frame(TEXT, event))
            aim.hold()

    return deed


# ------------------------------------------------------------------------------------- connections


def crowd(port: Callable[[Aim], int], first: bytes = b"", drip: bytes = b"") -> Deed:
    """Hold many connections that begin so and say a little each second; open lost ones anew."""

    def deed(aim: Aim) -> None:
        ones: list[socket.socket] = []
        while aim.goes_on:
            ones = [one for one in ones if _is_open(one)]
            while len(ones) < CROWD and aim.goes_on:
                try:
                    one = dial(aim, port(aim))
                    one.sendall(first)
                except OSError:
                    break
                ones.append(one)
            _drip(ones, drip)
            aim.pause(1.0)
        for one in ones:
            one.close()

    return deed


def _is_open(one: socket.socket) -> bool:
    """Whether it is; one that ended is closed."""
    try:
        one.setblocking(False)
        if one.recv(4096):
            return True
    except BlockingIOError:
        return True
    except OSError:
        pass
    one.close()
    return False


def _drip(ones: list[socket.socket], drip: bytes) -> None:
    for one in ones:
        with contextlib.suppress(OSError):
            one.send(drip)


def upgrades_without_token(aim: Aim) -> None:
    """Keep 150 upgraded connections open that never show a token and never answer a close."""
    ones: dict[socket.socket, float] = {}
    while aim.goes_on:
        for one in [one for one, at in ones.items() if time.monotonic() - at > 3.0]:
            del ones[one]
            one.close()
        while len(ones) < UPGRADES and aim.goes_on:
            with contextlib.suppress(OSError):
                one = dial(aim, aim.voice)
                one.sendall(request(aim, None))
                ones[one] = time.monotonic()
        aim.pause(0.01)
    for one in ones:
        one.close()


def connects(bearers: Iterator[str], *, addresses: int | None = None) -> Deed:
    """Ask for sessions, leave when refused, and ask again, with some requests always open."""

    def deed(aim: Aim) -> None:
        aim.addresses = addresses or aim.addresses
        since: dict[socket.socket, float] = {}
        while aim.goes_on:
            while len(since) < AT_ONCE and aim.goes_on:
                with contextlib.suppress(OSError):
                    one = dial(aim, aim.voice)
                    one.sendall(request(aim, None, bearer=next(bearers)))
                    since[one] = time.monotonic()
            _leave_refused(since)

    return deed


def _leave_refused(since: dict[socket.socket, float]) -> None:
    """Close those that were told something after their upgrade, or nothing for a second."""
    ready = set(select.select(list(since), [], [], SOON)[0])
    for one, at in list(since.items()):
        if one in ready and not _is_refused(one) and time.monotonic() - at < LONGEST:
            continue
        if one in ready or time.monotonic() - at >= LONGEST:
            del since[one]
            one.close()


def _is_refused(one: socket.socket) -> bool:
    try:
        told = one.recv(4096)
    except OSError:
        return True
    return not told or not told.startswith(b"HTTP/1.1 101") or not told.endswith(b"\r\n\r\n")


def forged() -> Iterator[str]:
    """Tokens that somebody else signed."""
    good = token("attacker")
    head, claims, _ = good.split(".")
    while True:
        yield f"{head}.{claims}.{'A' * 43}"


def no_token() -> Iterator[str]:
    while True:
        yield ""


def hang_ups(aim: Aim) -> None:
    """Begin sessions with a good token and vanish, as fast as one address can."""
    aim.addresses = 1

    def once(aim: Aim) -> None:
        reset(call(aim, "attacker"))

    _repeated(aim, once, 0.0)


# ------------------------------------------------------------------------------------------ tokens


def fresh_tokens(aim: Aim) -> None:
    """Bring another token a thousand times a second in one session."""

    def once(aim: Aim) -> None:
        with call(aim, "attacker") as one:
            one.setblocking(False)
            began, sent = time.monotonic(), 0
            while aim.goes_on:
                while sent < 1000 * (time.monotonic() - began):
                    event = {
                        "type": "relay.token",
                        "token": token("attacker", aim.issuer, 60 + sent),
                    }
                    _send_whole(aim, one, frame(TEXT, json.dumps(event).encode()))
                    sent += 1
                if select.select([one], [], [], 0)[0] and not one.recv(1 << 16):
                    return
                aim.pause(0.005)

    _repeated(aim, once)


def _send_whole(aim: Aim, one: socket.socket, data: bytes) -> None:
    left = memoryview(data)
    while left and aim.goes_on:
        if select.select([], [one], [], 0.2)[1]:
            left = left[one.send(left) :]
    aim.sent += len(data)


# ------------------------------------------------------------------------------------------- table

_EMPTY, _MORE = frame(TEXT), frame(CONTINUATION, fin=False)
_OPENED: Final = frame(TEXT, b"{", fin=False)
_VOICE: Final = b"GET /v1/realtime HTTP/1.1\r\nHost: x\r\n"
_HEALTH: Final = b"GET /health HTTP/1.1\r\nHost: x\r\n"
_BODY: Final = b"POST /api/sessions/x/note HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n{"
_HEADER: Final = b"X-More: x\r\n"


def _voice(aim: Aim) -> int:
    return aim.voice


def _http(aim: Aim) -> int:
    return aim.http


def _out_of_files(name: str, port: Callable[[Aim], int], limit: int, short: bool) -> Attack:
    return Attack(
        f"{limit} descriptors, idle connections to {name}",
        crowd(port),
        {"MAX_CONNECTIONS": "50"},
        descriptors=limit,
        shuts_out=True,
        short=short,
    )


_FLOODS: Final = (
    Attack("nobody attacks", nothing, most_seconds=15.0),
    Attack("empty frames", flood(_EMPTY)),
    Attack("empty continuations", flood(_MORE, _OPENED)),
    Attack("tiny appends", flood(TINY)),
    Attack("tiny appends in 8 calls", flood(TINY, connections=8), short=False),
    Attack("pings", flood(frame(PING)), short=False),
    Attack("pongs", flood(frame(PONG)), short=False),
    Attack("empty frames, no token", flood_without_token(_EMPTY)),
    Attack("empty continuations, no token", flood_without_token(_MORE, _OPENED), short=False),
    Attack("tiny appends, no token", flood_without_token(TINY)),
    Attack("pongs, no token", flood_without_token(frame(PONG)), short=False),
    Attack("pings and a reset", flood_and_reset(frame(PING))),
    Attack("larger pings and a reset", flood_and_reset(frame(PING, b"x" * 100)), short=False),
    Attack("empty frames and a reset", flood_and_reset(_EMPTY), short=False),
    Attack("a reset together with data", reset_with_data),
)
_HOLDERS: Final = (
    Attack("open fragments", open_fragments),
    Attack("large events, silent engine", large_events("silent"), short=False),
    Attack("large events, deaf engine", large_events("deaf"), short=False),
    _out_of_files("voice", _voice, 64, short=True),
    _out_of_files("HTTP", _http, 64, short=False),
    _out_of_files("voice", _voice, 256, short=False),
    _out_of_files("HTTP", _http, 256, short=True),
    Attack("150 upgrades, no token", upgrades_without_token, {"MAX_CONNECTIONS": PLACES}),
    Attack("idle connections to voice", crowd(_voice), short=False),
    Attack("slow upgrades", crowd(_voice, _VOICE, _HEADER), short=False),
    Attack("idle connections to HTTP", crowd(_http)),
    Attack("slow requests to HTTP", crowd(_http, _HEALTH, _HEADER)),
    Attack("slow bodies to HTTP", crowd(_http, _BODY, b" "), short=False),
)
_STRANGERS: Final = (
    Attack("connects, no token, one address", connects(no_token(), addresses=1)),
    Attack("connects, forged tokens", connects(forged())),
    Attack("sessions begun and left, one address", hang_ups, short=False),
    Attack("relay.token a thousand times a second", fresh_tokens, auth_server=True),
)
ATTACKS: Final = {one.name: one for one in (*_FLOODS, *_HOLDERS, *_STRANGERS)}


def main(name: str) -> None:
    """Attack when told whom, and say what was done; end quietly where nobody says so."""
    told = sys.stdin.readline().split()
    if told:
        voice, http, seconds, *issuer = told
        until = time.monotonic() + float(seconds)
        aim = Aim(int(voice), int(http), until, *issuer)
        ATTACKS[name].deed(aim)
        print(json.dumps({"sent": aim.sent, "connects": aim.connects}))


if __name__ == "__main__":
    socket.setdefaulttimeout(PATIENCE)
    main(sys.argv[1])
