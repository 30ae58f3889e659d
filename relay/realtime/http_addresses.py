"""The addresses of OpenAI's HTTP API for realtime sessions, and the refusals in its own shape."""

import re
from collections.abc import Mapping
from typing import Any, Final

SECRETS: Final = "client_secrets"
BASES: Final = ("/v1/realtime", "/openai/v1/realtime", "/realtime", "/openai/realtime")
"""OpenAI's address and Azure's, with and without a version."""
MAX_SHOWN: Final = 200
"""Characters of an address that a refusal quotes."""

_WEBRTC: Final = (
    "Calls by WebRTC and SIP are not supported here. Connect a WebSocket to /v1/realtime."
)
UNSUPPORTED: Final[Mapping[str, str]] = {
    "calls": _WEBRTC,
    "sessions": "The beta's sessions are not supported here. Use POST /v1/realtime/client_secrets.",
    "transcription_sessions": "Transcription sessions are not supported here.",
    "translations": "Translation sessions are not supported here.",
}
"""Addresses below those that the relay does not have, and what is said of them."""

FAMILIES: Final = ("/v1/", "/openai/", "/realtime/")
"""What OpenAI's and Azure's addresses begin with."""

_HERE: Final = "This address speaks WebSocket."
_ADDRESS: Final = re.compile(
    rf"(?:{'|'.join(BASES)})/({'|'.join((SECRETS, *UNSUPPORTED))})(?:/[^?]*)?"
)


def refusal_at_voice(path: str) -> dict[str, Any] | None:
    """The body of the 404 for a POST at the voice listener; `path` has no query.

    None where OpenAI has no HTTP address: there a POST is a bad handshake.
    """
    if not path.startswith(FAMILIES) or path.rstrip("/") in BASES:
        return None
    found, shown = _ADDRESS.fullmatch(path), f"POST {path[:MAX_SHOWN]}"
    if found is None:
        return error_body(404, "unknown_url", f"Unknown request URL: {shown}. {_HERE}")
    if found[1] == SECRETS:
        message = f"{shown} is served by the relay's HTTP listener (HTTP_PORT). {_HERE}"
        return error_body(404, "unknown_url", message)
    return unsupported(shown, found[1])


def unsupported(shown: str, name: str) -> dict[str, Any]:
    """The body of the 404 for one of `UNSUPPORTED`; `shown` is the request."""
    return error_body(404, "unsupported_endpoint", f"{shown}: {UNSUPPORTED[name]}")


def error_body(status: int, code: str, message: str, param: str | None = None) -> dict[str, Any]:
    """An error as OpenAI's HTTP API answers one."""
    kind = "server_error" if status >= 500 else "invalid_request_error"
    if status == 429:
        kind = "rate_limit_error"
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}
