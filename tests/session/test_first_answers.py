"""The older front end dials anew once it knows its conversation: its first answer is whole."""

import base64
from itertools import product

from relay.doors.browser import AFTER_PLAYBACK, PACE_MS
from relay.realtime import endings
from relay.realtime.core import SessionCore
from relay.realtime.deadlines import Deadlines, SessionLimits
from relay.realtime.dialects.client import BrowserDialect
from relay.realtime.earlier import seed_items
from relay.realtime.events import encode
from relay.realtime.grant import Grant
from relay.realtime.opening import SessionSetup, browser_session_update
from relay.realtime.records import newest
from relay.session.recorder import Recorder
from relay.session.session import Session, SessionContext
from tests.realtime import wire_events as wire
from tests.realtime.wire_events import Event
from tests.session.fakes import (
    CALLER,
    CREATED,
    HEAD,
    TRANSCRIPTION,
    FakeEngine,
    Stage,
    services,
    settle,
)
from tests.stores.words import texts

ANSWER = "One two three four five six seven eight."
LENGTHS_MS = (90, 480, 500, 510, 1200)
"""Of answers: shorter and longer than the lead that this client is given."""
CHUNKS_MS = (20, 50, 200)
GAPS_MS = (0, 40)
"""Between the engine's events."""


class OldCall(Stage):
    """A session of the older front end's, in time that a test moves."""

    def session(self) -> Session:
        grant = Grant(caller=CALLER, agent_id="a1")
        update = browser_session_update(grant, TRANSCRIPTION, "alloy")
        setup = SessionSetup(
            "s1", "c1", grant, BrowserDialect(), update, True, TRANSCRIPTION, truncates=True
        )
        deadlines = Deadlines(SessionLimits(10.0, 1800.0, 300.0, 9e9), self.clock.now)
        context = SessionContext(
            self.client, self.clock, pace_ms=PACE_MS, after_playback=AFTER_PLAYBACK
        )
        recorder = Recorder(self.journal, HEAD)
        shared = services(engine=FakeEngine(self.engine), journal=self.journal)
        return Session(context, SessionCore(setup, deadlines), recorder, shared)


def turn(ms: int, chunk_ms: int, *, words_late: bool) -> list[Event]:
    """The learner's turn and its answer; with `words_late`, the words come just before its end.

    What comes behind it is lost when the client leaves at once.
    """
    answer, words = wire.answer("A1", ANSWER, "U1"), [wire.heard("U1", "Count.")]
    done = [event["type"] for event in answer].index("response.output_audio.done")
    ids = {"response_id": "resp_1", "item_id": "A1", "output_index": 0, "content_index": 0}
    sound = [
        {"type": "response.output_audio.delta", **ids, "delta": _silence(min(chunk_ms, ms - at))}
        for at in range(0, ms, chunk_ms)
    ]
    answer[done:done] = sound
    at = len(answer) - 1 if words_late else 0
    return [*wire.spoken_turn("U1", None), *answer[:at], *words, *answer[at:]]


def _silence(ms: int) -> str:
    return base64.b64encode(bytes(48 * ms)).decode()


async def test_S3_52_however_an_answer_comes_the_next_engine_is_told_the_whole_of_it() -> None:
    cases = list(product(LENGTHS_MS, CHUNKS_MS, GAPS_MS, (False, True)))
    assert len(cases) >= 50
    for ms, chunk_ms, gap_ms, words_late in cases:
        call = OldCall()
        session, running = call.start()
        await settle()
        call.engine.arrive(CREATED)
        frames = [encode(event) for event in turn(ms, chunk_ms, words_late=words_late)]
        while not any(b'"conversation.created"' in frame for frame in call.client.sent):
            if frames and (not gap_ms or session._next_deadline() > call.clock.now):
                call.engine.arrive(frames.pop(0).decode())
                call.clock.now += gap_ms / 1000
            else:
                call.clock.now = max(call.clock.now, session._next_deadline())
            session._on_deadline()
            assert call.clock.now < 1100.0
        session.end(endings.CLIENT_LEFT)
        await running
        records = newest(call.journal.records)
        assert texts(records) == ["Count.", ANSWER], (ms, chunk_ms, gap_ms, words_late)
        told = [item["content"][0]["text"] for item in seed_items(records)]
        assert told == ["Count.", ANSWER], (ms, chunk_ms, gap_ms, words_late)
        assert records[1].utterance.state == "final"


async def test_a_greeting_that_the_learner_cuts_has_them_dial_anew_after_the_next_answer() -> None:
    """All of it was at the relay: without the cut its end was about to be told."""
    call = OldCall()
    session, running = call.start()
    await settle()
    call.engine.arrive(CREATED)
    for event in turn(1200, 200, words_late=False):
        call.engine.arrive(encode(event).decode())
    call.clock.now += 0.5
    call.engine.arrive(encode(wire.speech_started("U2")).decode())
    assert call.client_types()[-2:] == ["response.done", "input_audio_buffer.speech_started"]
    assert "conversation.created" not in call.client_types()
    rest = [*wire.spoken_turn("U2", "A1")[1:], *wire.answer("A2", "Five.", "U2", response="r2")]
    for event in rest:
        call.engine.arrive(encode(event).decode())
    assert call.client_types()[-2:] == ["conversation.created", "response.done"]
    session.end(endings.CLIENT_LEFT)
    await running
