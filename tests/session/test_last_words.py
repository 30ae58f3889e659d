"""A client leaves while the words of its last turn are still to come."""

import asyncio
from collections.abc import Callable

import pytest

from relay.realtime import endings
from relay.realtime.endings import Ending
from relay.realtime.events import encode
from relay.session import last_words
from relay.session.session import Session
from tests.realtime import wire_events as wire
from tests.session.fakes import CREATED, Stage, settle

TURN = wire.spoken_turn("U1", None)
ANSWER = wire.answer("A1", "Four.", "U1")
WORDS = wire.heard("U1", "What is two and two?")
WAITS = [
    endings.CLIENT_LEFT,
    endings.CLIENT_LOST,
    endings.CONNECTION_LOST,
    endings.REPLACED,
    endings.ENDED_BY_COACH,
    endings.BUDGET_EXHAUSTED,
    endings.SESSION_TIME_LIMIT,
    endings.TOKEN_EXPIRED,
    endings.IDLE,
]
AT_ONCE = [endings.SERVICE_RESTART, endings.OUT_OF_MEMORY, endings.INTERNAL_ERROR]


async def started(stage: Stage, *events: wire.Event) -> tuple[Session, "asyncio.Task[Ending]"]:
    session, running = stage.start()
    await settle()
    stage.engine.arrive(CREATED)
    says(stage, *events)
    return session, running


async def waiting(stage: Stage) -> tuple[Session, "asyncio.Task[Ending]"]:
    """A session whose client has left, and which waits for the words of its turn."""
    session, running = await started(stage, *TURN)
    stage.client.leave(1000)
    await settle()
    assert not running.done()
    return session, running


def says(stage: Stage, *events: wire.Event) -> None:
    for event in events:
        stage.engine.arrive(encode(event))


def said(stage: Stage) -> list[tuple[str, str]]:
    """What was recorded, in the order of the conversation; each once."""
    newest = {record.id: record.utterance for record in stage.journal.records}
    by_place = sorted(newest.values(), key=lambda one: one.position)
    return [(one.text, one.state) for one in by_place]


async def ended(running: "asyncio.Task[Ending]") -> Ending:
    return await asyncio.wait_for(running, 30)


@pytest.mark.parametrize("ending", WAITS, ids=lambda one: one.name)
async def test_words_that_come_after_the_client_left_are_recorded_in_their_place(
    ending: Ending,
) -> None:
    stage = Stage()
    session, running = await started(stage, *TURN, *ANSWER)
    session.end(ending)
    await settle()
    assert stage.client.close_sent is not None, "the client does not wait"
    assert stage.engine.close_sent is None
    assert ("What is two and two?", "final") not in said(stage)
    says(stage, WORDS)
    assert await ended(running) == ending
    assert stage.engine.close_sent == (1000, "Client disconnected")
    assert said(stage) == [("What is two and two?", "final"), ("Four.", "final")]


@pytest.mark.parametrize("ending", AT_ONCE, ids=lambda one: one.name)
async def test_the_relay_itself_does_not_stay_for_them(ending: Ending) -> None:
    stage = Stage()
    session, running = await started(stage, *TURN, *ANSWER)
    session.end(ending)
    assert await ended(running) == ending
    assert said(stage) == [("Four.", "final")]


async def test_a_restart_hurries_a_session_that_waits() -> None:
    stage = Stage()
    session, running = await waiting(stage)
    session.end(endings.REPLACED)
    await settle()
    assert not running.done(), "who takes the conversation up wants the words as well"
    session.end(endings.SERVICE_RESTART)
    assert await ended(running) == endings.CLIENT_LEFT


async def test_an_engine_that_goes_is_not_waited_for() -> None:
    stage = Stage()
    _, running = await waiting(stage)
    stage.engine.leave()
    assert await ended(running) == endings.CLIENT_LEFT


async def test_the_wait_is_bounded_and_leaves_what_came(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(last_words, "LAST_WORDS_SECONDS", 0.01)
    stage = Stage()
    _, running = await started(stage, *TURN, wire.heard_delta("U1", "What is"))
    stage.client.leave(1000)
    assert await ended(running) == endings.CLIENT_LEFT
    assert said(stage) == [("What is", "partial")]


SETTLED: dict[str, list[wire.Event]] = {
    "nothing was said": [],
    "the words are there": [*TURN, WORDS, *ANSWER],
    "they failed": [*TURN, wire.not_heard("U1")],
    "they were typed": wire.typed("U1", "Hello.", None),
    "the learner is speaking": [wire.speech_started("U1")],
    "nobody transcribes": [
        {"type": "session.updated", "session": {"audio": {"input": {"transcription": None}}}},
        *TURN,
    ],
}


@pytest.mark.parametrize("events", SETTLED.values(), ids=SETTLED)
async def test_without_words_to_come_both_sides_are_closed_at_once(
    events: list[wire.Event],
) -> None:
    stage = Stage()
    _, running = await started(stage, *events)
    stage.client.leave(1000)
    await settle()
    assert stage.engine.close_sent == (1000, "Client disconnected")
    assert running.done()


async def test_an_answer_that_nobody_hears_is_stopped_and_its_cost_counted() -> None:
    stage = Stage()
    _, running = await started(stage, *TURN, *ANSWER[:-3])
    stage.client.leave(1000)
    await settle()
    assert stage.engine_types()[-1] == "response.cancel"
    says(stage, wire.response_created("resp_2"))
    assert stage.engine_types()[-2:] == ["response.cancel"] * 2
    usage = {"input_token_details": {"audio_tokens": 100}}
    says(stage, {"type": "response.done", "response": {"id": "resp_1", "usage": usage}})
    says(stage, *wire.answer("A2", "Nobody hears this.", "A1", response="resp_2")[1:], WORDS)
    await ended(running)
    assert said(stage) == [("What is two and two?", "final"), ("Four.", "unheard")]
    assert 'relay_tokens_total{kind="audio_in"} 100.0' in stage.metrics.render().decode()


async def test_what_was_playing_when_the_client_left_is_cut_there() -> None:
    """And not where it would be when the words came."""
    stage = Stage()
    sound = '{"type":"response.output_audio.delta","item_id":"A1","delta":"%s"}'
    words = " ".join(["word"] * 20)
    session, running = await started(stage, *TURN, *ANSWER[:3])
    stage.engine.arrive(sound % ("A" * 64_000))  # a second
    says(stage, *wire.answer("A1", words, "U1")[5:])
    stage.clock.now += 0.6
    stage.client.leave(1000)
    await settle()
    stage.clock.now += 2.0
    says(stage, WORDS)
    await ended(running)
    record = next(one for one in stage.journal.records if one.utterance.item_id == "A1")
    assert record.utterance.state == "interrupted"
    assert record.utterance.heard_ms == 500
    assert session.core.transcript.last_seq == 2


async def test_a_turn_that_the_client_commits_as_it_leaves_is_awaited() -> None:
    stage = Stage()
    _, running = await started(stage)
    stage.client.arrive('{"type":"input_audio_buffer.commit"}')
    stage.client.leave(1000)
    await settle()
    assert not running.done()
    says(stage, *TURN[2:])
    assert not running.done()
    says(stage, WORDS)
    await ended(running)
    assert said(stage) == [("What is two and two?", "final")]


async def test_a_commit_that_is_refused_is_not_waited_for() -> None:
    stage = Stage()
    _, running = await started(stage)
    stage.client.arrive('{"type":"input_audio_buffer.commit"}')
    stage.client.leave(1000)
    await settle()
    says(stage, {"type": "error", "error": {"code": "input_audio_buffer_commit_empty"}})
    await ended(running)
    assert said(stage) == []


async def test_so_many_sessions_wait_at_once_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(last_words, "MAX_WAITING", 1)
    stage = Stage()
    session, running = await started(stage, *TURN)
    limit = session._services.last_words
    limit.waiting = 1
    stage.client.leave(1000)
    await ended(running)
    assert said(stage) == []
    assert limit.waiting == 1


@pytest.mark.parametrize("how", [lambda task: task.cancel(), lambda _: None])
async def test_the_count_is_given_back(how: Callable[["asyncio.Task[Ending]"], object]) -> None:
    stage = Stage()
    session, running = await started(stage, *TURN)
    stage.client.leave(1000)
    await settle()
    assert session._services.last_words.waiting == 1
    how(running)
    says(stage, WORDS)
    await asyncio.wait({running}, timeout=30)
    assert session._services.last_words.waiting == 0
    assert stage.engine.close_sent is not None


async def test_a_broken_event_is_passed_over_and_a_fault_of_ours_ends_the_wait() -> None:
    stage = Stage()
    session, running = await started(stage, *TURN)
    stage.client.leave(1000)
    await settle()
    stage.engine.arrive('{"type":"conversation.item.input_audio_transcription.completed",')
    assert not running.done()

    def broken(*_: object) -> None:
        raise RuntimeError("the learner said: my secret")

    session.core.transcript.observe = broken  # type: ignore[method-assign,assignment]
    says(stage, WORDS)
    assert await ended(running) == endings.CLIENT_LEFT
    assert stage.engine.close_sent is not None
