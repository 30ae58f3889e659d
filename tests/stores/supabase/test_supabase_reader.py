"""A project's conversations, read from another process than the relay's."""

from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from relay.stores.supabase.admin import SupabaseReader
from relay.stores.supabase.client import RestClient
from relay.stores.supabase.store import SupabaseStore
from tests.components import needs
from tests.stores.hosted import access, hosted
from tests.stores.words import (
    CONVERSATION,
    LATER_SESSION,
    MORNING,
    STRANGER,
    Call,
    corrected,
    texts,
)
from tests.supabase.project import Project

pytestmark = needs("postgresql", "postgrest")
CALL = Call()
LATER_CONVERSATION = "77777777-7777-4777-8777-777777777777"
LATER = CALL.of(
    session_id=LATER_SESSION,
    conversation_id=LATER_CONVERSATION,
    user_id=STRANGER,
    started_at=MORNING + 60,
)


@pytest.fixture
async def store(project: Project) -> AsyncIterator[SupabaseStore]:
    async with hosted(project) as store:
        yield store


@pytest.fixture
async def reader(project: Project) -> AsyncIterator[SupabaseReader]:
    reader = SupabaseReader(RestClient(access(project)))
    yield reader
    await reader.aclose()


async def test_the_conversations_that_were_active_last_come_first(
    store: SupabaseStore, reader: SupabaseReader
) -> None:
    assert await reader.recent(5) == []
    await store.put([CALL.user("One?")])
    await store.put([LATER.user("Two?")])
    found = await reader.recent(5)
    assert [talk.conversation_id for talk in found] == [LATER_CONVERSATION, CONVERSATION]
    assert await reader.recent(1) == found[:1]
    assert texts(await reader.transcript(CONVERSATION)) == ["One?"]


async def test_what_comes_is_followed_and_a_correction_comes_again(
    store: SupabaseStore, reader: SupabaseReader
) -> None:
    question = CALL.user("I sink?", seq=1)
    comes = [[CALL.assistant("So I am.", seq=2)], [corrected(question, "I think?", 3)]]
    await store.put([question])

    async def pause() -> None:
        await store.put(comes.pop(0))

    seen: list[str] = []
    async with aclosing(reader.follow(CONVERSATION, pause)) as said:
        async for record in said:
            seen.append(record.utterance.text)
            if not comes:
                break
    assert seen == ["I sink?", "So I am.", "I think?"]
