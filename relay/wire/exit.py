"""The way out of one connection: close frames, the grace for an answer, then force."""

import asyncio
from typing import cast

from picows import WSCloseCode, WSMsgType, WSTransport
from picows.picows import WSCloseHandshake

from relay.wire.closing import (
    LOST,
    NO_CODE,
    NORMAL,
    Close,
    Malformed,
    may_travel,
    read_close,
    reason_bytes,
    violation,
)
from relay.wire.options import PeerOptions


class Exit:
    """How one connection ends; `ending` is None while nobody has begun to.

    At most one close frame is sent. From then on the connection lives for its grace, however full
    its buffers are, and the timer that sees to it goes when the connection does.
    """

    __slots__ = ("_options", "_timer", "_transport", "ending", "gone")

    def __init__(self, transport: WSTransport, options: PeerOptions) -> None:
        self._transport = transport
        self._options = options
        self._timer: asyncio.TimerHandle | None = None
        self.ending: Close | None = None
        self.gone = False

    def close(self, ending: Close) -> None:
        """Say goodbye first; a code that may not travel (1006 and its like) ends it at once."""
        self._begin(ending, self._options.close_grace)
        if may_travel(ending[0]):
            self._say(ending)
        else:
            self.abort()

    def fail(self, ending: Close) -> None:
        """Say why, and go soon, whatever the other end has to say to that."""
        self._begin(ending, self._options.fail_grace)
        try:
            for frame in self._options.last_words(ending):
                self._transport.send(WSMsgType.TEXT, frame)
        except Exception as fault:  # noqa: BLE001 - whatever it was, the close goes out
            self._options.on_fault(fault)
        self._say(ending)

    def answer(self, payload: bytes) -> None:
        """The other end has said goodbye: say it in kind, or what is wrong with it, and go."""
        try:
            ending = read_close(payload)
        except Malformed as malformed:
            self.fail(malformed.close)
        else:
            self._begin(ending, self._options.close_grace)
            if ending is NO_CODE:
                self._transport.send(WSMsgType.CLOSE, b"")
            else:
                self._say(ending)
        self.go()

    def break_off(self, code: int) -> None:
        """The core cannot read what came, and is about to close by itself with this code.

        It would do so in its own words and wait for a full buffer without end, so we come first.
        Where what came is a second close right behind the first, the first wants its answer.
        """
        handshake: WSCloseHandshake | None = self._transport.close_handshake
        first = handshake.recv if handshake else None
        if first:
            self.close((cast("int", first.code) or NORMAL, first.reason or ""))
        else:
            self.fail(violation(code))

    def go(self) -> None:
        """Close the socket once everything is written; force comes after the grace."""
        self._transport.disconnect()

    def abort(self) -> None:
        """Drop the connection with all that is unwritten."""
        self._transport.underlying_transport.abort()

    def lost(self) -> None:
        """The connection is gone."""
        self.gone = True
        self.ending = self.ending or LOST
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _begin(self, ending: Close, grace: float) -> None:
        self.ending = ending
        self._timer = asyncio.get_running_loop().call_later(grace, self.abort)

    def _say(self, ending: Close) -> None:
        # picows' stub knows the registered codes only; picows itself takes any number.
        self._transport.send_close(cast("WSCloseCode", ending[0]), reason_bytes(ending[1]))
