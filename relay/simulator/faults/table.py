"""Every fault there is: its shape as a script has it, and the function that carries it out."""

from collections.abc import Callable, Mapping
from typing import Any, get_args

from relay.engines.cascade.effects import NewId
from relay.parts.interfaces import Reply
from relay.simulator.faults import answers, door, endings, noise, transcriptions
from relay.simulator.faults.held import TRANSCRIPTION, BeforeItem, Late, OutOfOrder
from relay.simulator.faults.seen import Seen
from relay.simulator.faults.stages import Stage

DoorFault = door.Handshake | door.InBandRefusal | door.SlowReader
"""What happens before a session begins, or beside it."""

RulesFault = (
    transcriptions.TranscriptionLate
    | transcriptions.TranscriptionOutOfOrder
    | transcriptions.TranscriptionBeforeItem
    | transcriptions.TranscriptionDoubled
    | transcriptions.TranscriptionEmpty
    | transcriptions.TranscriptionFailed
    | transcriptions.TranscriptionInterim
    | answers.ResponseFailed
    | answers.ResponseIncomplete
    | answers.ResponseInterleaved
    | answers.ResponseNotCreated
    | answers.ResponseCut
    | answers.RateLimitsMissing
    | noise.Errors
    | noise.UnknownEvents
    | noise.UnknownFields
    | noise.KeyOrder
    | noise.LargeItem
    | noise.EventMissing
    | noise.EventDoubled
    | noise.EventLate
    | endings.SessionExpired
    | endings.SessionStalled
    | endings.SessionCut
)
"""What happens within a session."""

Fault = DoorFault | RulesFault

MODES: Mapping[str, type] = {shape.__struct_config__.tag: shape for shape in get_args(Fault)}
"""The faults by what they are called in a script."""

EACH: Mapping[type, Callable[[Any, Seen, NewId], list[Seen]]] = {
    transcriptions.TranscriptionDoubled: transcriptions.doubled,
    transcriptions.TranscriptionEmpty: transcriptions.empty,
    transcriptions.TranscriptionFailed: transcriptions.failed,
    transcriptions.TranscriptionInterim: transcriptions.interim,
    answers.ResponseNotCreated: answers.not_created,
    answers.ResponseCut: answers.cut,
    answers.RateLimitsMissing: answers.limits_missing,
    noise.Errors: noise.errors,
    noise.UnknownEvents: noise.unknown_events,
    noise.UnknownFields: noise.unknown_fields,
    noise.KeyOrder: noise.key_order,
    noise.LargeItem: noise.large_item,
    noise.EventMissing: noise.missing,
    noise.EventDoubled: noise.doubled,
    endings.SessionExpired: endings.expired,
    endings.SessionStalled: endings.stalled,
    endings.SessionCut: endings.cut,
}
"""Faults of one event at a time: what goes on in its place."""

REPLIES: Mapping[type, Callable[[Any, Reply], Reply]] = {
    answers.ResponseFailed: answers.failed,
    answers.ResponseIncomplete: answers.incomplete,
    answers.ResponseInterleaved: answers.interleaved,
}
"""Faults of what is answered, before any event tells of it."""


def holding(fault: RulesFault, concerns: Callable[[Seen], bool]) -> Stage | None:
    """Return the stage of a fault that holds events back, None for any other."""
    match fault:
        case transcriptions.TranscriptionLate(seconds=seconds):
            return Late(lambda s: s.kind.startswith(TRANSCRIPTION) and concerns(s), seconds)
        case transcriptions.TranscriptionOutOfOrder(seconds=seconds):
            return OutOfOrder(concerns, seconds)
        case transcriptions.TranscriptionBeforeItem(seconds=seconds):
            return BeforeItem(concerns, seconds)
        case noise.EventLate(event=kind, seconds=seconds):
            return Late(lambda s: s.kind == kind and concerns(s), seconds)
        case _:
            return None
