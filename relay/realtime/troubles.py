"""Names what goes wrong at the provider, in words that are safe to log: no text of its own."""

import re
from dataclasses import dataclass
from typing import Any, Final, Literal

from relay.realtime.events import Event

Part = Literal["settings", "transcription", "response", "error"]
"""The relay's own settings, a transcript, an answer, an error beside them."""

KNOWN_CODES: Final = frozenset(
    {
        *("insufficient_quota", "rate_limit_exceeded", "server_error", "internal_error"),
        *("invalid_api_key", "model_not_found", "invalid_value", "invalid_type", "unknown"),
        *("invalid_request_error", "missing_required_parameter", "unknown_parameter"),
        *("session_expired", "content_filter", "billing_hard_limit_reached", "access_terminated"),
        *("conversation_already_has_active_response", "response_cancel_not_active"),
        *("input_audio_buffer_commit_empty", "item_truncate_invalid_item_id", "overloaded"),
        *("unsupported_value", "context_length_exceeded", "audio_unintelligible"),
        *("inference_rate_limit_exceeded", "account_deactivated", "DeploymentNotFound"),
    }
)
"""Codes that are labels of a metric as they are; all others are `other` there."""

FAILURES: Final = frozenset(
    {"error", "conversation.item.input_audio_transcription.failed", "response.done"}
)
"""Events of an engine that can tell of a failure."""

_CODE: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}(?:\.[A-Za-z][A-Za-z0-9_]{0,63}){0,3}")
_PARAM: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,40}(?:\[\d{1,4}\]|\.[A-Za-z0-9_]{1,40}){0,8}")
_KEY_LIKE: Final = re.compile(r"(?=[A-Za-z]*\d)[A-Za-z0-9]{20,}")
_OWN_EVENTS: Final = ("relay_own_", "relay-tool-")  # ids of events of the relay's own
UNREADABLE: Final = "unreadable"


@dataclass(frozen=True, slots=True)
class Trouble:
    """One failure at the provider. `code` and `param` are the provider's where they are safe.

    `dropped` names the settings that the session goes on without. `is_answer` says that it answers
    an event of the client's, and so may be the client's fault.
    """

    part: Part
    code: str
    param: str = ""
    dropped: str = ""
    is_answer: bool = False

    @property
    def label(self) -> str:
        """The code as a label: one of a few dozen."""
        return self.code if self.code in KNOWN_CODES or self.code == UNREADABLE else "other"


def close_label(code: int) -> str:
    """A close code as a label: a registered one, or the range that it is in."""
    if 1000 <= code < 1016:
        return str(code)
    return "3xxx" if 3000 <= code < 4000 else "4xxx" if 4000 <= code < 5000 else "other"


def safe_code(value: Any) -> str:
    """A provider's code or type as it may be logged; `unreadable` if it does not look like one."""
    if isinstance(value, str) and _CODE.fullmatch(value) and not _KEY_LIKE.search(value):
        return value
    return UNREADABLE


def fault_trouble(part: Part, fault: Any, *, is_answer: bool = False) -> Trouble:
    """The trouble that an `error` object tells of, whatever shape it has."""
    given = fault if isinstance(fault, dict) else {}
    param = given.get("param")
    safe_param = param if isinstance(param, str) and _PARAM.fullmatch(param) else ""
    code = safe_code(given.get("code") or given.get("type"))
    return Trouble(part, code, safe_param, is_answer=is_answer)


def trouble_of(event: Event) -> Trouble | None:
    """The trouble that an engine's event tells of; None for all but failures."""
    kind = event["type"]
    if kind == "error":
        fault = event.get("error")
        answered = fault.get("event_id") if isinstance(fault, dict) else None
        is_answer = isinstance(answered, str) and not answered.startswith(_OWN_EVENTS)
        return fault_trouble("error", fault, is_answer=is_answer)
    if kind == "conversation.item.input_audio_transcription.failed":
        return fault_trouble("transcription", event.get("error"))
    response = event.get("response") if kind == "response.done" else None
    if not isinstance(response, dict) or response.get("status") != "failed":
        return None
    details = response.get("status_details")
    return fault_trouble("response", details.get("error") if isinstance(details, dict) else None)
