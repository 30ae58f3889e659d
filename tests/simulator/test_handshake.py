"""The handshake of OpenAI's server, without a socket."""

import json

import pytest
from websockets.datastructures import Headers
from websockets.http11 import Request

from relay.engines.cascade.effects import RequestRefused
from relay.simulator.handshake import (
    BAD_KEY,
    BAD_MODEL,
    BETA,
    NO_KEY,
    NO_MODEL,
    UpgradeRefused,
    accept_unless_bad,
    check_handshake,
    error_event,
    model_of,
)
from tests.engines.cascade.driving import valid

KEY = ("Authorization", "Bearer sk-good")
PROTOCOL = "Sec-WebSocket-Protocol"
OPEN = "/v1/realtime?model=gpt-realtime"


def request(path: str, *headers: tuple[str, str]) -> Request:
    return Request(path, Headers(headers))


@pytest.mark.parametrize(
    ("asked", "refusal"),
    [
        (request(OPEN, KEY), None),
        (request(OPEN, ("authorization", "bearer sk-good")), None),
        (request(OPEN, (PROTOCOL, "realtime, openai-insecure-api-key.ek_good")), None),
        (request(OPEN, (PROTOCOL, "realtime"), (PROTOCOL, "openai-insecure-api-key.e")), None),
        (request(OPEN), NO_KEY),
        (request(OPEN, ("Authorization", "Bearer ")), NO_KEY),
        (request(OPEN, ("Authorization", "Basic c2s6")), NO_KEY),
        (request(OPEN, (PROTOCOL, "realtime, openai-insecure-api-key.")), NO_KEY),
        (request(OPEN, ("Authorization", "Bearer bad")), BAD_KEY),
        (request(OPEN, (PROTOCOL, "openai-insecure-api-key.bad-one")), BAD_KEY),
        (request(OPEN, KEY, ("OpenAI-Beta", "realtime=v1")), BETA),
        (request(OPEN, KEY, (PROTOCOL, "realtime, openai-beta.realtime-v1")), BETA),
        (request("/v1/realtime", KEY), NO_MODEL),
        (request("/v1/realtime?intent=transcription", KEY), NO_MODEL),
        (request("/v1/realtime?model=unknown", KEY), BAD_MODEL),
    ],
)
def test_keys_models_and_shapes_that_are_accepted_or_refused(
    asked: Request, refusal: UpgradeRefused | None
):
    assert check_handshake(asked, accept_unless_bad, frozenset({"gpt-realtime"})) == refusal


def test_any_model_is_known_where_none_is_listed():
    assert check_handshake(request("/v1/realtime?model=x", KEY), accept_unless_bad, None) is None


def test_a_model_may_have_any_name():
    assert model_of(request("/v1/realtime?model=my%20model%2F1")) == "my model/1"


def test_an_error_before_any_session_is_an_event():
    error = valid(json.loads(error_event(RequestRefused("invalid_api_key", "No."))))

    assert error["error"]["code"] == "invalid_api_key"
    assert error["error"]["event_id"] is None
