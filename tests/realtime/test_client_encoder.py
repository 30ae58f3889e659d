"""Events encoded for a client: dialect, redaction, refusals and the relay's own events."""

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.realtime.client_encoder import REDACTED_EVENTS, ClientEncoder, redact_for_client
from relay.realtime.dialects import beta
from relay.realtime.dialects.client import BetaDialect, BrowserDialect, GaDialect
from relay.realtime.effects import Effect, ToClient
from relay.realtime.events import BadEvent, Event, encode
from relay.realtime.grant import Grant
from relay.realtime.transcription_view import TranscriptionView
from tests.realtime.agents import LOOK, LOOKUP, OPEN, SECRET, STRICT, grant

SHOWN = TranscriptionView(always=True)
CREATED = {"type": "session.created", "session": {"id": "sess_1", "instructions": SECRET}}


def sent(effects: list[Effect]) -> list[Any]:
    return [json.loads(bytes(a.frame)) for a in effects if isinstance(a, ToClient)]


def test_an_unchanged_event_passes_as_it_came() -> None:
    frame = b'{ "type":"session.created", "session":{} }'
    (action,) = ClientEncoder(GaDialect(), OPEN, SHOWN).encode(json.loads(frame), frame)
    assert isinstance(action, ToClient)
    assert action.frame is frame


def test_what_the_grant_hides_is_removed() -> None:
    encoder = ClientEncoder(GaDialect(), grant(instructions=SECRET), SHOWN)
    assert SECRET not in str(sent(encoder.encode(CREATED, encode(CREATED))))


def test_an_event_is_translated_into_the_dialect_of_the_client() -> None:
    done = {"type": "response.output_audio.done", "item_id": "A1"}
    encoder = ClientEncoder(BetaDialect(), OPEN, SHOWN)
    assert sent(encoder.encode(done))[0]["type"] == "response.audio.done"
    unread = encoder.forward(encode(done), done["type"])
    assert sent(unread)[0]["type"] == "response.audio.done"


def test_refusals_are_numbered_and_name_the_clients_event() -> None:
    encoder = ClientEncoder(GaDialect(), OPEN, SHOWN)
    bad = BadEvent("No.", code="invalid_value", event_id="mine")
    first, second = sent([encoder.refuse(bad), encoder.refuse(bad)])
    assert first["error"]["event_id"] == "mine"
    assert first["event_id"] != second["event_id"]


def test_relay_events_go_only_to_clients_that_asked_for_them() -> None:
    event = {"type": "relay.paused"}
    assert sent(ClientEncoder(GaDialect(), OPEN, SHOWN).notify(event)) == []
    aware = ClientEncoder(GaDialect(), grant(relay_events=True), SHOWN)
    assert sent(aware.notify(event)) == [event]


def test_a_new_conversation_is_announced_only_in_a_dialect_with_an_event_for_it() -> None:
    assert ClientEncoder(GaDialect(), OPEN, SHOWN).announce("c1") == []
    (announced,) = sent(ClientEncoder(BrowserDialect(), OPEN, SHOWN).announce("c1"))
    assert announced["conversation_id"] == "c1"


DEFAULT = "Your knowledge cutoff is 2023-10. You are a helpful, witty, and friendly AI."
CALL = {
    "id": "item_2",
    "type": "function_call",
    "name": "lookup",
    "call_id": "call_1",
    "arguments": '{"id":"7"}',
}
ANSWER = {"id": "item_1", "type": "message", "role": "assistant", "content": []}


def updated(kind: str = "session.updated", **session: Any) -> Event:
    """A session as the engine describes it."""
    whole = {
        "type": "realtime",
        "object": "realtime.session",
        "id": "sess_1",
        "model": "gpt-realtime-2.1",
        "output_modalities": ["audio"],
        "instructions": SECRET,
        "tools": [LOOK, LOOKUP.definition],
        "tool_choice": "auto",
        "audio": {"input": {"transcription": None}, "output": {"voice": "sage", "speed": 1.0}},
    }
    return {"type": kind, "event_id": "event_1", "session": {**whole, **session}}


def done(kind: str = "response.done", **response: Any) -> Event:
    """A response as the engine describes it."""
    whole = {"id": "resp_1", "status": "completed", "output": [ANSWER, CALL], "usage": None}
    return {"type": kind, "event_id": "event_2", "response": {**whole, **response}}


@pytest.mark.parametrize("kind", ["session.created", "session.updated"])
def test_instructions_and_server_tools_are_hidden_and_nothing_else(kind: str) -> None:
    shown = redact_for_client(updated(kind), STRICT)
    assert shown == updated(kind, instructions="", tools=[LOOK])
    assert list(shown) == list(updated(kind)), "the type stays first, where it is sniffed"


def test_a_response_shows_neither_instructions_nor_server_tools() -> None:
    shown = redact_for_client(done(instructions=SECRET, tools=[LOOKUP.definition]), STRICT)
    assert shown == done(instructions="", tools=[], output=[ANSWER])
    shown = redact_for_client(done("response.created", output=[], tools=[LOOK]), STRICT)
    assert shown == done("response.created", output=[], tools=[LOOK])


def test_a_choice_of_a_server_tool_is_not_shown() -> None:
    choice = {"type": "function", "name": "lookup"}
    assert (
        redact_for_client(updated(tool_choice=choice), STRICT)["session"]["tool_choice"] == "auto"
    )
    assert redact_for_client(done(tool_choice=choice), STRICT)["response"]["tool_choice"] == "auto"
    own = {"type": "function", "name": "look"}
    assert redact_for_client(updated(tool_choice=own), STRICT)["session"]["tool_choice"] == own


@pytest.mark.parametrize(
    ("granted", "instructions", "shown"),
    [
        (grant(), "Mine.", "Mine."),
        (grant(voice="sage"), "Mine.", "Mine."),
        (grant(instructions=SECRET), DEFAULT, ""),
        (grant(instructions=SECRET), SECRET, ""),
        (grant(instructions=SECRET, hidden=frozenset()), SECRET, SECRET),
        (grant(instructions=SECRET, overridable=frozenset({"instructions"})), SECRET, ""),
        (
            grant(instructions=SECRET + "\n", overridable=frozenset({"instructions"})),
            SECRET + "!",
            "",
        ),
        (grant(instructions=SECRET, overridable=frozenset({"instructions"})), "Mine.", "Mine."),
    ],
)
def test_instructions_are_hidden_where_they_are_the_servers(
    granted: Grant, instructions: str, shown: str
) -> None:
    for event in (updated(instructions=instructions, tools=[]), done(instructions=instructions)):
        body = "session" if "session" in event else "response"
        assert redact_for_client(event, granted)[body]["instructions"] == shown


def test_hidden_tools_of_the_agent_are_left_out_but_not_the_clients_own() -> None:
    own = {"type": "function", "name": "own"}
    hiding = grant(tools=(LOOK,), hidden=frozenset({"tools"}), overridable=frozenset({"tools"}))
    assert redact_for_client(updated(tools=[LOOK, own]), hiding)["session"]["tools"] == [own]


def test_a_hidden_voice_is_left_out() -> None:
    hiding = grant(voice="sage", hidden=frozenset({"voice"}))
    audio = redact_for_client(updated(), hiding)["session"]["audio"]
    assert audio == {"input": {"transcription": None}, "output": {"speed": 1.0}}
    event = done(audio={"output": {"voice": "sage", "format": {"type": "audio/pcm"}}})
    assert redact_for_client(event, hiding)["response"]["audio"] == {
        "output": {"format": {"type": "audio/pcm"}}
    }


def test_a_call_of_a_server_tool_is_left_out_of_a_response() -> None:
    own = {**CALL, "name": "look"}
    odd = {**CALL, "name": ["lookup"]}
    event = done(output=[CALL, own, odd, None, ANSWER])
    assert redact_for_client(event, STRICT)["response"]["output"] == [own, odd, None, ANSWER]
    assert redact_for_client(event, OPEN) is event
    assert redact_for_client(event, grant(server_tools=(LOOKUP,), hidden=frozenset())) is event


@pytest.mark.parametrize(
    "event",
    [
        updated(instructions="", tools=[LOOK]),
        done(output=[ANSWER]),
        {"type": "session.updated", "session": None},
        {"type": "response.done", "response": []},
        {"type": "response.done", "response": {"output": None, "tools": None, "audio": None}},
        {"type": "response.output_item.done", "item": ANSWER},
        {"type": "error", "error": {"message": "no"}},
    ],
    ids=str,
)
def test_an_event_without_hidden_fields_is_the_same_object(event: Event) -> None:
    assert redact_for_client(event, STRICT) is event


@pytest.mark.parametrize("event", [updated(), done(instructions=SECRET)], ids=lambda e: e["type"])
def test_a_grant_that_hides_nothing_changes_no_event(event: Event) -> None:
    assert redact_for_client(event, OPEN) is event
    assert redact_for_client(event, grant(instructions="x", hidden=frozenset())) is event


def test_beta_clients_are_shown_as_little() -> None:
    told = beta.to_beta(redact_for_client(updated(), STRICT))
    assert told is not None
    assert SECRET not in json.dumps(told)
    assert told["session"]["tools"] == [LOOK]
    assert told["session"]["instructions"] == ""


LEAVES = st.sampled_from([None, "", "lookup", "look", SECRET, "function_call", 0, True])
NAMES = st.sampled_from(
    ["instructions", "tools", "name", "type", "output", "audio", "voice", "tool_choice", "x"]
)
VALUES = st.recursive(
    LEAVES | st.just(LOOKUP.definition) | st.just(CALL),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=10,
)


@given(
    st.sampled_from(sorted(REDACTED_EVENTS)),
    st.sampled_from(["session", "response"]),
    st.dictionaries(NAMES, VALUES, max_size=6),
)
def test_no_secret_is_shown_and_no_event_is_changed_in_place(
    kind: str, name: str, body: dict[str, Any]
) -> None:
    event = {"type": kind, name: body}
    before = copy.deepcopy(event)
    shown: Any = redact_for_client(event, STRICT)[name]
    assert event == before
    assert not shown.get("instructions")
    for listed, ours in (("tools", LOOKUP.definition), ("output", CALL)):
        entries = shown.get(listed)
        assert not isinstance(entries, list) or ours not in entries
