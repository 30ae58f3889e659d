"""The one shape in which the services refuse and fail, and what becomes of failures in it."""

from collections.abc import Mapping
from typing import Any, Final

from pydantic import ValidationError

from relay.audio.decoding import AudioRejected
from relay.calls.http import CallRefused
from relay.parts.interfaces import FailureCode, PartFailed

_UNREACHABLE: Final[frozenset[FailureCode]] = frozenset(
    {"busy", "rate_limited", "timeout", "unauthorized", "unavailable"}
)
"""Failures of a part that say nothing about the request: another attempt may succeed."""

NAMES: Final[Mapping[int, str]] = {
    400: "ValidationError",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    405: "MethodNotAllowed",
    413: "PayloadTooLarge",
    429: "TooManyRequests",
    500: "InternalServerError",
    503: "ServiceUnavailable",
}
_REJECTED: Final[Mapping[str, int]] = {"too_long": 413, "busy": 503}
MAX_FAULTS: Final = 10
"""Faults of a body that are told."""


def envelope(refused: CallRefused) -> dict[str, Any]:
    """The body of a refusal; a part's failure has the name that its service has for it."""
    name = refused.code if refused.code.endswith("Error") else NAMES.get(refused.status)
    error = name or "InternalServerError"
    detail = {"error": error, "message": refused.message, "details": refused.details}
    return {"detail": detail}


def plain_error(refused: CallRefused) -> dict[str, Any]:
    """The same with the `error` beside it that the speech functions' clients read."""
    return {"error": refused.message, **envelope(refused)}


def invalid(message: str, details: Any = None) -> CallRefused:
    """What the caller sent is not right."""
    return CallRefused(400, "invalid", message, details=details)


def of_schema(fault: ValidationError) -> CallRefused:
    """The faults of a body, without the values: they may be what somebody said."""
    told = fault.errors(include_url=False, include_input=False, include_context=False)
    faults = [{"field": ".".join(map(str, one["loc"])), "message": one["msg"]} for one in told]
    first = faults[0]
    return invalid(f"{first['field'] or 'body'}: {first['message']}", faults[:MAX_FAULTS])


def of_audio(rejected: AudioRejected) -> CallRefused:
    """Why audio was not decoded."""
    return CallRefused(_REJECTED.get(rejected.code, 400), rejected.code, str(rejected))


def of_part(failure: PartFailed, error: str) -> CallRefused:
    """Why a part did not work: 503 where it could not be reached, else 500 by this name."""
    part, code = failure.part, failure.code
    if code in _UNREACHABLE:
        message = f"The {part} cannot be reached at the moment ({code})."
        return CallRefused(503, code, message, details={"part": part, "error": code})
    return CallRefused(500, error, f"The {part} failed.", details={"error": f"{part} {code}"})
