"""The inside of a worker process: takes requests from its stdin, writes replies to its stdout.

Both ways a message is a head (`HEAD`: length of the body, kind) and a body. The pool sends WORK
and CANCEL; the process says READY once (JSON: what it found) or UNUSABLE (why), then answers each
WORK with any number of PIECE and one END or FAILED (JSON: code and detail). A CANCEL outside of a
request means nothing. The process ends with its stdin, and on Linux at once with its parent,
however that one dies.
"""

import ctypes
import json
import os
import queue
import signal
import struct
import sys
import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from typing import IO, Final

from relay.parts.interfaces import PartFailed
from relay.tasks import where

HEAD: Final = struct.Struct(">IB")
_PACKED: Final = struct.Struct(">I")
WORK, CANCEL, READY, UNUSABLE, PIECE, END, FAILED = range(1, 8)

LONGEST_REASON: Final = 200  # characters of an error's text: more is a quoted input, not a reason
NICENESS: Final = 5  # relaying has priority over speech

Work = Callable[[bytes, Callable[[], bool]], Generator[bytes, None, None]]
"""Does one request: is given its bytes, and a function that tells whether it has been cancelled.

It yields the pieces of its reply. After each of them it is closed if it was cancelled; work that
takes long between two pieces asks itself, and just returns. What it raises fails this one request:
a `PartFailed` with its code and detail, anything else as `failed`, by its type and line.
"""

Load = Callable[[Sequence[str]], tuple[Work, Mapping[str, str]]]
"""Loads and warms up what the work needs; is given the command's arguments.

Returns the work and what the pool is to know of it, such as the device. What it raises makes the
part `unavailable`, and its text is told: it must hold no key.
"""


def run_worker(load: Load) -> None:
    """Be a worker: what a module does that runs as `python -m MODULE PARENT_PID ARGUMENT…`."""
    _die_with(int(sys.argv[1]))
    if hasattr(os, "nice"):
        os.nice(NICENESS)
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not get between the messages
    inbox = Inbox(sys.stdin.buffer)
    threading.Thread(target=inbox.read, args=(lambda: os._exit(0),), daemon=True).start()
    serve(load, sys.argv[2:], inbox, replies)


class Inbox:
    """The requests that have come, and whether the one under way has been cancelled."""

    def __init__(self, messages: IO[bytes]) -> None:
        self._messages = messages
        self._requests: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._cancelled = threading.Event()

    @property
    def cancelled(self) -> Callable[[], bool]:
        """Return the function that tells whether the request under way has been cancelled."""
        return self._cancelled.is_set

    def read(self, at_end: Callable[[], object]) -> None:
        """Read until the other end is gone, then call `at_end`; for a thread of its own."""
        while (message := read_message(self._messages)) is not None:
            kind, body = message
            if kind == CANCEL:
                self._cancelled.set()
            else:  # the pool sends the next only after the last one's end
                self._cancelled.clear()
                self._requests.put(body)
        self._requests.put(None)
        at_end()

    def next(self) -> bytes | None:
        """Wait for the next request; None when there will be no more."""
        return self._requests.get()


def serve(load: Load, arguments: Sequence[str], inbox: Inbox, replies: IO[bytes]) -> None:
    """Load, then do what comes until the other end is gone."""
    try:
        work, found = load(arguments)
    except Exception as error:  # noqa: BLE001 - whatever it is, the part cannot be used
        reason = f"{type(error).__name__}: {error}".splitlines()[0][:LONGEST_REASON]
        _send(replies, UNUSABLE, reason.encode(errors="replace"))
        return
    gone = not _send(replies, READY, json.dumps(dict(found)).encode())
    while not gone and (request := inbox.next()) is not None:
        gone = not _do(work, request, inbox.cancelled, replies)


def _do(work: Work, request: bytes, cancelled: Callable[[], bool], replies: IO[bytes]) -> bool:
    """Do one request; False when nobody reads its replies any more."""
    try:
        with closing(work(request, cancelled)) as pieces:
            for piece in pieces:
                if cancelled():
                    break
                if not _send(replies, PIECE, piece):
                    return False
    except PartFailed as failure:
        reason = [failure.code, failure.detail]
    except Exception as error:  # noqa: BLE001 - it fails this request, the process goes on
        reason = ["failed", where(error)]
    else:
        return _send(replies, END)
    return _send(replies, FAILED, json.dumps(reason).encode())


def _send(pipe: IO[bytes], kind: int, body: bytes = b"") -> bool:
    try:
        write_message(pipe, kind, body)
    except OSError:
        return False
    return True


def write_message(pipe: IO[bytes], kind: int, body: bytes = b"") -> None:
    """Send one message; raises OSError when the other end is gone."""
    pipe.write(HEAD.pack(len(body), kind))
    pipe.write(body)
    pipe.flush()


def read_message(pipe: IO[bytes]) -> tuple[int, bytes] | None:
    """Wait for one message's kind and body; None when the other end is gone."""
    head = pipe.read(HEAD.size)
    if len(head) < HEAD.size:
        return None
    length, kind = HEAD.unpack(head)
    body = pipe.read(length)
    return (kind, body) if len(body) == length else None


def pack(head: bytes, body: bytes) -> bytes:
    """Put two byte strings into one, for a request that is a description and a sound."""
    return _PACKED.pack(len(head)) + head + body


def unpack(packed: bytes) -> tuple[bytes, bytes]:
    """Return the two byte strings that `pack` was given."""
    at = _PACKED.size + _PACKED.unpack_from(packed)[0]
    return packed[_PACKED.size : at], packed[at:]


def _die_with(parent: int) -> None:
    """On Linux, be killed when the parent dies; elsewhere the end of stdin is the only sign."""
    if sys.platform == "linux":
        pr_set_pdeathsig = 1  # from linux/prctl.h
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)
    if os.getppid() != parent:  # it died before it could be watched
        sys.exit(0)
