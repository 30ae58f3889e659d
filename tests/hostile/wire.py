"""An attacker's end of a connection: blocking sockets and frames with a mask of zeros."""

import select
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from relay.auth.tokens import mint
from relay.realtime.grant import Caller
from tests.benchmarks.contenders import SECRET
from tests.websocket.ends import TEXT, upgrade

ADDRESSES: Final = 500
"""Of the attackers, so that a limit by address alone stops none but those that say so."""
PATIENCE: Final = 5.0
BLOCK: Final = 1 << 16
APPEND: Final = b'{"type":"input_audio_buffer.append","audio":"AAAA"}'


@dataclass(slots=True)
class Aim:
    """What is attacked, until when (`time.monotonic`), from where; what has been done so far."""

    voice: int
    http: int
    until: float
    issuer: str | None = None
    addresses: int = ADDRESSES
    sent: int = 0
    connects: int = 0

    @property
    def goes_on(self) -> bool:
        return time.monotonic() < self.until

    @property
    def source(self) -> str:
        """The address of the next connection; nobody else calls from these."""
        number = self.connects % self.addresses
        return f"127.0.{2 + number // 250}.{1 + number % 250}"

    def pause(self, seconds: float) -> None:
        """Wait, but not beyond the end."""
        time.sleep(max(0.0, min(seconds, self.until - time.monotonic())))

    def hold(self) -> None:
        """Leave all that is held open until the end."""
        self.pause(float("inf"))


def token(sub: str, issuer: str | None = None, ttl: float = 3600.0) -> str:
    """A token that the relay believes."""
    now = time.time()
    return mint(Caller(sub, "learner", now + ttl), SECRET, now, issuer)


def frame(kind: int, payload: bytes = b"", *, fin: bool = True, size: int | None = None) -> bytes:
    """One frame; with `size` its head announces more than the payload that is here."""
    size = len(payload) if size is None else size
    if size < 126:
        head = struct.pack("!BB", fin << 7 | kind, 128 | size)
    elif size < 1 << 16:
        head = struct.pack("!BBH", fin << 7 | kind, 128 | 126, size)
    else:
        head = struct.pack("!BBQ", fin << 7 | kind, 128 | 127, size)
    return head + bytes(4) + payload


def block_of(unit: bytes) -> bytes:
    """So many of these frames that a write is large."""
    return unit * max(1, BLOCK // len(unit))


def dial(aim: Aim, port: int) -> socket.socket:
    """A connection from one of the attackers' addresses; raises `OSError`."""
    one = socket.create_connection(("127.0.0.1", port), PATIENCE, source_address=(aim.source, 0))
    aim.connects += 1
    return one


def request(aim: Aim, sub: str | None, model: str = "attack", bearer: str = "") -> bytes:
    """An upgrade with this user's token, with another bearer, or without any."""
    bearer = bearer or (token(sub, aim.issuer) if sub else "")
    headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
    return upgrade(aim.voice, f"/v1/realtime?relay=1&model={model}", **headers)


def call(aim: Aim, sub: str, model: str = "attack") -> socket.socket:
    """A session that has begun; one with a silent engine at least has its upgrade."""
    one = dial(aim, aim.voice)
    try:
        one.sendall(request(aim, sub, model))
        seen, wanted = b"", b"\r\n\r\n" if model == "silent" else b"session.created"
        while wanted not in seen:
            more = one.recv(BLOCK)
            if not more:
                raise ConnectionError("refused")
            seen += more
    except OSError:
        one.close()
        raise
    return one


@contextmanager
def calls(aim: Aim, count: int, model: str = "attack") -> Iterator[list[socket.socket]]:
    """So many sessions of users of their own; those that are refused are left out."""
    made = []
    for number in range(count):
        try:
            made.append(call(aim, f"attacker-{number}", model))
        except OSError:
            continue
    try:
        yield made
    finally:
        for one in made:
            one.close()


def pour(aim: Aim, one: socket.socket, block: bytes, most: float = float("inf")) -> None:
    """Send this over and over, `most` bytes in all, as fast as it is taken; raises `OSError`.

    Where nothing is taken for a while it waits, as long as the attack goes on. What comes is read,
    so that the relay is not held up by what it answers.
    """
    one.setblocking(False)
    sent, rest = 0, memoryview(block)
    while aim.goes_on and sent < most:
        readable, writable, _ = select.select([one], [one], [], 0.2)
        if readable and not one.recv(BLOCK):
            raise ConnectionError("closed")
        if writable:
            done = one.send(rest)
            sent, aim.sent = sent + done, aim.sent + done
            rest = rest[done:] if done < len(rest) else memoryview(block)


def deliver(aim: Aim, ones: list[socket.socket], data: bytes) -> None:
    """Send this once on each connection, as far as it is taken within the time."""
    left = {one: memoryview(data) for one in ones}
    for one in ones:
        one.setblocking(False)
    while left and aim.goes_on:
        _, writable, _ = select.select([], list(left), [], 0.2)
        for one in writable:
            try:
                done = one.send(left[one][:BLOCK])
            except OSError:
                del left[one]
                continue
            aim.sent, left[one] = aim.sent + done, left[one][done:]
            if not left[one]:
                del left[one]


def reset(one: socket.socket) -> None:
    """Vanish with an RST."""
    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    one.close()


TINY: Final = frame(TEXT, APPEND)
