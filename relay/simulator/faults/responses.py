"""Faults of responses and of the transcription of a user's turns (PROTOCOL §5)."""

from dataclasses import replace
from typing import Annotated, ClassVar, Literal

from msgspec import Meta, Struct

from relay.engines.cascade.effects import NewId
from relay.engines.cascade.outputs import split
from relay.parts import interfaces as replies
from relay.parts.interfaces import Output, Reply, SpokenMessage
from relay.simulator.faults.tracking import (
    ALWAYS,
    FAULT,
    TRANSCRIPTION,
    Condition,
    Seconds,
    TrackedEvent,
    Unit,
    again,
    changed,
    instead,
    lost,
)

_COMPLETED = f"{TRANSCRIPTION}completed"
_DELTA = f"{TRANSCRIPTION}delta"


# -------------------------------------------------------------------------------------- responses


class ResponseFailed(Struct, **FAULT):
    """A response fails before its first output."""

    unit: ClassVar[Unit] = "response"
    code: str = "inference_rate_limit_exceeded"
    type: str = "invalid_request_error"
    message: str = "Rate limit reached. Please try again later."
    only: Condition = ALWAYS


class ResponseIncomplete(Struct, **FAULT):
    """A response is cut in the middle of its last message."""

    unit: ClassVar[Unit] = "response"
    reason: Literal["max_output_tokens", "content_filter"] = "max_output_tokens"
    only: Condition = ALWAYS


class ResponseInterleaved(Struct, **FAULT):
    """A response is two messages, a comment and an answer, whose deltas alternate."""

    unit: ClassVar[Unit] = "response"
    only: Condition = ALWAYS


class ResponseNotCreated(Struct, **FAULT):
    """A response begins without `response.created`."""

    unit: ClassVar[Unit] = "response"
    only: Condition = ALWAYS


class ResponseCut(Struct, **FAULT):
    """The connection is lost, without a close frame, after so many deltas of a response."""

    unit: ClassVar[Unit] = "response"
    after_deltas: Annotated[int, Meta(ge=1)] = 3
    only: Condition = ALWAYS


class RateLimitsMissing(Struct, **FAULT):
    """No `rate_limits.updated` comes after a response."""

    unit: ClassVar[Unit] = "response"
    only: Condition = ALWAYS


def response_failed(fault: ResponseFailed, _: Reply) -> Reply:
    """Fail with no output."""
    return Reply((), ending=replies.failed(fault.code, fault.message, fault.type))


def response_incomplete(fault: ResponseIncomplete, reply: Reply) -> Reply:
    """Stop after half of the last message."""
    outputs = list(reply.outputs)
    if outputs and isinstance(outputs[-1], SpokenMessage):
        outputs[-1] = _halves(outputs[-1])[0]
    return replace(reply, outputs=tuple(outputs), ending=replies.incomplete(fault.reason))


def response_interleaved(_: ResponseInterleaved, reply: Reply) -> Reply:
    """Split a single message in two, and alternate the deltas of all outputs."""
    outputs = reply.outputs
    if len(outputs) == 1 and isinstance(outputs[0], SpokenMessage):
        comment, answer = _halves(outputs[0])
        phased: tuple[Output, ...] = (
            replace(comment, phase="commentary"),
            replace(answer, phase="final_answer"),
        )
        return replace(reply, outputs=phased, interleaving="alternating")
    return replace(reply, interleaving="alternating")


def response_not_created(
    _: ResponseNotCreated, tracked: TrackedEvent, __: NewId
) -> list[TrackedEvent]:
    """Drop `response.created`."""
    return [] if tracked.kind == "response.created" else [tracked]


def response_cut(fault: ResponseCut, tracked: TrackedEvent, _: NewId) -> list[TrackedEvent]:
    """Lose the connection after the last of the deltas."""
    return [tracked, lost(tracked)] if tracked.delta == fault.after_deltas else [tracked]


def rate_limits_missing(
    _: RateLimitsMissing, tracked: TrackedEvent, __: NewId
) -> list[TrackedEvent]:
    """Drop `rate_limits.updated`."""
    return [] if tracked.kind == "rate_limits.updated" else [tracked]


def _halves(message: SpokenMessage) -> tuple[SpokenMessage, SpokenMessage]:
    words = split(message.text)
    middle = (len(words) + 1) // 2
    texts = "".join(words[:middle]), "".join(words[middle:]).lstrip()
    if message.pcm is None:
        return replace(message, text=texts[0]), replace(message, text=texts[1])
    sample = len(message.pcm) // 4 * 2
    sounds = message.pcm[:sample], message.pcm[sample:]
    return (
        replace(message, text=texts[0], pcm=sounds[0]),
        replace(message, text=texts[1], pcm=sounds[1]),
    )


# --------------------------------------------------------------------------------- transcriptions


class TranscriptionLate(Struct, **FAULT):
    """A turn's transcription comes so many seconds later, after the answer to it."""

    unit: ClassVar[Unit] = "turn"
    seconds: Seconds = 2.0
    only: Condition = ALWAYS


class TranscriptionOutOfOrder(Struct, **FAULT):
    """A turn's transcription comes after the next turn's; after `seconds` if there is none."""

    unit: ClassVar[Unit] = "turn"
    seconds: Seconds = 30.0
    only: Condition = ALWAYS


class TranscriptionBeforeItem(Struct, **FAULT):
    """A turn's first deltas come before its item.

    Everything from the end of the turn on waits for them, `seconds` at most.
    """

    unit: ClassVar[Unit] = "turn"
    seconds: Seconds = 2.0
    only: Condition = ALWAYS


class TranscriptionDoubled(Struct, **FAULT):
    """A turn's `completed` comes so many times."""

    unit: ClassVar[Unit] = "turn"
    times: Annotated[int, Meta(ge=2, le=100)] = 2
    only: Condition = ALWAYS


class TranscriptionEmpty(Struct, **FAULT):
    """A turn's transcript is "", without any delta."""

    unit: ClassVar[Unit] = "turn"
    only: Condition = ALWAYS


class TranscriptionFailed(Struct, **FAULT):
    """The transcription of a turn fails; the answer comes all the same."""

    unit: ClassVar[Unit] = "turn"
    code: str = "server_error"
    message: str = "Input transcription failed."
    only: Condition = ALWAYS


class TranscriptionInterim(Struct, **FAULT):
    """A turn's `completed` comes after every word, with all words so far, as some servers do it."""

    unit: ClassVar[Unit] = "turn"
    only: Condition = ALWAYS


def transcription_doubled(
    fault: TranscriptionDoubled, tracked: TrackedEvent, new_id: NewId
) -> list[TrackedEvent]:
    """Repeat `completed`."""
    if tracked.kind != _COMPLETED:
        return [tracked]
    return [tracked, *(again(tracked, new_id) for _ in range(fault.times - 1))]


def transcription_empty(
    _: TranscriptionEmpty, tracked: TrackedEvent, __: NewId
) -> list[TrackedEvent]:
    """Drop the deltas and empty the transcript."""
    if tracked.kind == _DELTA:
        return []
    return [changed(tracked, transcript="")] if tracked.kind == _COMPLETED else [tracked]


def transcription_failed(
    fault: TranscriptionFailed, tracked: TrackedEvent, _: NewId
) -> list[TrackedEvent]:
    """Drop the deltas and fail instead of completing."""
    if tracked.kind == _DELTA:
        return []
    if tracked.kind != _COMPLETED:
        return [tracked]
    event = tracked.event
    error = {"type": "server_error", "code": fault.code, "message": fault.message, "param": None}
    place = {key: event[key] for key in ("event_id", "item_id", "content_index")}
    return [instead(tracked, {"type": f"{TRANSCRIPTION}failed", **place, "error": error})]


def transcription_interim(
    _: TranscriptionInterim, tracked: TrackedEvent, new_id: NewId
) -> list[TrackedEvent]:
    """Complete word by word, each time from the beginning; only the last has status completed."""
    if tracked.kind == _DELTA:
        return []
    if tracked.kind != _COMPLETED:
        return [tracked]
    words = split(tracked.event["transcript"])
    partial = [
        changed(again(tracked, new_id), transcript="".join(words[:count]), status="in_progress")
        for count in range(1, len(words))
    ]
    return [*partial, changed(tracked, status="completed")]
