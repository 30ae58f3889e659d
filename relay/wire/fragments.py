"""Joins the fragments of one message, within the message limit."""

import codecs
from typing import Final

from relay.realtime.endings import FRAME_TOO_BIG
from relay.wire.closing import BAD_TEXT, Close, Malformed

TOO_BIG: Final[Close] = (FRAME_TOO_BIG.code, FRAME_TOO_BIG.reason)

_utf8_decoder = codecs.getincrementaldecoder("utf-8")


class Fragments:
    """One message that is still coming in pieces.

    `add` raises `Malformed` as soon as a piece is too much or, in a text message, cannot be UTF-8.
    """

    __slots__ = ("_decoder", "_limit", "message", "text")

    def __init__(self, text: bool, limit: int) -> None:
        self.text = text
        self.message = bytearray()
        self._limit = limit
        self._decoder = _utf8_decoder()

    def add(self, piece: memoryview, last: bool) -> None:
        """Take the next piece; `message` is whole after the last one."""
        if len(self.message) + len(piece) > self._limit:
            raise Malformed(TOO_BIG)
        self.message += piece
        if self.text:
            try:
                self._decoder.decode(piece, last)
            except UnicodeDecodeError:
                raise Malformed(BAD_TEXT) from None
