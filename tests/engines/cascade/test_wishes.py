"""What settings ask of the rules."""

from typing import Any

from relay.engines.cascade.settings import (
    TurnDetection,
    creates_response,
    idle_timeout_ms,
    initial_settings,
    interrupts_response,
    transcription_model,
    turn_detection,
    update_settings,
)


def settings(turns: Any, transcription: Any = None) -> dict[str, Any]:
    audio = {"input": {"turn_detection": turns, "transcription": transcription}}
    opened = initial_settings("sess_1", "gpt-realtime-2.1", 0)
    return update_settings(opened, {"type": "realtime", "audio": audio}, spoke=False)


def test_a_session_as_it_begins():
    opened = initial_settings("sess_1", "gpt-realtime-2.1", 0)

    assert turn_detection(opened) == TurnDetection(500, 300)
    assert interrupts_response(opened)
    assert creates_response(opened)
    assert idle_timeout_ms(opened) is None
    assert transcription_model(opened) is None


def test_push_to_talk():
    manual = settings(None)

    assert turn_detection(manual) == TurnDetection(None, 300)
    assert not interrupts_response(manual)
    assert not creates_response(manual)
    assert idle_timeout_ms(manual) is None


def test_what_a_client_asked_for():
    vad = {
        "type": "server_vad",
        "prefix_padding_ms": 100,
        "silence_duration_ms": 700,
        "idle_timeout_ms": 6000,
        "create_response": False,
        "interrupt_response": False,
    }
    wanted = settings(vad, {"model": "whisper-1"})

    assert turn_detection(wanted) == TurnDetection(700, 100)
    assert not interrupts_response(wanted)
    assert not creates_response(wanted)
    assert idle_timeout_ms(wanted) == 6000
    assert transcription_model(wanted) == "whisper-1"
