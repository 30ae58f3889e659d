"""What each kind of client is sent: frames, errors, announcements and farewells."""

import json
from dataclasses import replace

import pytest

from relay.realtime import endings, events
from relay.realtime.dialects.client import (
    BetaDialect,
    BrowserDialect,
    ClientDialect,
    FirstBetaDialect,
    GaDialect,
)
from relay.realtime.endings import Ending

DELTA = b'{"type":"response.output_audio.delta","event_id":"e","delta":"AAAA"}'
ADDED = (
    b'{"type":"conversation.item.added","event_id":"e",'
    b'"item":{"id":"i","type":"message","role":"user","content":[]}}'
)
ERROR = events.error("No.", code="invalid_json", client_event_id=None, event_id="e")


def test_S3_24_a_ga_client_gets_frames_as_they_came() -> None:
    assert GaDialect().down(DELTA, "response.output_audio.delta", None) is DELTA


@pytest.mark.parametrize("dialect", [BetaDialect(), BrowserDialect(), FirstBetaDialect()])
def test_S3_23_a_beta_client_is_sent_beta_names(dialect: ClientDialect) -> None:
    renamed = dialect.down(DELTA, "response.output_audio.delta", None)
    assert json.loads(bytes(renamed or b"")) == {
        "type": "response.audio.delta",
        "event_id": "e",
        "delta": "AAAA",
    }
    created = dialect.down(ADDED, "conversation.item.added", None)
    assert json.loads(bytes(created or b""))["type"] == "conversation.item.created"
    assert (
        dialect.down(b'{"type":"conversation.item.done"}', "conversation.item.done", None) is None
    )


@pytest.mark.parametrize(
    "kind",
    [
        "conversation.item.input_audio_transcription.delta",
        "input_audio_buffer.timeout_triggered",
        "session.weather.updated",
    ],
)
def test_a_client_of_the_first_beta_is_sent_nothing_that_came_later(kind: str) -> None:
    """Azure's rt-client ends its call at an event that it does not know."""
    frame = json.dumps({"type": kind, "event_id": "e"}).encode()
    assert FirstBetaDialect().down(frame, kind, None) is None
    assert BetaDialect().down(frame, kind, None) is frame


def test_S3_26_the_engines_conversation_created_is_not_shown() -> None:
    frame = b'{"type":"conversation.created","conversation":{"id":"conv_1"}}'
    assert BrowserDialect().down(frame, "conversation.created", None) is None
    assert BrowserDialect().announce("c1") == {
        "type": "conversation.created",
        "conversation_id": "c1",
    }
    assert GaDialect().announce("c1") is None
    assert BetaDialect().announce("c1") is None


def test_S3_25_a_beta_clients_update_is_translated_to_ga() -> None:
    update = {
        "type": "session.update",
        "session": {"voice": "ash", "modalities": ["text", "audio"]},
    }
    session = BrowserDialect().up(update)["session"]
    assert session["type"] == "realtime"
    assert session["audio"]["output"]["voice"] == "ash"
    assert GaDialect().up(update) is update


def test_the_relays_own_errors_have_the_shape_of_the_dialect() -> None:
    assert GaDialect().error(ERROR) is ERROR
    assert BetaDialect().error(ERROR) == ERROR
    told = BrowserDialect().error(ERROR)
    assert (told["error"], told["code"], told["message"]) == ("No.", "invalid_json", "No.")


@pytest.mark.parametrize("ending", endings.ALL, ids=lambda ending: ending.name)
def test_every_ending_has_a_valid_farewell_in_every_dialect(ending: Ending) -> None:
    for dialect in (GaDialect(), BetaDialect(), BrowserDialect()):
        farewell = dialect.farewell(ending)
        assert len(farewell.reason.encode()) <= 123
        assert farewell.code not in (1005, 1006, 1015), "never sent on the wire"
        assert all(event["type"] == "error" for event in farewell.events)


@pytest.mark.parametrize(
    "ending", [endings.UNAUTHORIZED, endings.TOKEN_TOO_LONG], ids=lambda ending: ending.name
)
def test_an_invalid_token_ends_a_ga_session_as_at_openai(ending: Ending) -> None:
    farewell = GaDialect().farewell(ending)
    assert (farewell.code, farewell.reason) == (3000, "invalid_request_error.invalid_api_key")
    assert farewell.events[0]["error"]["code"] == "invalid_api_key"
    assert farewell.events[0]["error"]["message"] == ending.advice


@pytest.mark.parametrize(
    ("ending", "code", "reason"),
    [
        (endings.AT_CAPACITY, 1008, "Server at capacity"),
        (endings.MISSING_PARAMETERS, 4000, "Missing token or agent_id"),
        (endings.UNAUTHORIZED, 4001, "Unauthorized"),
        (endings.NO_PROVIDER_KEY, 1011, "OpenAI API key not configured"),
        (endings.INTERNAL_ERROR, 1011, "Internal server error"),
        (endings.ENGINE_CLOSED, 1011, "OpenAI connection closed"),
        (endings.CLIENT_LEFT, 1000, ""),
    ],
    ids=lambda value: str(value)[:24],
)
def test_S3_3_S3_8_S3_11_the_older_front_end_has_its_own_close_codes(
    ending: Ending, code: int, reason: str
) -> None:
    farewell = BrowserDialect().farewell(ending)
    assert (farewell.code, farewell.reason) == (code, reason)


def test_S3_12_the_older_front_end_is_told_of_a_lost_engine_by_an_event() -> None:
    told = BrowserDialect().farewell(endings.ENGINE_CLOSED).events
    assert told == ({"type": "error", "error": "OpenAI connection error"},)


def test_elsewhere_a_server_at_capacity_closes_with_1013() -> None:
    assert GaDialect().farewell(endings.AT_CAPACITY).code == 1013


FINAL = [ending for ending in endings.ALL if ending.final]


@pytest.mark.parametrize("dialect", [GaDialect(), BetaDialect()])
@pytest.mark.parametrize("ending", FINAL, ids=lambda ending: ending.name)
def test_a_refusal_that_a_retry_cannot_mend_has_a_code_on_which_clients_stop(
    ending: Ending, dialect: ClientDialect
) -> None:
    """LiveKit's plugin looks at the code and at the type, openai-python at the close code."""
    farewell = dialect.farewell(ending)
    error = farewell.events[0]["error"]
    assert endings.FINAL_CODES & {error["code"], error["type"]}
    assert error["message"] == ending.advice


def test_what_a_retry_can_mend_keeps_the_relays_own_name() -> None:
    for ending in set(endings.ALL) - set(FINAL):
        for event in GaDialect().farewell(ending).events:
            error = event["error"]
            assert error["code"] == ending.name
            assert not endings.FINAL_CODES & {error["code"], error["type"]}


@pytest.mark.parametrize("ending", [endings.UNKNOWN_PATH, endings.UNSUPPORTED_INTENT])
def test_a_wrong_address_is_still_named(ending: Ending) -> None:
    error = GaDialect().farewell(ending).events[0]["error"]
    assert (error["code"], error["type"]) == (ending.name, "invalid_api_key")


def test_a_braked_caller_is_told_how_long_to_wait() -> None:
    farewell = GaDialect().farewell(replace(endings.TOO_MANY_RECONNECTS, retry_after_ms=1500))
    assert farewell.events[0]["error"]["retry_after_ms"] == 1500
    assert (farewell.code, farewell.reason) == (4029, "Too many requests")
    assert "retry_after_ms" not in GaDialect().farewell(endings.FORBIDDEN).events[0]["error"]


def test_at_the_browser_door_the_text_says_it() -> None:
    ending = replace(endings.TOO_MANY_RECONNECTS, advice="Wait 2 seconds.", retry_after_ms=1500)
    farewell = BrowserDialect().farewell(ending)
    assert farewell.events == (
        {
            "type": "error",
            "error": "Wait 2 seconds.",
            "code": "too_many_reconnects",
            "message": "Wait 2 seconds.",
            "event_id": None,
            "retry_after_ms": 1500,
        },
    )
    assert (farewell.code, farewell.reason) == (4029, "Too many requests")
    assert BrowserDialect().farewell(endings.TOO_MANY_REQUESTS).events == ()


def test_a_refusing_engine_is_a_lost_one_to_the_older_front_end() -> None:
    for code in endings.FINAL_CODES:
        told = BrowserDialect().farewell(endings.engine_refused(code))
        assert told == BrowserDialect().farewell(endings.ENGINE_CLOSED)


GA_FAULTS = [
    ("session.audio.input.turn_detection.threshold", "session.turn_detection.threshold"),
    ("session.audio.output.voice", "session.voice"),
    ("session.audio.input.transcription.model", "session.input_audio_transcription.model"),
    ("session.audio.input.noise_reduction", "session.input_audio_noise_reduction"),
    ("session.audio.input.format.type", "session.input_audio_format"),
    ("session.audio.output.format.rate", "session.output_audio_format"),
    ("session.audio.output.speed", "session.speed"),
    ("session.output_modalities", "session.modalities"),
    ("session.output_modalities[0]", "session.modalities[0]"),
    ("session.max_output_tokens", "session.max_response_output_tokens"),
    ("response.audio.output.voice", "response.voice"),
    ("audio.output.voice", "voice"),
    ("session.instructions", "session.instructions"),
    ("item.content[0].type", "item.content[0].type"),
    ("max_output_tokens", "max_output_tokens"),
    ("my_session.audio.output.voices", "my_session.audio.output.voices"),
]


@pytest.mark.parametrize(("ga", "beta"), GA_FAULTS)
def test_errors_name_the_fields_as_a_beta_client_knows_them(ga: str, beta: str) -> None:
    error = events.error(f"Invalid '{ga}': no.", code="invalid_value", param=ga, event_id="e")
    frame = events.encode(error)
    for told in (
        BetaDialect().error(error),
        json.loads(bytes(BetaDialect().down(frame, "error", None) or b"")),
        json.loads(bytes(BetaDialect().down(frame, "error", error) or b"")),
    ):
        assert (told["error"]["param"], told["error"]["message"]) == (
            beta,
            f"Invalid '{beta}': no.",
        )
        assert told["error"]["code"] == "invalid_value"
    assert GaDialect().down(frame, "error", error) is frame
    assert BrowserDialect().error(error)["error"] == f"Invalid '{beta}': no."


@pytest.mark.parametrize(
    ("fault", "said", "code"),
    [
        ({"message": "No.", "code": "c", "type": "t"}, "No.", "c"),
        ({"message": None, "code": "c", "type": "t"}, "c", "c"),
        ({"message": "", "code": None, "type": "server_error"}, "server_error", None),
        ({}, "Unknown error", None),
        ("No.", "No.", None),
        (None, "Unknown error", None),
        ([1], "Unknown error", None),
    ],
)
def test_at_the_browser_door_every_error_of_the_engine_is_a_string(
    fault: object, said: str, code: str | None
) -> None:
    frame = events.encode({"type": "error", "event_id": "e", "error": fault})
    told = json.loads(bytes(BrowserDialect().down(frame, "error", None) or b""))
    assert (told["type"], told["error"], told["message"], told["code"]) == (
        *("error", said, said),
        code,
    )
