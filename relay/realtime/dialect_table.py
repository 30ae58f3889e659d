"""The table behind the dialect: every GA server event, its beta name, and what in it reads anew.

Events are those of PROTOCOL §1b, in the order of a turn.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from relay.realtime.dialect_items import beta_item, beta_part, ga_item
from relay.realtime.dialect_session import (
    Json,
    beta_response,
    beta_session,
    ga_response,
    ga_session,
    ga_transcription_session,
)


def whole_beta_response(ga: Json) -> Json:
    """Show a response and the items in it as beta did."""
    # Beta clients push item ids to `output` from the first event on, so it is always a list.
    output = ga.get("output")
    items = [beta_item(item) for item in output] if isinstance(output, list) else []
    return {**beta_response(ga), "output": items}


def whole_ga_response(beta: Json) -> Json:
    """Give a response its GA shape, the items in it too: a wish's `input`, a report's `output`."""
    ga = ga_response(beta)
    for name in ("input", "output"):
        if isinstance(ga.get(name), list):
            ga[name] = [ga_item(item) for item in ga[name]]
    return ga


def _unchanged(part: Json) -> Json:
    return part


@dataclass(frozen=True, slots=True)
class Body:
    """The one object in an event that reads differently in the two dialects."""

    key: str
    to_beta: Callable[[Json], Any]
    to_ga: Callable[[Json], Any]


@dataclass(frozen=True, slots=True)
class Row:
    """What becomes of one GA server event: its beta name (None: not shown) and its body."""

    beta: str | None
    body: Body | None = None


SESSION = Body("session", beta_session, ga_session)
TRANSCRIPTION = Body("session", beta_session, ga_transcription_session)
RESPONSE = Body("response", whole_beta_response, whole_ga_response)
ITEM = Body("item", beta_item, ga_item)
PART = Body("part", beta_part, _unchanged)  # parts are "audio" and "text" in both dialects


def _same_name(names: str, body: Body | None = None) -> dict[str, Row]:
    return {name: Row(name, body) for name in names.split()}


TABLE: dict[str, Row] = {
    **_same_name("session.created session.updated", SESSION),
    # Beta had this one, but S3's front end takes it for the relay's own (CONTRACTS S3-26).
    "conversation.created": Row(None),
    "conversation.item.added": Row("conversation.item.created", ITEM),
    "conversation.item.created": Row("conversation.item.created", ITEM),
    "conversation.item.done": Row(None),
    **_same_name("conversation.item.retrieved", ITEM),
    **_same_name("conversation.item.truncated conversation.item.deleted"),
    **_same_name(
        "conversation.item.input_audio_transcription.delta"
        " conversation.item.input_audio_transcription.completed"
        " conversation.item.input_audio_transcription.failed"
        " conversation.item.input_audio_transcription.segment"
    ),
    **_same_name(
        "input_audio_buffer.speech_started input_audio_buffer.speech_stopped"
        " input_audio_buffer.committed input_audio_buffer.cleared"
        " input_audio_buffer.timeout_triggered input_audio_buffer.dtmf_event_received"
    ),
    **_same_name("response.created response.done", RESPONSE),
    **_same_name("response.output_item.added response.output_item.done", ITEM),
    **_same_name("response.content_part.added response.content_part.done", PART),
    "response.output_audio.delta": Row("response.audio.delta"),
    "response.output_audio.done": Row("response.audio.done"),
    "response.output_audio_transcript.delta": Row("response.audio_transcript.delta"),
    "response.output_audio_transcript.done": Row("response.audio_transcript.done"),
    "response.output_text.delta": Row("response.text.delta"),
    "response.output_text.done": Row("response.text.done"),
    **_same_name("response.function_call_arguments.delta response.function_call_arguments.done"),
    **_same_name(
        "response.mcp_call_arguments.delta response.mcp_call_arguments.done"
        " response.mcp_call.in_progress response.mcp_call.completed response.mcp_call.failed"
        " mcp_list_tools.in_progress mcp_list_tools.completed mcp_list_tools.failed"
    ),
    **_same_name("rate_limits.updated error"),
    **_same_name(
        "output_audio_buffer.started output_audio_buffer.stopped output_audio_buffer.cleared"
    ),
}
