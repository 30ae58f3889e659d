"""What the coach's API shows, field by field: sessions, utterances, and a feed's messages."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final, Literal

import msgspec

from relay.interfaces import ConversationSummary
from relay.realtime.records import Origin, Record, State
from relay.realtime.records import Speaker as Role
from relay.realtime.transcript import InterimTranscript

Who = Literal["learner", "model", "coach"]
_WHO: Final[Mapping[Role, Who]] = {"user": "learner", "assistant": "model"}


class SessionInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One call.

    `state` is `live` or `ended`; `ending` then says why, by its name in the table of endings. A
    coach has `paused` the model, or speaks in its place: `speaker` is the coach's user id. `seq`
    is that of the newest utterance that is stored. `tokens` counts by kind (`text_in`, `audio_in`,
    `image_in`, `text_out`, `audio_out`). `cost_dollars` is null where a model has no price.
    `answers` counts the model's answers to turns, `answer_ms` is how long after the end of its turn
    the last one began.
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
    """One thing one speaker said.

    `id` stays when a correction comes, which takes a new `seq`. Show utterances by `position`, then
    `content_index`. `text` is all that was said or generated, `heard_text` what of it was heard;
    `heard_estimated` says that the relay had to guess how much that was.
    """

    id: str
    session_id: str
    item_id: str
    content_index: int
    seq: int
    position: float
    speaker: Who
    role: Role
    text: str
    heard_text: str
    state: State
    origin: Origin
    created_at: str
    heard_ms: int | None
    heard_estimated: bool
    audio_ms: int | None


class SessionList(msgspec.Struct, frozen=True, kw_only=True):
    """Live sessions, the newest first; `total` counts those that `limit` left out, too."""

    sessions: list[SessionInfo]
    total: int


class CommandAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a coach's command: whether it changed anything, and how the session stands."""

    changed: bool
    session: SessionInfo


class SessionTranscript(msgspec.Struct, frozen=True, kw_only=True):
    """What was said in one session, in conversation order; `seq` is the cursor to go on from."""

    session_id: str
    conversation_id: str
    seq: int
    utterances: list[UtteranceInfo]


class ConversationTranscript(msgspec.Struct, frozen=True, kw_only=True):
    """What was said in a conversation, session by session, each in conversation order."""

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
    """Conversations that are stored, those that were active last first."""

    conversations: list[ConversationInfo]


class ApiFault(msgspec.Struct, frozen=True, kw_only=True):
    """What went wrong: `code` for programs, `message` for people."""

    code: str
    message: str


class ErrorAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The body of every refusal."""

    error: ApiFault


class SessionMessage(msgspec.Struct, frozen=True, kw_only=True, tag="session"):
    """How the session stands: first of all, then at most once a second when it has changed."""

    session: SessionInfo


class FinalMessage(msgspec.Struct, frozen=True, kw_only=True, tag="final"):
    """An utterance that is on disk; `seq` is the cursor for `since`."""

    seq: int
    utterance: UtteranceInfo


class CaughtUpMessage(msgspec.Struct, frozen=True, kw_only=True, tag="caught_up"):
    """All that was said before is shown, up to `seq`; from here on the feed is live."""

    seq: int


class PartialMessage(msgspec.Struct, frozen=True, kw_only=True, tag="partial"):
    """All the words so far of something unfinished; a final of the same item replaces them."""

    item_id: str
    content_index: int
    speaker: Who
    role: Role
    text: str


class EndedMessage(msgspec.Struct, frozen=True, kw_only=True, tag="ended"):
    """The session is over and all of it was shown, up to `seq`; nothing follows.

    `complete` is false where words were lost on their way to the disk, or are not there yet.
    """

    session_id: str
    ending: str | None
    ended_at: str | None
    seq: int
    complete: bool


class ErrorMessage(msgspec.Struct, frozen=True, kw_only=True, tag="error"):
    """Why the feed is about to be closed."""

    error: ApiFault


Message = (
    SessionMessage | FinalMessage | CaughtUpMessage | PartialMessage | EndedMessage | ErrorMessage
)


def iso(unix_seconds: float) -> str:
    """ISO 8601 in UTC with microseconds, as the stores keep it."""
    return datetime.fromtimestamp(unix_seconds, UTC).isoformat(timespec="microseconds")


def utterance_of(record: Record) -> UtteranceInfo:
    """A record as it is shown."""
    said = record.utterance
    return UtteranceInfo(
        id=record.id,
        session_id=record.head.session_id,
        item_id=said.item_id,
        content_index=said.content_index,
        seq=said.seq,
        position=said.position,
        speaker=_WHO[said.role] if said.coach_id is None else "coach",
        role=said.role,
        text=said.text,
        heard_text=said.heard_text,
        state=said.state,
        origin=said.origin,
        created_at=iso(said.created_at),
        heard_ms=said.heard_ms,
        heard_estimated=said.heard_estimated,
        audio_ms=said.audio_ms,
    )


def conversation_of(talk: ConversationSummary) -> ConversationInfo:
    """A conversation as it is listed."""
    return ConversationInfo(
        id=talk.conversation_id,
        user_id=talk.user_id,
        agent_id=talk.agent_id,
        started_at=iso(talk.started_at),
        last_active=iso(talk.last_active),
        utterances=talk.message_count,
    )


def final_of(record: Record) -> FinalMessage:
    """The message that shows a record."""
    return FinalMessage(seq=record.seq, utterance=utterance_of(record))


def partial_of(partial: InterimTranscript) -> PartialMessage:
    """The message that shows words so far; half a character at their end is replaced."""
    return PartialMessage(
        item_id=partial.item_id,
        content_index=partial.content_index,
        speaker=_WHO[partial.role] if partial.coach_id is None else "coach",
        role=partial.role,
        text=partial.text.encode(errors="replace").decode(),
    )
