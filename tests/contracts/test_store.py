"""What every store must do, whichever database is behind it (interfaces.Store, CONTRACTS §2.3)."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from relay.interfaces import FOREIGN_CONVERSATION, RecordsRefused, Store
from relay.stores.sqlite.store import SqliteStore
from tests.components import needs
from tests.stores.hosted import hosted
from tests.stores.words import (
    AGENT,
    COACH,
    CONVERSATION,
    DAY,
    LATER_SESSION,
    LEARNER,
    MORNING,
    OTHER_AGENT,
    STRANGER,
    Call,
    corrected,
    marked,
    texts,
)

CALL = Call()


@asynccontextmanager
async def embedded(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    store = SqliteStore(request.getfixturevalue("tmp_path") / "relay.sqlite")
    yield store
    await store.aclose()


def in_a_project(request: pytest.FixtureRequest) -> AbstractAsyncContextManager[Store]:
    return hosted(request.getfixturevalue("project"))


STORES: dict[str, Callable[[pytest.FixtureRequest], AbstractAsyncContextManager[Store]]] = {
    "sqlite": embedded,
    "supabase": in_a_project,
}
MARKS = {"supabase": needs("postgresql", "postgrest")}


@pytest.fixture(params=[pytest.param(name, marks=MARKS.get(name, ())) for name in STORES])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    async with STORES[request.param](request) as store:
        yield store


async def test_records_are_read_back_as_they_were_put(store: Store) -> None:
    question = CALL.user("When does the shop open?", heard_ms=1200)
    answer = CALL.assistant(
        "At nine, and on Sundays it does not.",
        heard_text="At nine, and",
        state="interrupted",
        heard_ms=900,
        audio_ms=2600,
    )
    typed = CALL.user("Grüße, 你好 ☎", 3.0, origin="text")
    second_part = CALL.assistant("Hello!", 4.0, content_index=1)
    said = [question, answer, typed, second_part]
    await store.put(said)
    assert await store.transcript(CONVERSATION) == said


async def test_what_the_client_deleted_for_the_model_is_kept_and_marked(store: Store) -> None:
    said = [CALL.user("My name is Ada."), CALL.assistant("Hello, Ada.")]
    await store.put(said)
    deleted = marked(said[1], seq=3)
    await store.put([deleted])
    await store.put(said)
    assert await store.transcript(CONVERSATION) == [said[0], deleted]
    again = marked(said[1], seq=4, deleted=False)
    await store.put([again])
    assert await store.transcript(CONVERSATION) == [said[0], again]


async def test_S3_28_words_join_the_conversation_that_was_given(store: Store) -> None:
    yesterday = CALL.of(session_id=LATER_SESSION, started_at=MORNING - 86400)
    await store.put([yesterday.user("Remember me?"), yesterday.assistant("Of course.")])
    await store.put([CALL.user("It is me again."), CALL.assistant("Welcome back.")])
    assert texts(await store.transcript(CONVERSATION)) == [
        "Remember me?",
        "Of course.",
        "It is me again.",
        "Welcome back.",
    ]


async def test_sessions_follow_their_start_and_words_their_position_whatever_came_first(
    store: Store,
) -> None:
    later = CALL.of(session_id=LATER_SESSION, started_at=MORNING + 0.5)
    await store.put([later.assistant("four", 2.0), CALL.assistant("two", 10.0, seq=1)])
    await store.put([later.user("three", 1.0), CALL.user("one", 2.5, seq=2)])
    assert texts(await store.transcript(CONVERSATION)) == ["one", "two", "three", "four"]


async def test_sessions_that_began_at_the_same_moment_are_not_mixed(store: Store) -> None:
    twin = CALL.of(session_id=LATER_SESSION)
    await store.put([CALL.user("a"), twin.user("b"), CALL.assistant("a"), twin.assistant("b")])
    assert texts(await store.transcript(CONVERSATION)) == ["a", "a", "b", "b"]


async def test_S3_29_a_new_conversation_belongs_to_its_first_speaker(
    store: Store,
) -> None:
    assert await store.owner(CONVERSATION) is None
    assert await store.transcript(CONVERSATION) == []
    await store.put([CALL.user("Hello?")])
    assert await store.owner(CONVERSATION) == LEARNER


async def test_S3_29_only_the_utterances_of_another_user_are_refused(store: Store) -> None:
    mine, more = CALL.user("Mine.", 1.0), CALL.user("Mine too.", 3.0)
    intruder = CALL.of(user_id=STRANGER, session_id=LATER_SESSION).user("Let me in.")
    with pytest.raises(RecordsRefused) as refusal:
        await store.put([mine, intruder, more])
    assert refusal.value.refused == {intruder.id: FOREIGN_CONVERSATION}
    assert await store.transcript(CONVERSATION) == [mine, more]
    assert await store.owner(CONVERSATION) == LEARNER


async def test_S3_35_a_late_transcript_is_stored_once_in_its_place(store: Store) -> None:
    answer = CALL.assistant("Here is a joke.", 2.0, seq=1)
    question = CALL.user("Tell me a joke.", 1.0, seq=2)
    await store.put([answer])
    await store.put([question])
    await store.put([question, answer])
    stored = await store.transcript(CONVERSATION)
    assert stored == [question, answer]
    times = [record.utterance.created_at for record in stored]
    assert times == sorted(times)


async def test_S3_36_several_questions_before_one_answer_are_all_stored(store: Store) -> None:
    said = [CALL.user("One.", 1.0), CALL.user("No, two.", 2.0), CALL.assistant("Two.", 3.0)]
    await store.put(said)
    assert await store.transcript(CONVERSATION) == said


async def test_a_correction_replaces_and_what_is_older_never_does(store: Store) -> None:
    first = CALL.user("I sink so.", seq=1)
    better = corrected(first, "I think so.", seq=4)
    await store.put([first, better])
    await store.put([corrected(first, "I blink so.", seq=3), first])
    assert await store.transcript(CONVERSATION) == [better]


async def test_S3_38_silence_makes_no_row_and_no_conversation(store: Store) -> None:
    await store.put([CALL.user(""), CALL.assistant("", 2.0)])
    assert await store.transcript(CONVERSATION) == []
    assert await store.owner(CONVERSATION) is None


async def test_a_turn_that_nobody_understood_is_a_row_without_words(store: Store) -> None:
    failed = CALL.user("", state="failed")
    await store.put([failed])
    assert await store.transcript(CONVERSATION) == [failed]


async def test_an_empty_put_is_not_an_error(store: Store) -> None:
    await store.put([])


async def test_many_conversations_in_one_batch_stay_apart(store: Store) -> None:
    calls = [
        CALL.of(
            conversation_id=f"44444444-4444-4444-8444-{n:012}",
            session_id=f"55555555-5555-4555-8555-{n:012}",
        )
        for n in range(50)
    ]
    await store.put([call.user(f"I am {n}.") for n, call in enumerate(calls)])
    for n, call in enumerate(calls):
        assert texts(await store.transcript(call.conversation_id)) == [f"I am {n}."]


async def test_what_a_call_costs_counts_once_and_the_latest_counts(store: Store) -> None:
    first, second = CALL.used(100, seq=1), CALL.used(250, seq=2)
    await store.put([first, second])
    await store.put([second, first])
    await store.put([CALL.used(30, model="gpt-4o-transcribe", seq=3)])
    assert await store.spent(DAY, AGENT) == 280
    assert await store.spent(DAY, AGENT, LEARNER) == 280


async def test_a_newer_version_may_cost_less(store: Store) -> None:
    await store.put([CALL.used(250, seq=2)])
    await store.put([CALL.used(200, seq=5)])
    assert await store.spent(DAY, AGENT) == 200


async def test_costs_are_told_apart_by_day_agent_and_user(store: Store) -> None:
    elsewhere = CONVERSATION.replace("4", "8")
    stranger = CALL.of(
        user_id=STRANGER, session_id=LATER_SESSION, conversation_id=elsewhere, agent_id=AGENT
    )
    other = CALL.of(session_id=LATER_SESSION.replace("6", "7"), agent_id=OTHER_AGENT)
    await store.put([CALL.used(1), CALL.used(20, day=DAY + 1), stranger.used(300)])
    await store.put([other.used(4000)])
    assert await store.spent(DAY, AGENT) == 301
    assert await store.spent(DAY, AGENT, LEARNER) == 1
    assert await store.spent(DAY, AGENT, STRANGER) == 300
    assert await store.spent(DAY + 1, AGENT) == 20
    assert await store.spent(DAY, OTHER_AGENT) == 4000
    assert await store.spent(DAY - 1, AGENT) == 0
    assert await store.spent(DAY, OTHER_AGENT, STRANGER) == 0


async def test_what_has_no_price_adds_nothing_until_it_has_one(store: Store) -> None:
    await store.put([CALL.used(None, seq=1)])
    assert await store.spent(DAY, AGENT) == 0
    await store.put([CALL.used(70, seq=2)])
    assert await store.spent(DAY, AGENT) == 70


async def test_calls_and_costs_make_no_conversation(store: Store) -> None:
    await store.put([CALL.begun(), CALL.used(5), CALL.ended(60)])
    assert await store.owner(CONVERSATION) is None
    assert await store.transcript(CONVERSATION) == []
    await store.put([CALL.user("Now I speak.")])
    assert await store.owner(CONVERSATION) == LEARNER


async def test_S3_29_sessions_and_usage_in_another_users_conversation_are_refused(
    store: Store,
) -> None:
    await store.put([CALL.user("Mine.")])
    intruder = CALL.of(user_id=STRANGER, session_id=LATER_SESSION)
    call, cost = intruder.begun(), intruder.used(9)
    with pytest.raises(RecordsRefused) as refusal:
        await store.put([call, cost, CALL.used(5)])
    assert refusal.value.refused == {
        call.id: FOREIGN_CONVERSATION,
        cost.id: FOREIGN_CONVERSATION,
    }
    assert await store.spent(DAY, AGENT) == 5


async def test_a_coach_without_assignments_has_no_learners(store: Store) -> None:
    assert await store.learners(COACH) == frozenset()


async def test_conversations_are_listed_by_whose_they_are_and_when_they_were_active(
    store: Store,
) -> None:
    later = "77777777-7777-4777-8777-777777777777"
    theirs = CALL.of(
        conversation_id=later, session_id=LATER_SESSION, user_id=STRANGER, started_at=MORNING + 500
    )
    await store.put([CALL.user("Mine.", 1.0), CALL.assistant("Yours.", 2.0), theirs.user("Hm.")])
    newest, oldest = await store.conversations(None, 10)
    assert (newest.conversation_id, newest.user_id, newest.message_count) == (later, STRANGER, 1)
    assert (oldest.conversation_id, oldest.agent_id) == (CONVERSATION, AGENT)
    assert (oldest.started_at, oldest.last_active) == (MORNING, MORNING + 2)
    assert list(await store.conversations([LEARNER], 10)) == [oldest]
    assert list(await store.conversations([LEARNER, STRANGER], 1)) == [newest]
    assert list(await store.conversations([COACH], 10)) == []
    assert list(await store.conversations([], 10)) == []


async def test_a_summary_is_kept_with_what_coaches_did(store: Store) -> None:
    done = CALL.done("summary", summary='{"text": "A knee."}')
    await store.put([CALL.user("My knee."), done])
    await store.put([done])


async def test_what_a_coach_said_and_did_is_kept_once(store: Store) -> None:
    said = CALL.assistant("Let me take this one.", coach_id=COACH)
    did = CALL.done("takeover")
    await store.put([said, did])
    await store.put([did])
    assert await store.transcript(CONVERSATION) == [said]
