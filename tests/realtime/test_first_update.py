"""The relay's own first settings, when an engine refuses some of them."""

from typing import Any

import pytest

from relay.realtime.coaching.control import Command
from relay.realtime.core import SessionCore
from relay.realtime.dialects.client import BrowserDialect, GaDialect
from relay.realtime.effects import Effect, ReportTrouble
from relay.realtime.events import encode
from relay.realtime.first_update import part_to_drop, without_part
from relay.realtime.troubles import Trouble
from tests.realtime.agents import LOOK
from tests.realtime.session_core import (
    CREATED,
    UPDATED,
    from_engine,
    new_core,
    to_client,
    to_engine,
)

Event = dict[str, Any]
MODEL = "session.audio.input.transcription.model"


def refusal(event_id: str | None, param: str | None = MODEL, code: str = "invalid_value") -> Event:
    fault = {"type": "invalid_request_error", "code": code, "message": "no", "param": param}
    return {"type": "error", "event_id": "e", "error": {**fault, "event_id": event_id}}


def opened(dialect: Any = None, **granted: Any) -> tuple[SessionCore, Event]:
    core = new_core(dialect or GaDialect(), created=False, **granted)
    return core, to_engine(from_engine(core, CREATED))[0]


def troubles(effects: list[Effect]) -> list[Trouble]:
    return [effect.trouble for effect in effects if isinstance(effect, ReportTrouble)]


def test_a_refused_transcription_model_is_left_out_and_the_client_is_warned() -> None:
    core, first = opened(relay_events=True, voice="marin", instructions="Be kind.")
    effects = from_engine(core, refusal(first["event_id"]))
    (retry,) = to_engine(effects)
    assert retry["session"]["audio"] == {"input": {}, "output": {"voice": "marin"}}
    assert retry["session"]["instructions"] == "Be kind."
    assert retry["event_id"] != first["event_id"]
    assert troubles(effects) == [
        Trouble("settings", "invalid_value", MODEL, dropped="transcription")
    ]
    (warning,) = to_client(effects)
    assert (warning["type"], warning["code"]) == ("relay.warning", "setting_refused")
    assert "transcription" in warning["message"]


def test_without_a_name_of_what_is_wrong_the_parts_go_one_by_one() -> None:
    core, sent = opened(voice="marin", output_modalities=("audio",), instructions="Be kind.")
    dropped = []
    for _ in range(3):
        effects = from_engine(core, refusal(sent["event_id"], param=None))
        dropped += [trouble.dropped for trouble in troubles(effects)]
        (sent,) = to_engine(effects)
    assert dropped == ["transcription", "voice", "output_modalities"]
    assert sent["session"]["instructions"] == "Be kind."
    effects = from_engine(core, refusal(sent["event_id"], param=None))
    assert to_engine(effects) == [], "an agent without its instructions would be another one"
    assert [trouble.dropped for trouble in troubles(effects)] == [""]


def test_the_part_that_the_engine_names_is_the_one_that_goes() -> None:
    core, first = opened(voice="zoe")
    (retry,) = to_engine(
        from_engine(core, refusal(first["event_id"], "session.audio.output.voice"))
    )
    assert "voice" not in retry["session"]["audio"]["output"]
    assert retry["session"]["audio"]["input"]["transcription"]


def test_a_server_that_does_not_say_which_event_it_refuses_is_understood() -> None:
    core, _ = opened()
    assert len(to_engine(from_engine(core, refusal(None)))) == 1
    assert to_engine(from_engine(core, refusal(None, param="response.tools"))) == []


def test_once_the_settings_were_taken_an_error_about_a_session_is_the_clients() -> None:
    core, _ = opened()
    from_engine(core, UPDATED)
    effects = from_engine(core, refusal(None))
    assert to_engine(effects) == []
    assert [event["type"] for event in to_client(effects)] == ["error"]
    assert [trouble.part for trouble in troubles(effects)] == ["error"]


def test_a_client_whose_settings_they_were_sees_the_error_and_the_session_it_has() -> None:
    core, first = opened(BrowserDialect())
    effects = from_engine(core, refusal(first["event_id"]))
    assert [event["type"] for event in to_client(effects)] == ["error"]
    assert len(to_engine(effects)) == 1
    assert [event["type"] for event in to_client(from_engine(core, UPDATED))] == ["session.updated"]


def test_a_client_of_the_openai_door_sees_neither_refusal_nor_answer() -> None:
    core, first = opened()
    assert to_client(from_engine(core, refusal(first["event_id"]))) == []
    assert to_client(from_engine(core, UPDATED)) == []


def test_an_error_about_the_clients_own_settings_keeps_its_event_id() -> None:
    core, _ = opened()
    from_engine(core, UPDATED)
    update = {"type": "session.update", "event_id": "mine", "session": {"type": "realtime"}}
    core.from_client(encode(update), 2.0)
    (error,) = to_client(from_engine(core, refusal("mine")))
    assert error["error"]["event_id"] == "mine"


def test_a_refused_transcription_is_not_forced_on_the_client_again() -> None:
    core, first = opened()
    from_engine(core, refusal(first["event_id"]))
    audio = {"input": {"transcription": None}}
    update = {"type": "session.update", "session": {"type": "realtime", "audio": audio}}
    (sent,) = to_engine(core.from_client(encode(update), 2.0))
    assert sent["session"]["audio"] == audio


def test_a_retry_does_not_undo_a_coachs_pause() -> None:
    core, first = opened(BrowserDialect())
    core.commands.execute(Command("pause", "carol"), 1.0)
    (retry,) = to_engine(from_engine(core, refusal(first["event_id"])))
    assert retry["session"]["audio"]["input"]["turn_detection"]["create_response"] is False


@pytest.mark.parametrize("param", ["", "session.tools", "session.audio", "nonsense"])
def test_what_may_not_be_dropped_is_not(param: str) -> None:
    session = {"instructions": "x", "tools": [LOOK], "audio": {"output": {"voice": "v"}}}
    assert part_to_drop(session, param) == "voice"
    rest = without_part(session, "voice")
    assert rest == {"instructions": "x", "tools": [LOOK], "audio": {"output": {}}}
    assert part_to_drop(rest, param) is None
