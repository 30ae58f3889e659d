"""A conversation's earlier words and what was spent, from the journal and the store."""

import pytest

from relay.realtime.records import Record
from relay.stores.history import StoredHistory
from tests.stores.words import (
    CONVERSATION,
    LATER_SESSION,
    LEARNER,
    MORNING,
    STRANGER,
    Call,
    corrected,
    texts,
)

CALL = Call()


class Waiting:
    """A journal with these words undelivered."""

    def __init__(self, *records: Record) -> None:
        self.records = list(records)

    async def of_conversation(self, conversation_id: str, limit: int) -> list[Record]:
        assert conversation_id == CONVERSATION
        return self.records[:limit]


class Stored:
    """A store with these words, or one that is away."""

    def __init__(self, *records: Record, trouble: Exception | None = None) -> None:
        self.records = records
        self.trouble = trouble

    async def owner(self, conversation_id: str) -> str | None:
        if self.trouble is not None:
            raise self.trouble
        return self.records[0].head.user_id if self.records else None

    async def transcript(self, conversation_id: str) -> tuple[Record, ...]:
        return self.records

    async def spent(self, day: int, agent_id: str, user_id: str | None = None) -> int:
        return 7


async def test_stored_and_undelivered_utterances_are_one_conversation() -> None:
    stored = [CALL.user("One."), CALL.assistant("Two.", seq=1)]
    later = CALL.of(session_id=LATER_SESSION, started_at=MORNING + 60)
    waiting = [later.user("Three."), corrected(stored[1], "Two!", seq=5)]
    earlier = await StoredHistory(Waiting(*waiting), Stored(*stored)).conversation(CONVERSATION)
    assert earlier.owner == LEARNER
    assert texts(earlier.said) == ["One.", "Two!", "Three."]


async def test_S3_39_a_conversation_seconds_old_is_known_without_the_store() -> None:
    trouble = OSError("away")
    past = StoredHistory(Waiting(CALL.user("One.")), Stored(trouble=trouble))
    earlier = await past.conversation(CONVERSATION)
    assert (earlier.owner, texts(earlier.said)) == (LEARNER, ["One."])


async def test_a_conversation_known_nowhere_raises_the_stores_error() -> None:
    with pytest.raises(OSError, match="away"):
        await StoredHistory(Waiting(), Stored(trouble=OSError("away"))).conversation(CONVERSATION)


async def test_another_users_undelivered_utterances_are_not_part_of_the_conversation() -> None:
    stranger = CALL.of(user_id=STRANGER, session_id=LATER_SESSION).user("Let me in.")
    earlier = await StoredHistory(Waiting(stranger), Stored(CALL.user("Mine."))).conversation(
        CONVERSATION
    )
    assert (earlier.owner, texts(earlier.said)) == (LEARNER, ["Mine."])


async def test_an_unknown_conversation_is_empty() -> None:
    earlier = await StoredHistory(Waiting(), Stored()).conversation(CONVERSATION)
    assert (earlier.owner, earlier.said) == (None, [])


async def test_spent_amounts_come_from_the_store() -> None:
    assert await StoredHistory(Waiting(), Stored()).spent(1, "a1", None) == 7
