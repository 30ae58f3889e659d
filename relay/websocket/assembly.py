"""Joins the fragments of WebSocket messages."""

import codecs
from typing import Final

from picows import WSFrame, WSMsgType

from relay.realtime.endings import BINARY_REFUSED, FRAME_TOO_BIG, NOT_UTF8, PROTOCOL_ERROR
from relay.websocket.closing import ProtocolViolation
from relay.websocket.turns import HeldFrame

_TEXT = WSMsgType.TEXT

_utf8_decoder = codecs.getincrementaldecoder("utf-8")

PIECE_BYTES: Final = 64 * 1024
"""What is decoded at once only to be checked: a large string is memory that is new each time, which
costs seven times as much as the check."""


def check_utf8(text: memoryview, decoder: codecs.IncrementalDecoder, last: bool = True) -> None:
    """Raise UnicodeDecodeError as soon as a text can no longer become UTF-8."""
    size = len(text)
    for start in range(0, max(size, 1), PIECE_BYTES):
        end = start + PIECE_BYTES
        decoder.decode(text[start:end], last and end >= size)


class MessageAssembler:
    """Joins the fragments of messages: one message at a time, of at most `limit` bytes."""

    __slots__ = ("_binary", "_limit", "_message")

    def __init__(self, limit: int, binary: bool) -> None:
        self._limit = limit
        self._binary = binary
        self._message: AssembledMessage | None = None

    @property
    def pending(self) -> bool:
        """True while a message is half received."""
        return self._message is not None

    @property
    def size(self) -> int:
        """Bytes of a half received message."""
        return 0 if self._message is None else len(self._message.data)

    def clear(self) -> None:
        """Drop a half received message."""
        self._message = None

    def take(self, frame: WSFrame | HeldFrame) -> "AssembledMessage | None":
        """Take a data frame; returns the message once it is complete.

        Raises `ProtocolViolation` for fragments out of turn, too many bytes, invalid UTF-8, and
        binary messages where `binary` is False.
        """
        message = self._message_of(frame)
        if len(message.data) + frame.payload_size > self._limit:
            raise ProtocolViolation(FRAME_TOO_BIG)
        message.add(frame.get_payload_as_memoryview(), bool(frame.fin))
        self._message = None if frame.fin else message
        return message if frame.fin else None

    def _message_of(self, frame: WSFrame | HeldFrame) -> "AssembledMessage":
        """The message that this frame continues or begins."""
        kind = frame.msg_type
        continues = kind is WSMsgType.CONTINUATION
        if continues is (self._message is None):
            raise ProtocolViolation(PROTOCOL_ERROR)
        if self._message is not None:
            return self._message
        if kind is not _TEXT and not self._binary:
            raise ProtocolViolation(BINARY_REFUSED)
        return AssembledMessage(kind is _TEXT)


class AssembledMessage:
    """A message joined from its fragments so far."""

    __slots__ = ("_decoder", "data", "is_text")

    def __init__(self, is_text: bool) -> None:
        self.is_text = is_text
        self.data = bytearray()
        self._decoder = _utf8_decoder() if is_text else None

    def add(self, fragment: memoryview, last: bool) -> None:
        """Append; raises `ProtocolViolation` as soon as a text can no longer become UTF-8."""
        is_first = not self.data
        self.data += fragment
        if is_first and self.data.isascii():
            return  # the common case, twenty times faster; the decoder is where it was
        if self._decoder is not None:
            try:
                check_utf8(fragment, self._decoder, last)
            except UnicodeDecodeError:
                raise ProtocolViolation(NOT_UTF8) from None


def check_text(text: memoryview) -> None:
    """Raise UnicodeDecodeError unless a whole message is UTF-8."""
    check_utf8(text, _utf8_decoder())
