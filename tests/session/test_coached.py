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
    return stage, session.live_call(), running


async def test_a_paused_models_sound_is_for_nobody_and_a_resumed_ones_is_heard() -> None:
    stage, call, running = await started(relay_events=True)
    stage.engine.arrive(DELTA)
    assert call.obey(PAUSE) == "done"
    stage.engine.arrive(DELTA)
    assert stage.client_types().count("response.output_audio.delta") == 1
    assert call.is_paused()
    assert call.obey(RESUME) == "done"
    stage.engine.arrive(DELTA)
    assert stage.client_types().count("response.output_audio.delta") == 2
    assert stage.client_types()[-3:-1] == ["relay.paused", "relay.resumed"]
    stage.client.leave(1000)
    await running


async def test_what_changed_is_written_down_and_a_repeat_is_not() -> None:
    stage, call, running = await started()
    for command in (PAUSE, PAUSE, RESUME, Command("whisper", "carol", "Slowly.", "context")):
        call.obey(command)
    assert audit(stage) == [("pause", "carol"), ("resume", "carol"), ("whisper", "carol")]
    (whisper,) = [r for r in stage.journal.others if isinstance(r, ActionRecord)][2:]
    assert whisper.details == {"text": "Slowly.", "mode": "context"}
    stage.client.leave(1000)
    await running


async def test_a_coach_ends_the_session_and_nothing_can_be_asked_of_it_then() -> None:
    stage, call, running = await started()
    assert call.obey(Command("end", "carol", "Time is up.")) == "done"
    assert await running == ENDED_BY_COACH
    assert stage.client.close_sent == (1000, "")
    assert call.obey(PAUSE) == "over"
    assert audit(stage) == [("end", "carol")]


async def test_a_coach_who_speaks_is_known_by_name_and_another_waits() -> None:
    stage, call, running = await started()
    assert call.obey(Command("takeover", "carol")) == "done"
    assert call.speaker() == "carol"
    assert call.obey(Command("takeover", "dave")) == "busy"
    assert call.obey(Command("release", "dave")) == "busy"
    assert call.obey(Command("release", "root", is_admin=True)) == "done"
    assert call.speaker() is None
    stage.client.leave(1000)
    await running


async def test_before_the_engine_is_there_a_pause_waits_with_it() -> None:
    stage = Stage()
    session, running = stage.start()
    await settle()
    assert session.live_call().obey(PAUSE) == "done"
    stage.engine.arrive(CREATED)
    stage.engine.arrive(json.dumps(wire.response_created("R1")))
    assert stage.engine_types()[-1] == "response.cancel"
    stage.client.leave(1000)
    await running
