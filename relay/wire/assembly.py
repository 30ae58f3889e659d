"""Joins the pieces of messages, within the message limit."""

import codecs

from picows import WSFrame, WSMsgType

from relay.wire.closing import BAD_TEXT, BROKEN, NO_BINARY, TOO_BIG, Malformed

_utf8_decoder = codecs.getincrementaldecoder("utf-8")


class Message:
    """One message, half here or whole."""

    __slots__ = ("_decoder", "data", "is_text")

    def __init__(self, is_text: bool) -> None:
        self.is_text = is_text
        self.data = bytearray()
        self._decoder = _utf8_decoder() if is_text else None

    def add(self, piece: memoryview, last: bool) -> None:
        """Take a piece; raises `Malformed` as soon as a text can no longer become UTF-8."""
        self.data += piece
        if self._decoder is not None:
            try:
                self._decoder.decode(piece, last)
            except UnicodeDecodeError:
                raise Malformed(BAD_TEXT) from None


class Assembly:
    """What is half here of one connection's messages: at most one, and at most `limit` bytes."""

    __slots__ = ("_binary", "_limit", "_message")

    def __init__(self, limit: int, binary: bool) -> None:
        self._limit = limit
        self._binary = binary
        self._message: Message | None = None

    @property
    def pending(self) -> bool:
        """True while a message is half here."""
        return self._message is not None

    def clear(self) -> None:
        """Let go of what is half here."""
        self._message = None

    def take(self, frame: WSFrame) -> Message | None:
        """Take a data frame; returns the message once it is whole.

        Raises `Malformed` for pieces out of turn, too much of them, bad UTF-8, and binary messages
        where none are wanted.
        """
        message = self._begun(frame)
        if len(message.data) + frame.payload_size > self._limit:
            raise Malformed(TOO_BIG)
        message.add(frame.get_payload_as_memoryview(), bool(frame.fin))
        self._message = None if frame.fin else message
        return message if frame.fin else None

    def _begun(self, frame: WSFrame) -> Message:
        """The message that this frame goes on with, or begins."""
        kind = frame.msg_type
        goes_on = kind is WSMsgType.CONTINUATION
        if goes_on is (self._message is None):
            raise Malformed(BROKEN)
        if self._message is not None:
            return self._message
        if kind is not WSMsgType.TEXT and not self._binary:
            raise Malformed(NO_BINARY)
        return Message(kind is WSMsgType.TEXT)
