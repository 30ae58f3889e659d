"""A coach's commands to a live session, from the engine's sound to the audit."""

import json
from typing import Any

from relay.realtime.coaching.control import Command
from relay.realtime.endings import ENDED_BY_COACH
from relay.realtime.records import ActionRecord
from tests.realtime import wire_events as wire
from tests.session.fakes import CREATED, Stage, settle
from tests.session.test_session import DELTA

PAUSE = Command("pause", "carol")
RESUME = Command("resume", "carol")


def audit(stage: Stage) -> list[tuple[str, str]]:
    done = [record for record in stage.journal.others if isinstance(record, ActionRecord)]
    return [(record.action, record.coach_id) for record in done]


async def started(**given: Any) -> tuple[Stage, Any, Any]:
    stage = Stage(**given)
    session, running = stage.start()
    await settle()
    stage.engine.arrive(CREATED)
    return stage, session, running


async def test_a_paused_models_sound_is_for_nobody_and_a_resumed_ones_is_heard() -> None:
    stage, session, running = await started(relay_events=True)
    stage.engine.arrive(DELTA)
    assert session.execute(PAUSE) == "done"
    stage.engine.arrive(DELTA)
    assert stage.client_types().count("response.output_audio.delta") == 1
    assert session.status().is_paused
    assert session.execute(RESUME) == "done"
    stage.engine.arrive(DELTA)
    assert stage.client_types().count("response.output_audio.delta") == 2
    assert stage.client_types()[-3:-1] == ["relay.paused", "relay.resumed"]
    stage.client.leave(1000)
    await running


async def test_what_changed_is_written_down_and_a_repeat_is_not() -> None:
    stage, session, running = await started()
    for command in (PAUSE, PAUSE, RESUME, Command("whisper", "carol", "Slowly.", "context")):
        session.execute(command)
    assert audit(stage) == [("pause", "carol"), ("resume", "carol"), ("whisper", "carol")]
    (whisper,) = [r for r in stage.journal.others if isinstance(r, ActionRecord)][2:]
    assert whisper.details == {"text": "Slowly.", "mode": "context"}
    stage.client.leave(1000)
    await running


async def test_a_coach_ends_the_session_and_nothing_can_be_asked_of_it_then() -> None:
    stage, session, running = await started()
    assert session.execute(Command("end", "carol", "Time is up.")) == "done"
    assert await running == ENDED_BY_COACH
    assert stage.client.close_sent == (1000, "")
    assert session.execute(PAUSE) == "over"
    assert audit(stage) == [("end", "carol")]


async def test_a_coach_who_speaks_is_known_by_name_and_another_waits() -> None:
    stage, session, running = await started()
    assert session.execute(Command("takeover", "carol")) == "done"
    assert session.status().speaker == "carol"
    assert session.execute(Command("takeover", "dave")) == "busy"
    assert session.execute(Command("release", "dave")) == "busy"
    assert session.execute(Command("release", "root", is_admin=True)) == "done"
    assert session.status().speaker is None
    stage.client.leave(1000)
    await running


async def test_before_the_engine_is_there_a_pause_waits_with_it() -> None:
    stage = Stage()
    session, running = stage.start()
    await settle()
    assert session.execute(PAUSE) == "done"
    stage.engine.arrive(CREATED)
    stage.engine.arrive(json.dumps(wire.response_created("R1")))
    assert stage.engine_types()[-1] == "response.cancel"
    stage.client.leave(1000)
    await running
