"""Masks secrets and spoken words in log events: a second line of defence (S3-61)."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

MASK = "[masked]"
MAX_TEXT = 4096  # characters of one text
MAX_TRACEBACK = 8192  # characters, counted from its end, which has the error
MAX_ITEMS = 50  # entries of one list or mapping
MAX_NUMBER = 1e18  # a nanosecond timestamp is the largest of any use
MAX_DEPTH = 4  # of nested lists and mappings
LONG_RUN = 160  # characters of base64 without a break; an id has 64 at most
MIN_SECRET = 8  # characters; a shorter one would mask ordinary words

SECRET_NAMES = frozenset(
    {"token", "access_token", "refresh_token", "id_token", "jwt", "authorization", "cookie"}
    | {"proxy-authorization", "set-cookie", "api_key", "api-key", "apikey", "secret", "password"}
)
SPOKEN_NAMES = frozenset(
    {"text", "heard_text", "transcript", "delta", "audio", "content", "instructions", "arguments"}
)
# A library's names for the arguments of our functions (stamina logs them), whatever they hold.
ARGUMENT_NAMES = frozenset({"args", "kwargs"})
PRIVATE_NAMES = SECRET_NAMES | SPOKEN_NAMES | ARGUMENT_NAMES

_NAMED = r"(?:token|api[-_]?key|secret|password|jwt|cookie)"
_RULES = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        # Authorization: Bearer x, in any text
        (r"(?i)\b(bearer|basic)\s+[\w.~+/=-]{8,}", rf"\1 {MASK}"),
        # ?token=x, &apikey=x, also percent-encoded
        (rf"(?i)({_NAMED}(?:=|%3d))[^\s&\"'<>;,)]+", rf"\1{MASK}"),
        # "token": "x" and 'api_key': 'x'
        (rf"(?i)({_NAMED}[\"']\s*:\s*[\"'])[^\"']*", rf"\1{MASK}"),
        # a token in a subprotocol
        (r"(openai-insecure-api-key\.)[^\s,\"']+", rf"\1{MASK}"),
        # JWTs, whole or truncated
        (r"\bey[\w-]{6,}\.[\w-]{2,}(?:\.[\w-]*)*|\beyJ[\w-]{16,}", MASK),
        # keys of OpenAI (also as OpenAI's errors echo them, with stars) and of Supabase
        (r"(?<![A-Za-z0-9])(?:(?:sk|ek|rk)[-_][\w*-]{8,}|sb_secret_[\w-]+)", MASK),
        # https://user:password@host
        (r"(://)[^/\s:@]+:[^/\s@]+@", rf"\1{MASK}@"),
        # audio, or anything else in base64 that is longer than an id
        (rf"[A-Za-z0-9+/_-]{{{LONG_RUN},}}={{0,2}}", MASK),
    )
)
# No rule can match a shorter text without one of these: most texts need only this one search.
_SUSPICIOUS = re.compile(
    r"bearer|basic|token|api|secret|password|jwt|cookie|ey|[ser]k[-_]|sb_|://", re.IGNORECASE
)


class Redactor:
    """Makes plain, bounded and redacted copies of log events.

    `secrets` are this process's own; they are masked whatever they look like.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        own = sorted({one for one in secrets if len(one) >= MIN_SECRET}, key=len, reverse=True)
        self._own = re.compile("|".join(map(re.escape, own))) if own else None

    def event(self, event: Mapping[str, object]) -> dict[str, object]:
        """Copy a log event; the value of a private name is masked without being read."""
        traceback = event.get("exception")
        plain = self._mapping(event, MAX_DEPTH)
        if isinstance(traceback, str):
            plain["exception"] = self._text(traceback[-3 * MAX_TRACEBACK :])[-MAX_TRACEBACK:]
        return plain

    def _plain(self, value: object, depth: int) -> object:
        if depth and isinstance(value, Mapping):
            return self._mapping(value, depth)
        if depth and isinstance(value, list | tuple | set | frozenset):
            return [self._plain(one, depth - 1) for one in list(value)[:MAX_ITEMS]]
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, int | float) and -MAX_NUMBER < value < MAX_NUMBER:
            return value  # JSON has neither NaN nor infinity
        return self._text(_as_text(value)[: 2 * MAX_TEXT])[:MAX_TEXT]

    def _mapping(self, value: Mapping[Any, object], depth: int) -> dict[str, object]:
        entries = [(self._text(str(name)), one) for name, one in list(value.items())[:MAX_ITEMS]]
        return {
            name: MASK if name.lower() in PRIVATE_NAMES else self._plain(one, depth - 1)
            for name, one in entries
        }

    def _text(self, text: str) -> str:
        if self._own is not None:
            text = self._own.sub(MASK, text)
        if len(text) < LONG_RUN and not _SUSPICIOUS.search(text):
            return text
        for pattern, replacement in _RULES:
            text = pattern.sub(replacement, text)
        return text


def _as_text(value: object) -> str:
    if isinstance(value, bytes | bytearray | memoryview):
        return f"[{len(value)} bytes]"
    try:
        return str(value)
    except Exception:  # noqa: BLE001 - a faulty __str__ must not cost the whole line
        return f"[unprintable {type(value).__name__}]"
