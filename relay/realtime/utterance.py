"""One thing one speaker said, as it is shown, journalled and stored."""

import uuid
from typing import Literal

import msgspec

Speaker = Literal["user", "assistant"]
State = Literal["partial", "final", "interrupted", "failed", "unheard"]
Origin = Literal["voice", "text", "seeded"]


class Utterance(msgspec.Struct, frozen=True, kw_only=True):
    """One settled utterance of one session (DESIGN §2, PROTOCOL §5).

    `seq` is the order in which utterances settled, gapless from 1 within a session; a correction
    keeps `item_id` and takes a new `seq`. `position` is conversation order. `text` is all that was
    said or generated, `heard_text` what of it was heard, `heard_estimated` that the relay had to
    guess how much that was. `coach_id` is the user who said it in the model's place. Times are Unix
    seconds, lengths ms.
    """

    item_id: str
    content_index: int = 0
    role: Speaker
    text: str
    heard_text: str
    state: State
    origin: Origin = "voice"
    seq: int
    position: float
    created_at: float
    heard_ms: int | None = None
    heard_estimated: bool = False
    audio_ms: int | None = None
    coach_id: str | None = None


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """Whose words these are: what every record of one session has in common."""

    session_id: str
    conversation_id: str
    user_id: str
    agent_id: str
    model: str
    voice: str
    started_at: float


class Record(msgspec.Struct, frozen=True, kw_only=True, tag="utterance"):
    """What the journal keeps and the store is given of words: one utterance with its head.

    `id` is the UUIDv5 of session and item, so that storing a record twice changes nothing.
    """

    id: str
    head: Head
    utterance: Utterance

    @property
    def seq(self) -> int:
        """Of two versions of one record, the higher is the newer."""
        return self.utterance.seq


def record_id(session_id: str, item_id: str, content_index: int = 0) -> str:
    """UUIDv5 of session and item; further content parts of one item get ids of their own.

    `session_id` is a UUID; ValueError otherwise.
    """
    item = uuid.uuid5(uuid.UUID(session_id), item_id)
    return str(uuid.uuid5(item, str(content_index)) if content_index else item)
