"""Faults of what is answered: it fails, is cut, comes in pieces, is never announced."""

from dataclasses import replace
from typing import Annotated, ClassVar, Literal

from msgspec import Meta, Struct

from relay.engines.cascade.effects import NewId
from relay.engines.cascade.outputs import split
from relay.parts import interfaces as replies
from relay.parts.interfaces import Output, Reply, SpokenMessage
from relay.simulator.faults.tracking import ALWAYS, FAULT, Only, TrackedEvent, Unit, ended

LOST = 1006
"""The code of a connection that broke off without a close frame."""


class ResponseFailed(Struct, **FAULT):
    """A response fails before it has said anything."""

    unit: ClassVar[Unit] = "response"
    code: str = "inference_rate_limit_exceeded"
    type: str = "invalid_request_error"
    message: str = "Rate limit reached. Please try again later."
    only: Only = ALWAYS


class ResponseIncomplete(Struct, **FAULT):
    """A response is cut in the middle of its last message."""

    unit: ClassVar[Unit] = "response"
    reason: Literal["max_output_tokens", "content_filter"] = "max_output_tokens"
    only: Only = ALWAYS


class ResponseInterleaved(Struct, **FAULT):
    """A response is two messages, a comment and an answer, whose deltas come by turns."""

    unit: ClassVar[Unit] = "response"
    only: Only = ALWAYS


class ResponseNotCreated(Struct, **FAULT):
    """A response begins without `response.created`."""

    unit: ClassVar[Unit] = "response"
    only: Only = ALWAYS


class ResponseCut(Struct, **FAULT):
    """The connection breaks off, without a close, after so many deltas of a response."""

    unit: ClassVar[Unit] = "response"
    after_deltas: Annotated[int, Meta(ge=1)] = 3
    only: Only = ALWAYS


class RateLimitsMissing(Struct, **FAULT):
    """No `rate_limits.updated` comes after a response."""

    unit: ClassVar[Unit] = "response"
    only: Only = ALWAYS


def failed(fault: ResponseFailed, _: Reply) -> Reply:
    """Say nothing, and fail."""
    return Reply((), ending=replies.failed(fault.code, fault.message, fault.type))


def incomplete(fault: ResponseIncomplete, reply: Reply) -> Reply:
    """Say half of the last message, and stop."""
    outputs = list(reply.outputs)
    if outputs and isinstance(outputs[-1], SpokenMessage):
        outputs[-1] = _halves(outputs[-1])[0]
    return replace(reply, outputs=tuple(outputs), ending=replies.incomplete(fault.reason))


def interleaved(_: ResponseInterleaved, reply: Reply) -> Reply:
    """Make two messages of one, and weave what is put out."""
    outputs = reply.outputs
    if len(outputs) == 1 and isinstance(outputs[0], SpokenMessage):
        comment, answer = _halves(outputs[0])
        phased: tuple[Output, ...] = (
            replace(comment, phase="commentary"),
            replace(answer, phase="final_answer"),
        )
        return replace(reply, outputs=phased, interleaving="alternating")
    return replace(reply, interleaving="alternating")


def not_created(_: ResponseNotCreated, seen: TrackedEvent, __: NewId) -> list[TrackedEvent]:
    """Leave out the announcement."""
    return [] if seen.kind == "response.created" else [seen]


def cut(fault: ResponseCut, seen: TrackedEvent, _: NewId) -> list[TrackedEvent]:
    """Break off."""
    return [seen, ended(seen, LOST, "")] if seen.delta == fault.after_deltas else [seen]


def limits_missing(_: RateLimitsMissing, seen: TrackedEvent, __: NewId) -> list[TrackedEvent]:
    """Leave out the limits."""
    return [] if seen.kind == "rate_limits.updated" else [seen]


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
