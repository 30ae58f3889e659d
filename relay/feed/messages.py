"""JSON of the coach's API: sessions, utterances, conversations, and the messages of a feed."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final, Literal

import msgspec

from relay.interfaces import ConversationSummary
from relay.realtime.records import Origin, Record, State
from relay.realtime.records import Speaker as Role
from relay.realtime.transcript import InterimTranscript

SpeakerName = Literal["learner", "model", "coach"]
_SPEAKERS: Final[Mapping[Role, SpeakerName]] = {"user": "learner", "assistant": "model"}


class SessionInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One call.

    `state` is `live` or `ended`; `ending` is then the reason, a name in the table of endings.
    `paused` is true while a coach keeps the model silent; `speaker` is the user id of the coach who
    speaks in its place. `seq` is that of the newest stored utterance. `tokens` counts by kind
    (`text_in`, `audio_in`, `image_in`, `text_out`, `audio_out`). `cost_dollars` is null where a
    model has no price. `answers` counts the model's answers to turns; `answer_ms` is the time from
    the end of a turn to the beginning of its answer, of the latest one.
    """

    id: str
    conversation_id: str
    user_id: str
    agent_id: str
    model: str
    voice: str
    door: str
    engine: str
    started_at: str
    ended_at: str | None
    state: Literal["live", "ended"]
    ending: str | None
    paused: bool
    speaker: str | None
    seq: int
    tokens: dict[str, int]
    cost_dollars: float | None
    answers: int
    answer_ms: int | None


class UtteranceInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One utterance of one speaker.

    A correction keeps `id` and takes a new `seq`. Order utterances by `position`, then
    `content_index`. `text` is all that was said or generated, `heard_text` the part that was heard;
    `heard_estimated` is true where the relay had to estimate that part; `deleted_for_model` where
    the client has deleted the item, which the model is not told any more.
    """

    id: str
    session_id: str
    item_id: str
    content_index: int
    seq: int
    position: float
    speaker: SpeakerName
    role: Role
    text: str
    heard_text: str
    state: State
    origin: Origin
    created_at: str
    heard_ms: int | None
    heard_estimated: bool
    audio_ms: int | None
    deleted_for_model: bool


class SessionList(msgspec.Struct, frozen=True, kw_only=True):
    """Live sessions, the newest first; `total` also counts those beyond `limit`."""

    sessions: list[SessionInfo]
    total: int


class CommandAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a coach's command: whether it changed anything, and the session after it."""

    changed: bool
    session: SessionInfo


class SessionTranscript(msgspec.Struct, frozen=True, kw_only=True):
    """The utterances of one session, in conversation order; continue from the cursor `seq`."""

    session_id: str
    conversation_id: str
    seq: int
    utterances: list[UtteranceInfo]


class ConversationTranscript(msgspec.Struct, frozen=True, kw_only=True):
    """The utterances of a conversation, session by session, in conversation order."""

    conversation_id: str
    user_id: str
    utterances: list[UtteranceInfo]


class ConversationInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One conversation in a list of them."""

    id: str
    user_id: str
    agent_id: str
    started_at: str
    last_active: str
    utterances: int


class ConversationList(msgspec.Struct, frozen=True, kw_only=True):
    """Stored conversations, the most recently active first."""

    conversations: list[ConversationInfo]


class ApiFault(msgspec.Struct, frozen=True, kw_only=True):
    """An error: `code` for programs, `message` for people."""

    code: str
    message: str


class ErrorAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The body of every error response."""

    error: ApiFault


class SessionMessage(msgspec.Struct, frozen=True, kw_only=True, tag="session"):
    """The state of the session: the first message, then at most once a second when it changed."""

    session: SessionInfo


class FinalMessage(msgspec.Struct, frozen=True, kw_only=True, tag="final"):
    """An utterance that is on disk; `seq` is the cursor for `since`."""

    seq: int
    utterance: UtteranceInfo


class CaughtUpMessage(msgspec.Struct, frozen=True, kw_only=True, tag="caught_up"):
    """All earlier utterances, up to `seq`, were sent; the feed is live from here on."""

    seq: int


class PartialMessage(msgspec.Struct, frozen=True, kw_only=True, tag="partial"):
    """The whole text so far of an unfinished utterance; a final of the same item replaces it."""

    item_id: str
    content_index: int
    speaker: SpeakerName
    role: Role
    text: str


class EndedMessage(msgspec.Struct, frozen=True, kw_only=True, tag="ended"):
    """The last message: the session has ended and all of it was sent, up to `seq`.

    `complete` is false where utterances were lost before the disk, or are not there yet.
    """

    session_id: str
    ending: str | None
    ended_at: str | None
    seq: int
    complete: bool


class ErrorMessage(msgspec.Struct, frozen=True, kw_only=True, tag="error"):
    """The reason why the feed is about to be closed."""

    error: ApiFault


Message = (
    SessionMessage | FinalMessage | CaughtUpMessage | PartialMessage | EndedMessage | ErrorMessage
)


def iso(unix_seconds: float) -> str:
    """ISO 8601 in UTC with microseconds, as in the stores."""
    return datetime.fromtimestamp(unix_seconds, UTC).isoformat(timespec="microseconds")


def utterance_info(record: Record) -> UtteranceInfo:
    """The JSON of an utterance."""
    said = record.utterance
    return UtteranceInfo(
        id=record.id,
        session_id=record.head.session_id,
        item_id=said.item_id,
        content_index=said.content_index,
        seq=said.seq,
        position=said.position,
        speaker=_SPEAKERS[said.role] if said.coach_id is None else "coach",
        role=said.role,
        text=said.text,
        heard_text=said.heard_text,
        state=said.state,
        origin=said.origin,
        created_at=iso(said.created_at),
        heard_ms=said.heard_ms,
        heard_estimated=said.heard_estimated,
        audio_ms=said.audio_ms,
        deleted_for_model=said.deleted_for_model is True,
    )


def conversation_info(summary: ConversationSummary) -> ConversationInfo:
    """The JSON of a conversation in a list."""
    return ConversationInfo(
        id=summary.conversation_id,
        user_id=summary.user_id,
        agent_id=summary.agent_id,
        started_at=iso(summary.started_at),
        last_active=iso(summary.last_active),
        utterances=summary.message_count,
    )


def final_message(record: Record) -> FinalMessage:
    """The message of a committed utterance."""
    return FinalMessage(seq=record.seq, utterance=utterance_info(record))


def partial_message(partial: InterimTranscript) -> PartialMessage:
    """The message of an interim text; half a character at its end is replaced."""
    return PartialMessage(
        item_id=partial.item_id,
        content_index=partial.content_index,
        speaker=_SPEAKERS[partial.role] if partial.coach_id is None else "coach",
        role=partial.role,
        text=partial.text.encode(errors="replace").decode(),
    )
