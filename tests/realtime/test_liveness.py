"""A living engine is told from one that is gone; the time is an argument."""

import math

from relay.realtime.liveness import (
    LATE_SECONDS,
    LISTEN_AGAIN_SECONDS,
    LISTEN_SECONDS,
    OWED_PONG_SECONDS,
    OWED_SECONDS,
    PING_SECONDS,
    EngineLiveness,
)

COMMIT, CREATE = "input_audio_buffer.commit", "response.create"
COMMITTED = "input_audio_buffer.committed"
DEAD_WITHIN = 45.0


class Engine:
    """An engine whose pongs stop at `dies`, and whoever watches it."""

    def __init__(self, dies: float = math.inf) -> None:
        self.watch = EngineLiveness()
        self.now = 0.0
        self.dies = dies
        self.frames = 1
        self.is_read = True
        self.pings: list[float] = []
        self.looks: list[float] = []
        self._unanswered = 0
        self.watch.heard("session.created", 0.0)

    def owes(self, kind: str, now: float) -> None:
        self.watch.sent(kind)
        if self.watch.has_new_debt:
            self.watch.start_waiting(now)

    def says(self, kind: str, now: float) -> None:
        self.frames += 1
        self.watch.heard(kind, now)

    def until(self, end: float) -> float | None:
        """When it is found dead; None if it is not until then."""
        while (at := self.watch.next()) <= end:
            self.now = at
            self.watch.look(self.frames, is_read=self.is_read, now=at)
            if self.watch.listen_due(at):
                self.looks.append(at)
            if self.watch.ping_due(at) and self._ping(at):
                return at
        return None

    def _ping(self, now: float) -> bool:
        gone = self.watch.pinged(self._unanswered, now)
        self.pings.append(now)
        self._unanswered = self._unanswered + 1 if now >= self.dies else 0
        return gone


def test_nothing_is_due_before_the_engine_is_ready() -> None:
    watch = EngineLiveness()
    watch.sent(CREATE)
    watch.start_waiting(1.0)
    watch.look(5, is_read=True, now=2.0)
    assert watch.next() == math.inf


def test_an_engine_that_answers_pings_may_be_silent_for_ever() -> None:
    engine = Engine()
    assert engine.until(3600.0) is None
    assert len(engine.pings) == 3600 / PING_SECONDS


def test_an_engine_that_talks_is_not_pinged() -> None:
    engine = Engine(dies=0.0)
    for second in range(100):
        engine.says("response.output_audio_transcript.done", float(second))
        assert engine.until(second + 0.9) is None
    assert engine.pings == []


def test_audio_that_passes_undecoded_is_a_sign_of_life() -> None:
    engine = Engine(dies=0.0)
    for second in range(60):
        engine.frames += 1
        assert engine.until(float(second)) is None
    assert engine.pings == []


def test_a_silent_engine_is_found_dead_within_45_seconds() -> None:
    for dies in range(100):
        found = Engine(dies=float(dies)).until(1000.0)
        assert found is not None
        assert 0 < found - dies <= DEAD_WITHIN


def test_one_that_broke_off_within_its_audio_is_found_as_soon() -> None:
    for tenth in range(300):
        engine = Engine(dies=tenth / 10)
        engine.until(tenth / 10)
        engine.frames += 1  # the last one, which nobody timed
        found = engine.until(1000.0)
        assert found is not None
        assert found - tenth / 10 <= DEAD_WITHIN


def test_one_that_owes_a_turn_is_pinged_once_more_and_found_soon() -> None:
    for kind in (COMMIT, CREATE):
        for after in (0.0, 3.0, 11.0, 13.0, 23.9):
            engine = Engine(dies=0.0)
            assert engine.until(after) is None
            engine.owes(kind, after)
            found = engine.until(1000.0)
            assert found is not None
            assert found - after <= OWED_SECONDS + OWED_PONG_SECONDS


def test_a_slow_answer_costs_one_more_ping_and_no_call() -> None:
    engine = Engine()
    engine.owes(CREATE, 0.0)
    assert engine.until(120.0) is None
    assert engine.pings[:2] == [OWED_SECONDS, OWED_SECONDS + OWED_PONG_SECONDS]
    assert engine.watch.owes_answer


def test_a_voice_that_the_engine_says_nothing_about_is_owed_too() -> None:
    engine = Engine(dies=0.0)
    engine.until(LISTEN_SECONDS)
    assert engine.looks == [LISTEN_SECONDS]
    engine.watch.voice()
    engine.watch.start_waiting(LISTEN_SECONDS)
    assert engine.until(1000.0) == LISTEN_SECONDS + OWED_SECONDS + OWED_PONG_SECONDS
    assert engine.looks == [LISTEN_SECONDS], "a voice was found, so there is no need to look on"


def test_a_voice_is_looked_for_only_while_the_engine_says_nothing() -> None:
    engine = Engine()
    for second in range(20):
        engine.says("conversation.item.done", float(second))
        engine.until(second + 0.9)
    assert engine.looks == []
    engine.until(19.0 + LISTEN_SECONDS + 1.5 * LISTEN_AGAIN_SECONDS)
    assert len(engine.looks) == 2


def test_what_was_owed_is_paid_by_what_the_engine_says() -> None:
    engine = Engine()
    engine.owes(COMMIT, 0.0)
    assert engine.watch.owes_answer
    engine.says(COMMITTED, 0.1)
    assert not engine.watch.owes_answer
    engine.says("response.created", 0.2)
    assert engine.watch.owes_answer, "what it has begun it owes the end of"
    engine.says("response.done", 4.0)
    assert not engine.watch.owes_answer
    engine.owes(CREATE, 5.0)
    engine.says("error", 5.1)
    assert not engine.watch.owes_answer


def test_while_somebody_speaks_the_engine_owes_no_answer() -> None:
    """It waits for more audio, which may never come; once the speech ended, it owes the turn."""
    engine = Engine()
    engine.says("input_audio_buffer.speech_started", 0.0)
    assert engine.watch.heard_speech
    assert not engine.watch.owes_answer
    engine.says("input_audio_buffer.speech_stopped", 1.0)
    assert not engine.watch.heard_speech
    assert engine.watch.owes_answer
    engine.says(COMMITTED, 1.1)
    assert not engine.watch.owes_answer


def test_an_engine_that_dies_within_a_turn_is_found_soon() -> None:
    for kind in ("input_audio_buffer.speech_started", "response.created"):
        engine = Engine(dies=0.5)
        engine.says(kind, 0.5)
        assert engine.until(1000.0) == 0.5 + OWED_SECONDS + OWED_PONG_SECONDS


def test_an_engine_that_is_not_read_cannot_answer_and_is_not_blamed() -> None:
    engine = Engine(dies=0.0)
    engine.is_read = False
    assert engine.until(60.0) is None
    engine.is_read = True
    assert engine.until(60.0 + DEAD_WITHIN) is not None


def test_a_process_that_stood_still_gives_the_engine_one_more_chance() -> None:
    for answers in (True, False):
        watch = EngineLiveness()
        watch.heard("session.created", 0.0)
        assert not watch.pinged(0, PING_SECONDS)
        late = 2 * PING_SECONDS + LATE_SECONDS + 0.1
        assert not watch.pinged(1, late), "the pong may be unread behind what else has come"
        assert not watch.ping_due(late + OWED_PONG_SECONDS - 0.1)
        assert watch.ping_due(late + OWED_PONG_SECONDS)
        assert watch.pinged(0 if answers else 2, late + OWED_PONG_SECONDS) is not answers


def test_a_voice_is_forgotten_once_the_engine_says_something() -> None:
    watch = EngineLiveness()
    watch.heard("session.created", 0.0)
    watch.voice()
    assert watch.heard_speech
    assert not watch.owes_answer, "nobody asked the engine for anything"
    watch.heard("input_audio_buffer.speech_started", 1.0)
    watch.heard("input_audio_buffer.committed", 2.0)
    assert not watch.heard_speech
