"""Reads a server's answer to an upgrade request, however its headers are spelt."""

from typing import Final

MOST_BYTES: Final = 64 * 1024
"""Of an answer's head: gateways add cookies, policies and traces of their own."""

PIECE_BYTES: Final = 4 * 1024
"""What is read of it at once."""

_END: Final = b"\r\n\r\n"
_SWITCHING: Final = b"101"
_KEPT: Final = (
    *(b"sec-websocket-accept", b"sec-websocket-protocol"),
    *(b"content-length", b"transfer-encoding"),  # of a body, which no upgrade has
)


class AnswerTooLong(Exception):  # noqa: N818 - an act of the other end, not a fault of ours
    """The head of the answer does not end within `MOST_BYTES`."""


class UpgradeAnswer:
    """Collects an answer until its head is whole.

    A transport reads into `piece`, and `take` is told how much.
    """

    __slots__ = ("_head", "piece")

    def __init__(self) -> None:
        self.piece = bytearray(PIECE_BYTES)
        self._head = bytearray()

    def take(self, count: int) -> bytes | None:
        """Take what was read: the whole answer in few words and all that followed, or None yet.

        Raises `AnswerTooLong`.
        """
        searched = max(0, len(self._head) - len(_END))
        self._head += memoryview(self.piece)[:count]
        end = self._head.find(_END, searched)
        if end < 0 and len(self._head) <= MOST_BYTES:
            return None
        if end < 0 or end > MOST_BYTES:
            raise AnswerTooLong
        return in_few_words(bytes(self._head[:end])) + bytes(self._head[end + len(_END) :])


def in_few_words(head: bytes) -> bytes:
    """Return a head as picows 2.3.1 reads it, with what matters to the upgrade alone.

    `Connection` and `Upgrade` are lists of words in either case (RFC 9110 §7.6.1 and §7.8), picows
    wants one word in each. A refusal is its status line.
    """
    line, *fields = head.split(b"\r\n")
    version, _, rest = line.partition(b" ")
    status, _, phrase = rest.partition(b" ")
    lines = [b" ".join((version, status, phrase))]
    if status == _SWITCHING:
        lines += _of_an_upgrade(fields)
    return b"\r\n".join(lines) + _END


def _of_an_upgrade(fields: list[bytes]) -> list[bytes]:
    named = [(name.strip().lower(), value.strip()) for name, _, value in _split(fields)]
    kept = [b": ".join(each) for each in named if each[0] in _KEPT]
    for name, word in ((b"upgrade", b"websocket"), (b"connection", b"upgrade")):
        words = [
            one.strip().lower()
            for each, value in named
            if each == name
            for one in value.split(b",")
        ]
        if word in words:
            kept.append(b": ".join((name, word)))
    return kept


def _split(fields: list[bytes]) -> list[tuple[bytes, bytes, bytes]]:
    return [field.partition(b":") for field in fields]
