"""Tests of redaction (S3-61): no token, key or spoken word passes, anywhere in a log event."""

import base64
import json
import time

import jwt
import pytest
from pydantic import SecretStr

from relay.logs.redaction import (
    MASK,
    MAX_DEPTH,
    MAX_ITEMS,
    MAX_TEXT,
    MAX_TRACEBACK,
    PRIVATE_NAMES,
    Redactor,
)

TOKEN = jwt.encode({"sub": "private-user"}, "s" * 40, algorithm="HS256")
HEADER, PAYLOAD, SIGNATURE = TOKEN.split(".")

PRIVATE_TEXTS = [
    f"token {TOKEN} refused",
    f"GET /?token={TOKEN}&agent_id=a HTTP/1.1",
    "GET /?access_token=opaque-private-value&x=1",
    "GET /?agent_id=a&token=opaque%20private",
    "wss://p.supabase.co/realtime/v1/websocket?apikey=opaque-private&vsn=1.0.0",
    "redirect=%2F%3Ftoken%3Dopaque-private",
    f"Authorization: Bearer {TOKEN}",
    "authorization: bearer opaque-private-0123",
    f"Sec-WebSocket-Protocol: realtime, openai-insecure-api-key.{TOKEN}",
    "realtime, openai-insecure-api-key.opaque-private, relay.v1",
    "Incorrect API key provided: sk-proj-private0123456789. You can find",
    "Incorrect API key provided: sk-priva**************vate.",
    "client secret ek_private0123456789abcdef",
    "key sb_secret_private_0123456789",
    "https://user:private-password@proxy.example.org:3128/",
    '{"api_key": "private-value", "model": "gpt-realtime"}',
    "{'Authorization': 'x', 'refresh_token': 'private value'}",
    f"half a token {HEADER}.{PAYLOAD[:9]}",
    f"a token cut in its header {'eyJhbGciOiJFUzI1NiIsImtpZCI6InByaXZhdGUi'}",
    f"audio {base64.b64encode(b'private' * 40).decode()}",
]
FRAGMENTS = ["private", "priva*", "opaque", HEADER, PAYLOAD[:9], SIGNATURE, "cHJpdmF0Z", "eyJ"]


def clean(value):
    text = json.dumps(Redactor().event({"message": value}), ensure_ascii=False)
    return not any(fragment in text for fragment in FRAGMENTS)


@pytest.mark.parametrize("text", PRIVATE_TEXTS)
def test_S3_61_a_secret_is_masked_in_any_text(text):
    assert clean(text)
    assert clean({"deep": [{"er": (text,)}]})
    assert clean(ValueError(text))
    assert clean({text: 1})


@pytest.mark.parametrize("name", sorted(PRIVATE_NAMES))
def test_S3_61_the_value_of_a_private_name_is_masked(name):
    event = Redactor().event({name: "good morning", name.upper(): {"a": ["good morning"]}})
    assert set(event.values()) == {MASK}


def test_own_secrets_are_masked_whatever_they_look_like():
    redactor = Redactor(["hunter2-hunter2", "hunter2-hunter2-and-more", "short", ""])
    event = redactor.event({"message": "x hunter2-hunter2-and-more y hunter2-hunter2 short"})
    assert event["message"] == f"x {MASK} y {MASK} short"


@pytest.mark.parametrize(
    "text",
    [
        "session ended",
        "engine openai opened in 312 ms",
        "item_CbZfQ2kV8 truncated at 1200 ms",
        "sess_0b7f0c9e6f6e4c0e9d0f2f8a5f3b7c11",
        "5f0f3a52-6f2d-4a55-9f1e-0d7c1f6f1b11",
        "the token expired",
        "invalid_request_error.invalid_api_key",
        "ws://127.0.0.1:8080/v1/realtime?model=gpt-realtime-2.1",
        "task-force sk-SK risk-averse basic usage",
        "Zażółć gęślą jaźń — 你好",
    ],
)
def test_ordinary_text_is_not_masked(text):
    assert Redactor().event({"message": text}) == {"message": text}


def test_plain_values_are_unchanged():
    plain = {"a": 1, "b": 2.5, "c": True, "d": None, "e": ["x", 3], "f": {"g": "h"}}
    assert Redactor().event(plain) == plain


class Broken:
    def __str__(self) -> str:
        raise RuntimeError("private")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (float("nan"), "nan"),
        (float("inf"), "inf"),
        pytest.param(10**5000, "[unprintable int]", id="huge"),
        (b"private", "[7 bytes]"),
        (memoryview(b"private"), "[7 bytes]"),
        (SecretStr("private"), "**********"),
        (Broken(), "[unprintable Broken]"),
        ({1}, [1]),
        ("\ud800", "\ud800"),
    ],
)
def test_any_value_becomes_json(value, shown):
    event = Redactor().event({"value": value})
    assert event == {"value": shown}
    assert json.loads(json.dumps(event)) == event


def test_everything_is_bounded():
    endless: list[object] = []
    endless.append(endless)
    event = Redactor().event(
        {"long": "x y " * MAX_TEXT, "many": list(range(9999)), "deep": endless}
        | {str(n): n for n in range(9999)}
    )
    assert len(str(event["long"])) == MAX_TEXT
    assert event["many"] == list(range(MAX_ITEMS))
    assert str(event["deep"]).count("[") <= MAX_DEPTH + 3
    assert len(event) == MAX_ITEMS


def test_a_traceback_keeps_its_end():
    event = Redactor().event({"exception": "frame\n" * 9999 + f"ValueError: {TOKEN} was bad"})
    text = str(event["exception"])
    assert text.endswith(f"ValueError: {MASK} was bad")
    assert len(text) == MAX_TRACEBACK


def test_a_token_at_the_cut_is_masked():
    event = Redactor().event({"message": "x y " * (MAX_TEXT // 4 - 3) + TOKEN})
    assert HEADER[:8] not in str(event["message"])


@pytest.mark.parametrize(
    "piece",
    [
        *("ey", "eyaaaaaa.", "sk-", "sk-*", "token=", "-token", "'token'", "://a:", "bearer "),
        *("aB3", "token%3", "a.b", "token':      "),
    ],
)
def test_hostile_text_is_masked_quickly(piece):
    redactor, text = Redactor(), piece * (2 * MAX_TEXT // len(piece))
    start = time.process_time()
    redactor.event({"message": text})
    assert time.process_time() - start < 0.5, "some 5 ms; a rule that looks back takes seconds"
