"""A fake engine as a program that gives each call a process of its own.

`python -m tests.hostile.engine PORT`. What one caller sends can so delay no other caller's answers:
whatever a measured call waits for, it waits for in the relay. The model's name says how the engine
behaves: `silent` never greets and never reads, `deaf` greets and never reads, `MEASURED` keeps its
priority, and every other call is served with the time that is left over.
"""

import os
import select
import signal
import socket
import sys
from collections.abc import Iterator
from typing import Final

from tests.benchmarks.contenders import die_with_parent
from tests.benchmarks.frames import session_created, session_updated
from tests.websocket.ends import CLOSE, PING, PONG, TEXT, accept, frame

MEASURED: Final = "measured"
NEWCOMER: Final = "newcomer"
NICE: Final = 15
_AT_ONCE: Final = 1 << 18
_BACKLOG: Final = 1024
_SHORT: Final = 200
"""Bytes: what is asked for stands in short events, so longer ones are not looked into."""


def serve(relay: socket.socket) -> None:
    """Hold one call to its end."""
    head = _head(relay)
    key = next(line[19:] for line in head.split("\r\n") if line.lower().startswith(_KEY))
    if not any(f"model={name}" in head for name in (MEASURED, NEWCOMER)):
        os.nice(NICE)
    relay.sendall(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept(key).encode() + b"\r\n\r\n"
    )
    if "model=silent" not in head:
        relay.sendall(frame(TEXT, session_created(), masked=False))
    if "model=silent" in head or "model=deaf" in head:
        _until_gone(relay)
        return
    for kind, payload in received(relay):
        _answer(relay, kind, payload)
        if kind == CLOSE:
            return


_KEY: Final = "sec-websocket-key: "


def _head(relay: socket.socket) -> str:
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        more = relay.recv(4096)
        if not more:
            raise ConnectionError
        head += more
    return head.decode()


def _until_gone(relay: socket.socket) -> None:
    poll = select.poll()
    poll.register(relay, select.POLLRDHUP)
    poll.poll()


def _answer(relay: socket.socket, kind: int, payload: bytes) -> None:
    if kind in (PING, CLOSE):
        relay.sendall(frame(PONG if kind == PING else CLOSE, payload, masked=False))
    elif b'"input_audio_buffer.clear"' in payload:
        cleared = b'{"type":"input_audio_buffer.cleared","event_id":"event_cleared"}'
        relay.sendall(frame(TEXT, cleared, masked=False))
    elif b'"session.update"' in payload:
        relay.sendall(frame(TEXT, session_updated(), masked=False))


def received(relay: socket.socket) -> Iterator[tuple[int, bytes]]:
    """Each frame's kind and payload; of a long one the payload's first bytes alone."""
    data, more = b"", b"more"
    while more:
        at = 0
        while (one := _frame_at(data, at)) is not None:
            kind, payload, at = one
            yield kind, payload
        more = relay.recv(_AT_ONCE)
        data = data[at:] + more


def _frame_at(data: bytes, at: int) -> tuple[int, bytes, int] | None:
    """The masked frame that begins there, and where the next does; None while it is not whole."""
    if len(data) < at + 6:
        return None
    size, start = data[at + 1] & 0x7F, at + 2
    if size >= 126:
        width = 2 if size == 126 else 8
        size = int.from_bytes(data[start : start + width])
        start += width
    end = start + 4 + size
    if len(data) < end:
        return None
    shown = min(size, _SHORT)
    key = data[start : start + 4] * (shown // 4 + 1)
    masked = int.from_bytes(data[start + 4 : start + 4 + shown])
    return data[at] & 0x0F, (masked ^ int.from_bytes(key[:shown])).to_bytes(shown), end


def main(port: int) -> None:
    """Accept until SIGTERM; the calls' processes end with their connections."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.create_server(("127.0.0.1", port), backlog=_BACKLOG) as listener:
        while True:
            relay, _ = listener.accept()
            with relay:
                if os.fork() == 0:
                    listener.close()
                    _in_child(relay)


def _in_child(relay: socket.socket) -> None:
    die_with_parent()  # one that is deaf may never hear that its caller is gone
    try:
        relay.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        serve(relay)
    except (OSError, StopIteration):
        pass  # the caller is gone
    finally:
        os._exit(0)


if __name__ == "__main__":
    main(int(sys.argv[1]))
