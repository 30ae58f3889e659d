"""How OpenAI receives a connection, without a socket."""

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
    any_but_bad,
    judge,
    model_of,
    spoken_error,
)
from tests.engines.cascade.driving import valid

KEY = ("Authorization", "Bearer sk-good")
PROTOCOL = "Sec-WebSocket-Protocol"
OPEN = "/v1/realtime?model=gpt-realtime"


def request(path: str, *headers: tuple[str, str]) -> Request:
    return Request(path, Headers(headers))


@pytest.mark.parametrize(
    ("asked", "judged"),
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
def test_who_is_welcome(asked: Request, judged: UpgradeRefused | None):
    assert judge(asked, any_but_bad, frozenset({"gpt-realtime"})) == judged


def test_any_model_is_known_where_none_is_listed():
    assert judge(request("/v1/realtime?model=x", KEY), any_but_bad, None) is None


def test_a_model_may_have_any_name():
    assert model_of(request("/v1/realtime?model=my%20model%2F1")) == "my model/1"


def test_an_error_before_any_session_is_an_event():
    error = valid(json.loads(spoken_error(RequestRefused("invalid_api_key", "No."))))

    assert error["error"]["code"] == "invalid_api_key"
    assert error["error"]["event_id"] is None
