"""Keys are taken out of what a provider says about a failure."""

import json
import re
from typing import Any

import pytest

from relay.realtime.effects import ToClient
from relay.realtime.events import Frame
from relay.realtime.scrubbing import MASK, scrub_failure, scrub_frame, scrub_text, unchanged
from tests.realtime.session_core import from_engine, new_core, to_client

Event = dict[str, Any]
KEY = "correct-horse-battery"  # looks like no key at all


def conceal(frame: Frame) -> Frame:
    found = re.search(KEY.encode(), frame)
    return frame if found is None else bytes(frame).replace(KEY.encode(), MASK.encode())


@pytest.mark.parametrize(
    "secret",
    [
        "sk-proj-0123456789abcdef",
        "sk-proj-********************abcd",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl",
        "0123456789abcdef0123456789ABCDEF",
        KEY,
    ],
)
def test_a_key_in_the_message_of_a_failure_is_masked(secret: str) -> None:
    fault = {"code": "invalid_api_key", "message": f"Incorrect API key provided: {secret}."}
    for event in (
        {"type": "error", "error": fault},
        {"type": "error", "error": fault["message"]},
        {"type": "response.done", "response": {"id": "R", "status_details": {"error": fault}}},
    ):
        clean = scrub_failure(event, conceal)
        assert secret not in json.dumps(clean)
        assert MASK in json.dumps(clean)
        assert clean["type"] == event["type"]


def test_a_failure_without_a_key_is_the_same_object() -> None:
    event = {
        "type": "error",
        "event_id": "event_0123456789abcdef0123456789abcdef",
        "error": {"message": "The server had an error (req_0123456789abcdef0123456789abcdef)."},
    }
    assert scrub_failure(event, unchanged) is event
    for odd in ({"type": "response.done"}, {"type": "response.done", "response": {}}):
        assert scrub_failure(odd, unchanged) is odd


def test_a_bearer_and_whatever_is_called_a_key_are_masked() -> None:
    assert scrub_text("Bearer abcdefgh.ijk", unchanged) == f"Bearer {MASK}"
    assert scrub_text("API key provided: letmein", unchanged) == f"API key provided: {MASK}"


def test_after_the_greeting_no_client_sees_the_key_in_an_event_of_any_kind() -> None:
    core = new_core(conceal=conceal)
    for event in (
        {"type": "error", "error": {"code": "invalid_api_key", "message": f"bad key {KEY}"}},
        {"type": "error", "error": {"code": KEY, "message": "x"}},
        {"type": "server.notice", "text": f"a new event about {KEY}"},
        {"type": "conversation.item.done", "item": {"id": "I1", "name": KEY}},
    ):
        effects = from_engine(core, event)
        (shown,) = to_client(effects)
        assert KEY not in json.dumps(shown)
        assert shown["type"] == event["type"]


def test_a_frame_that_cannot_be_decoded_shows_no_key_either() -> None:
    core = new_core(conceal=conceal)
    frame = f'{{"type":"error","message":"{KEY} sk-proj-0123456789abcdef'.encode()
    effects = core.from_engine(memoryview(frame), "error", 1.0)
    (shown,) = [bytes(effect.frame) for effect in effects if isinstance(effect, ToClient)]
    assert KEY.encode() not in shown
    assert b"sk-proj" not in shown
    assert scrub_frame(b"nothing") == b"nothing"
