"""Takes keys out of what a provider says about a failure, before a client or a log sees it."""

import re
from collections.abc import Callable
from typing import Any, Final

from relay.realtime.events import Event, Frame

MASK: Final = "[masked]"
Conceal = Callable[[Frame], Frame]
"""Returns the frame without the engine's own keys; the same object where none is in it."""

_KEYS: Final = (
    # keys as OpenAI issues them, and as its errors echo them, with stars
    r"(?<![A-Za-z0-9])(?:sk|ek|rk)[-_][\w*-]{8,}"
    # JWTs, whole or cut off; keys of 32 hexadecimal digits
    r"|\bey[\w-]{6,}\.[\w-]{2,}(?:\.[\w-]*)*|\b[0-9a-fA-F]{32}\b"
    # whatever is said to be a key
    r"|(?<=[Bb]earer )[\w.~+/=-]{8,}|(?<=[Kk]ey provided: )[^\s\"]+"
)
_IN_TEXT: Final = re.compile(_KEYS)
_IN_BYTES: Final = re.compile(_KEYS.encode())
_TEXTS: Final = ("message", "code", "type", "param", "reason")
"""The fields of an `error` object that are texts of the provider's."""


def unchanged(frame: Frame) -> Frame:
    """The frame, for engines that have no keys."""
    return frame


def scrub_text(text: str, conceal: Conceal) -> str:
    """The text without keys: the engine's own, and what looks like one."""
    own = bytes(conceal(text.encode("utf-8", "replace"))).decode("utf-8", "replace")
    return _IN_TEXT.sub(MASK, own)


def scrub_frame(frame: Frame) -> Frame:
    """A frame that cannot be decoded, without what looks like a key."""
    return _IN_BYTES.sub(MASK.encode(), bytes(frame)) if _IN_BYTES.search(frame) else frame


def scrub_failure(event: Event, conceal: Conceal) -> Event:
    """A failure without keys in its texts; the same object where there are none."""
    fault = event.get("error")
    if isinstance(fault, dict):
        clean = _scrub_fault(fault, conceal)
        return event if clean is fault else {**event, "error": clean}
    if isinstance(fault, str):
        return {**event, "error": scrub_text(fault, conceal)}
    response = event.get("response")
    details = response.get("status_details") if isinstance(response, dict) else None
    fault = details.get("error") if isinstance(details, dict) else None
    if not isinstance(response, dict) or not isinstance(details, dict):
        return event
    if not isinstance(fault, dict) or (clean := _scrub_fault(fault, conceal)) is fault:
        return event
    return {**event, "response": {**response, "status_details": {**details, "error": clean}}}


def _scrub_fault(fault: dict[str, Any], conceal: Conceal) -> dict[str, Any]:
    clean = {
        name: scrub_text(fault[name], conceal)
        for name in _TEXTS
        if isinstance(fault.get(name), str)
    }
    same = all(fault[name] == text for name, text in clean.items())
    return fault if same else {**fault, **clean}
