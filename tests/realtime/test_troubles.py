"""What goes wrong at the provider is named in words that are safe to log."""

from typing import Any

import pytest

from relay.realtime.troubles import UNREADABLE, close_label, safe_code, trouble_of

Event = dict[str, Any]
FAILED = "conversation.item.input_audio_transcription.failed"


def error(**fault: Any) -> Event:
    return {"type": "error", "error": fault}


def done(status: str, **fault: Any) -> Event:
    details = {"type": status, "error": fault}
    return {"type": "response.done", "response": {"status": status, "status_details": details}}


@pytest.mark.parametrize(
    ("event", "named"),
    [
        (error(type="server_error", code="server_error"), ("error", "server_error", "")),
        (error(type="server_error", code=None), ("error", "server_error", "")),
        (
            error(code="invalid_value", param="session.audio.output.voice"),
            ("error", "invalid_value", "session.audio.output.voice"),
        ),
        (error(code="x", param="tools[0].name"), ("error", "x", "tools[0].name")),
        (
            {"type": FAILED, "error": {"code": "model_not_found"}},
            ("transcription", "model_not_found", ""),
        ),
        ({"type": FAILED}, ("transcription", UNREADABLE, "")),
        (done("failed", code="insufficient_quota"), ("response", "insufficient_quota", "")),
        ({"type": "response.done", "response": {"status": "failed"}}, ("response", UNREADABLE, "")),
        ({"type": "error", "error": "text"}, ("error", UNREADABLE, "")),
        ({"type": "error"}, ("error", UNREADABLE, "")),
    ],
)
def test_a_failure_has_a_part_a_code_and_a_parameter(
    event: Event, named: tuple[str, str, str]
) -> None:
    trouble = trouble_of(event)
    assert trouble is not None
    assert (trouble.part, trouble.code, trouble.param) == named


@pytest.mark.parametrize("status", ["completed", "cancelled", "incomplete"])
def test_an_answer_that_did_not_fail_is_no_trouble(status: str) -> None:
    assert trouble_of(done(status, code="x")) is None


def test_an_error_about_the_clients_own_event_is_told_from_one_about_ours() -> None:
    def answers(event_id: str | None) -> bool:
        trouble = trouble_of(error(code="x", event_id=event_id))
        return trouble is not None and trouble.is_answer

    assert answers("mine")
    assert not any(map(answers, (None, "relay_own_3", "relay-tool-1")))


@pytest.mark.parametrize(
    "text",
    [
        "I told my doctor about it",
        "sk-proj-0123456789abcdef",
        "0123456789abcdef0123456789abcdef",
        "a1b2c3d4e5f6a7b8c9d0e1f2a3b4c5d6",
        "line\nbreak",
        "x" * 200,
        "",
        7,
        None,
    ],
)
def test_words_and_keys_in_the_place_of_a_code_are_not_told(text: Any) -> None:
    assert safe_code(text) == UNREADABLE
    trouble = trouble_of(error(code="x", param=text))
    assert trouble is not None
    assert trouble.param in ("", text)
    assert " " not in trouble.param
    assert "-" not in trouble.param


def test_labels_are_few() -> None:
    labels = {trouble_of(error(code=f"code_{n}")).label for n in range(1000)}  # type: ignore[union-attr]
    assert labels == {"other"}
    assert close_label(1013) == "1013"
    assert {close_label(code) for code in range(3000, 5000)} == {"3xxx", "4xxx"}
    assert close_label(77) == "other"
