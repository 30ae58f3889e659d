"""What settings ask of the rules."""

from typing import Any

from relay.engines.cascade import machine as wishes
from relay.engines.cascade import settings as config
from relay.engines.cascade.input import TurnListener


def settings(turns: Any, transcription: Any = None) -> dict[str, Any]:
    audio = {"input": {"turn_detection": turns, "transcription": transcription}}
    opened = config.opening("sess_1", "gpt-realtime-2.1", 0)
    return config.update(opened, {"type": "realtime", "audio": audio}, spoke=False)


def test_a_session_as_it_begins():
    opened = config.opening("sess_1", "gpt-realtime-2.1", 0)

    assert wishes.listening(opened) == TurnListener(500, 300)
    assert wishes.interrupts(opened)
    assert wishes.answers(opened)
    assert wishes.idle_ms(opened) is None
    assert wishes.transcriber(opened) is None


def test_push_to_talk():
    manual = settings(None)

    assert wishes.listening(manual) == TurnListener(None, 300)
    assert not wishes.interrupts(manual)
    assert not wishes.answers(manual)
    assert wishes.idle_ms(manual) is None


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

    assert wishes.listening(wanted) == TurnListener(700, 100)
    assert not wishes.interrupts(wanted)
    assert not wishes.answers(wanted)
    assert wishes.idle_ms(wanted) == 6000
    assert wishes.transcriber(wanted) == "whisper-1"
