"""Which close codes may travel and how a close frame's payload is read and written."""

from typing import Final

from relay.realtime.endings import (
    BINARY_REFUSED,
    FRAME_TOO_BIG,
    INTERNAL_ERROR,
    NOT_UTF8,
    PROTOCOL_ERROR,
    Ending,
)

Close = tuple[int, str]
"""A close code and its reason."""


def _close(ending: Ending) -> Close:
    return ending.code, ending.reason


BROKEN: Final = _close(PROTOCOL_ERROR)
BAD_TEXT: Final = _close(NOT_UTF8)
TOO_BIG: Final = _close(FRAME_TOO_BIG)
NO_BINARY: Final = _close(BINARY_REFUSED)
FAULT: Final = _close(INTERNAL_ERROR)

LOST: Final[Close] = (1006, "")
"""What a lost connection is called; never on the wire (RFC 6455 §7.1.5)."""

NO_CODE: Final[Close] = (1005, "")
"""What a close frame without a code is called; never on the wire (RFC 6455 §7.1.5)."""

NORMAL: Final = 1000

MAX_REASON_BYTES: Final = 123
"""A control frame holds 125 bytes and the code takes two (RFC 6455 §5.5)."""

# RFC 6455 §7.4 and IANA's registry. 1004, 1005, 1006 and 1015 are reserved and never travel.
_REGISTERED = frozenset({NORMAL, 1001, 1002, 1003, *range(1007, 1015)})


class Malformed(Exception):  # noqa: N818 - it is what the other end did, not a fault of ours
    """The other end broke the protocol; `close` is how it is told."""

    def __init__(self, close: Close) -> None:
        super().__init__(close)
        self.close = close


def may_travel(code: int) -> bool:
    """True when this code may stand in a close frame."""
    return code in _REGISTERED or 3000 <= code < 5000


def violation(code: int) -> Close:
    """How a violation that picows found is told: its code, in our words."""
    return {each[0]: each for each in (BAD_TEXT, TOO_BIG)}.get(code, BROKEN)


def reason_bytes(reason: str) -> bytes:
    """The reason as it fits into a close frame, cut between characters."""
    encoded = reason.encode("utf-8", "replace")
    if len(encoded) <= MAX_REASON_BYTES:
        return encoded
    return encoded[:MAX_REASON_BYTES].decode("utf-8", "ignore").encode()


def read_close(payload: bytes) -> Close:
    """What a close frame says; raises `Malformed` where it may not say that."""
    if not payload:
        return NO_CODE
    code = int.from_bytes(payload[:2], "big")
    if len(payload) == 1 or not may_travel(code):
        raise Malformed(BROKEN)
    try:
        return code, payload[2:].decode()
    except UnicodeDecodeError:
        raise Malformed(BAD_TEXT) from None
