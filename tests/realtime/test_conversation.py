"""The rules of a session as a conversation: who sends what, and what becomes of it."""

import json
from typing import Any

import pytest

from relay.realtime import endings
from relay.realtime.core import SessionCore
from relay.realtime.deadlines import Deadlines, SessionLimits
from relay.realtime.dialects.client import BrowserDialect, ClientDialect, GaDialect
from relay.realtime.effects import (
    Effect,
    End,
    EngineRefused,
    Ping,
    RecordUtterance,
    ToClient,
    ToEngine,
    VerifyToken,
)
from relay.realtime.events import encode, sniff
from relay.realtime.grant import Caller, Grant
from relay.realtime.opening import SessionSetup, browser_session_update, openai_session_update
from tests.realtime import wire_events as wire
from tests.realtime.wire_events import Event

WHISPER = {"model": "gpt-realtime-whisper"}
CALLER = Caller(sub="u1", role="learner", expires_at=9000.0)
CREATED: Event = {"type": "session.created", "event_id": "e", "session": {"id": "sess_1"}}
UPDATED: Event = {"type": "session.updated", "event_id": "e", "session": {"id": "sess_1"}}


def conversation(
    view: ClientDialect | None = None,
    *,
    greeted: bool = True,
    truncates: bool = False,
    **granted: Any,
) -> SessionCore:
    grant = Grant(caller=CALLER, agent_id="a1", **granted)
    s3 = isinstance(view, BrowserDialect)
    setup = SessionSetup(
        session_id="s1",
        conversation_id=grant.conversation_id or "c1",
        grant=grant,
        view=view or GaDialect(),
        first_update=browser_session_update(grant, WHISPER, "alloy")
        if s3
        else openai_session_update(grant, WHISPER),
        first_shown=s3,
        transcription=WHISPER,
        truncates=truncates,
    )
    rules = SessionCore(setup, Deadlines(SessionLimits(10.0, 1800.0, 300.0, 9000.0), 0.0))
    if greeted:
        from_engine(rules, CREATED)
    return rules


def from_engine(rules: SessionCore, event: Event, now: float = 1.0) -> list[Effect]:
    frame = encode(event)
    return rules.from_engine(memoryview(frame), sniff(frame), now)


def seen(actions: list[Effect]) -> list[Event]:
    """What the client gets."""
    return [json.loads(bytes(a.frame)) for a in actions if isinstance(a, ToClient)]


def asked(actions: list[Effect]) -> list[Event]:
    """What the engine gets."""
    return [json.loads(bytes(a.frame)) for a in actions if isinstance(a, ToEngine)]


def test_S3_20_the_session_begins_with_session_created_and_one_update() -> None:
    rules = conversation(greeted=False)
    actions = from_engine(rules, CREATED)
    assert seen(actions) == [CREATED]
    assert [event["type"] for event in asked(actions)] == ["session.update"]
    assert rules.greeted
    assert asked(from_engine(rules, CREATED)) == [], "S3-19: once"


def test_the_client_of_the_openai_door_does_not_see_our_update_answered() -> None:
    rules = conversation()
    assert seen(from_engine(rules, UPDATED)) == []
    theirs = b'{"type":"session.update","session":{"type":"realtime"}}'
    assert asked(rules.from_client(theirs, 1.0))[0]["session"] == {"type": "realtime"}
    assert seen(from_engine(rules, UPDATED)) == [UPDATED]


def test_the_s3_client_sees_it() -> None:
    assert [e["type"] for e in seen(from_engine(conversation(BrowserDialect()), UPDATED))] == [
        "session.updated"
    ]


def test_nothing_from_before_the_greeting_reaches_the_client() -> None:
    rules = conversation(greeted=False)
    error = {"type": "error", "error": {"code": "invalid_api_key", "message": "Incorrect: sk-123"}}
    assert from_engine(rules, error) == [EngineRefused("invalid_api_key")]
    assert from_engine(rules, {"type": "rate_limits.updated"}) == []
    assert rules.from_engine(b"not json", "", 1.0) == []


def test_S3_22_engine_events_pass_untouched_known_or_not() -> None:
    rules = conversation()
    for event in (
        {"type": "response.created", "response": {"x": 1}},
        {"type": "new.event", "a": [1]},
    ):
        assert seen(from_engine(rules, event)) == [event]
    assert rules.from_engine(b"not json", "", 1.0) == [ToClient(b"not json")]


def test_an_event_that_no_rule_reads_is_not_decoded() -> None:
    frame = b'{"type":"rate_limits.updated", not read any further'
    (action,) = conversation().from_engine(frame, "rate_limits.updated", 1.0)
    assert isinstance(action, ToClient)
    assert action.frame is frame


def test_S3_21_client_events_go_up_with_all_their_fields() -> None:
    rules = conversation()
    event = {
        "type": "conversation.item.create",
        "event_id": "e7",
        "item": {
            "type": "message",
            "role": "user",
            "content": [],
            "new_field": {"deep": [1, None]},
        },
    }
    assert asked(rules.from_client(encode(event), 1.0)) == [event]


def test_S3_44_bad_json_is_answered_and_kept_from_the_engine() -> None:
    for view, path in ((GaDialect(), "error"), (BrowserDialect(), "message")):
        (told,) = (actions := conversation(view).from_client(b"{oops", 1.0))
        assert isinstance(told, ToClient)
        assert asked(actions) == []
        error = seen(actions)[0]
        assert error["type"] == "error"
        assert "JSON" in str(error[path])


def test_the_error_names_the_clients_event() -> None:
    actions = conversation().from_client(b'{"type":"nonsense","event_id":"mine"}', 1.0)
    assert seen(actions)[0]["error"]["event_id"] == "mine"


def test_S3_25_an_old_clients_update_goes_up_as_ga() -> None:
    frame = b'{"type":"session.update","session":{"voice":"ash","input_audio_transcription":null}}'
    (update,) = asked(conversation(BrowserDialect()).from_client(frame, 1.0))
    assert update["session"]["audio"]["output"]["voice"] == "ash"
    assert update["session"]["audio"]["input"]["transcription"] == WHISPER


def test_S3_27_a_new_conversation_is_announced_once_before_the_first_answer_is_done() -> None:
    rules = conversation(BrowserDialect())
    kinds: list[str] = []
    for event in [
        *wire.spoken_turn("U1", None),
        wire.heard("U1", "Hi."),
        *wire.answer("A1", "Yo.", "U1"),
    ]:
        kinds += [e["type"] for e in seen(from_engine(rules, event))]
    assert kinds.count("conversation.created") == 1
    assert kinds.index("conversation.created") == kinds.index("response.done") - 1
    again = [
        e["type"]
        for event in wire.answer("A2", "Yo.", "A1")
        for e in seen(from_engine(rules, event))
    ]
    assert "conversation.created" not in again


def test_S3_28_a_given_conversation_is_not_announced() -> None:
    rules = conversation(BrowserDialect(), conversation_id="given")
    events = [
        e for event in wire.answer("A1", "Yo.", None) for e in seen(from_engine(rules, event))
    ]
    assert "conversation.created" not in [event["type"] for event in events]


def test_S3_38_an_answer_without_a_word_makes_no_conversation() -> None:
    rules = conversation(BrowserDialect())
    done = {"type": "response.done", "response": {"id": "r", "status": "failed", "output": []}}
    assert [e["type"] for e in seen(from_engine(rules, done))] == ["response.done"]


def test_words_are_recorded_after_they_were_shown() -> None:
    rules = conversation()
    actions = [a for e in wire.typed("U1", "Hi", None) for a in from_engine(rules, e)]
    kinds = [type(action).__name__ for action in actions]
    assert kinds == ["ToClient", "RecordUtterance", "ToClient"]
    assert isinstance(actions[1], RecordUtterance)
    assert actions[1].utterance.text == "Hi"


def test_a_locked_field_is_kept_back_and_an_aware_client_is_warned() -> None:
    frame = b'{"type":"session.update","session":{"type":"realtime","instructions":"Be rude."}}'
    silent = conversation(instructions="Be kind.").from_client(frame, 1.0)
    assert "instructions" not in asked(silent)[0]["session"]
    assert seen(silent) == []
    aware = conversation(instructions="Be kind.", relay_events=True).from_client(frame, 1.0)
    (warning,) = seen(aware)
    assert (warning["type"], warning["code"]) == ("relay.warning", "locked_fields")
    assert "instructions" in warning["message"]


def test_only_a_client_that_asked_hears_of_the_relay() -> None:
    aware = from_engine(conversation(greeted=False, relay_events=True), CREATED)
    assert seen(aware)[1] == {
        "type": "relay.session",
        "session_id": "s1",
        "conversation_id": "c1",
        "expires_at": 9000,
    }
    plain = from_engine(conversation(greeted=False), CREATED)
    assert [event["type"] for event in seen(plain)] == ["session.created"]


def test_a_fresh_token_is_checked_only_for_an_aware_client() -> None:
    frame = b'{"type":"relay.token","token":"abc"}'
    aware = conversation(relay_events=True)
    assert aware.from_client(frame, 1.0) == [VerifyToken("abc")]
    assert seen(aware.from_client(b'{"type":"relay.token"}', 1.0))[0]["type"] == "error"
    assert seen(conversation().from_client(frame, 1.0))[0]["type"] == "error"
    aware.renewed(99_000.0)
    assert aware.deadlines.expires_at == 99_000.0


@pytest.mark.parametrize("kind", ["input_audio_buffer.speech_started", "response.done"])
def test_speech_and_answers_keep_a_session_from_being_idle(kind: str) -> None:
    rules = conversation()
    from_engine(rules, {"type": kind}, now=200.0)
    assert rules.due(499.0) == [Ping()]
    assert rules.due(500.0) == [End(endings.IDLE)]


def test_S3_51_when_it_is_time_the_client_is_pinged() -> None:
    rules = conversation()
    assert rules.due(29.0) == []
    assert rules.due(30.0) == [Ping()]


def test_what_is_open_at_the_end_is_settled() -> None:
    rules = conversation()
    from_engine(rules, wire.heard_delta("U1", "Hel"))
    assert [(u.text, u.state) for u in rules.finish(2.0)] == [("Hel", "partial")]


def sound(item: str, milliseconds: int, rules: SessionCore, now: float) -> None:
    rules.transcript.add_audio(item, milliseconds)
    rules.playout.received(item, milliseconds)
    rules.playout.sent(item, milliseconds, now)


def spoken(rules: SessionCore, text: str, milliseconds: int, now: float) -> list[Effect]:
    """An answer as it comes, all of its sound in one burst."""
    events = wire.answer("A1", text, None)
    actions = [a for event in events[:5] for a in from_engine(rules, event, now)]
    sound("A1", milliseconds, rules, now)
    return actions + [a for event in events[5:] for a in from_engine(rules, event, now)]


def settled(actions: list[Effect]) -> list[tuple[str, str, int | None]]:
    return [
        (a.utterance.state, a.utterance.heard_text, a.utterance.heard_ms)
        for a in actions
        if isinstance(a, RecordUtterance)
    ]


def test_an_answer_settles_when_it_has_been_heard() -> None:
    rules = conversation()
    assert settled(spoken(rules, "one two three four", 2000, now=10.0)) == []
    assert rules.next() < 30.0
    assert settled(rules.due(11.0)) == []
    assert settled(rules.due(rules.next())) == [("final", "one two three four", None)]


def test_S3_37_speaking_over_an_answer_that_was_all_sent_cuts_it_to_what_was_heard() -> None:
    rules = conversation(BrowserDialect(), truncates=True)
    spoken(rules, "one two three four", 2000, now=10.0)
    actions = from_engine(rules, wire.speech_started("U2"), now=11.1)
    assert settled(actions) == [("interrupted", "one two", 1000)]
    (truncate,) = asked(actions)
    assert (truncate["type"], truncate["item_id"]) == ("conversation.item.truncate", "A1")
    assert truncate["audio_end_ms"] == 1000
    refused = {"type": "error", "error": {"code": "x", "event_id": truncate["event_id"]}}
    assert seen(from_engine(rules, refused, now=11.2)) == [], "the client never asked for that"


def test_a_client_that_can_truncate_does_it_itself_and_its_word_counts() -> None:
    rules = conversation()
    spoken(rules, "one two three four", 2000, now=10.0)
    actions = from_engine(rules, wire.speech_started("U2"), now=11.1)
    assert asked(actions) == []
    assert settled(actions) == [("interrupted", "one two", 1000)]
    acknowledged = {"type": "conversation.item.truncated", "item_id": "A1", "audio_end_ms": 1500}
    corrected = from_engine(rules, acknowledged, now=11.2)
    assert settled(corrected) == [("interrupted", "one two three", 1500)]


def test_an_aware_clients_own_clock_is_exact() -> None:
    rules = conversation(relay_events=True)
    spoken(rules, "one two three four", 2000, now=10.0)
    report = {"type": "relay.playback", "item_id": "A1", "played_ms": 400}
    assert rules.from_client(encode(report), 11.0) == []
    (action,) = (
        a
        for a in from_engine(rules, wire.speech_started("U2"), 11.1)
        if isinstance(a, RecordUtterance)
    )
    assert (action.utterance.heard_ms, action.utterance.heard_estimated) == (500, False)
    for bad in (
        {"item_id": "A1"},
        {"item_id": 5, "played_ms": 5},
        {"item_id": "A1", "played_ms": True},
    ):
        (told,) = seen(rules.from_client(encode({"type": "relay.playback", **bad}), 11.0))
        assert told["type"] == "error"


def test_a_cancel_flushes_the_player_too() -> None:
    rules = conversation()
    spoken(rules, "one two three four", 2000, now=10.0)
    assert settled(rules.from_client(b'{"type":"response.cancel"}', 11.1)) == [
        ("interrupted", "one two", 1000)
    ]


def test_a_session_that_ends_in_the_middle_of_an_answer_cuts_it_there() -> None:
    rules = conversation()
    spoken(rules, "one two three four", 2000, now=10.0)
    assert [(u.state, u.heard_text) for u in rules.finish(11.1)] == [("interrupted", "one two")]


def test_a_client_that_truncates_has_stopped_playing_so_the_next_answer_starts_at_once() -> None:
    rules = conversation()
    spoken(rules, "one two three four", 20_000, now=10.0)
    truncate = {
        "type": "conversation.item.truncate",
        "item_id": "A1",
        "content_index": 0,
        "audio_end_ms": 900,
    }
    actions = rules.from_client(encode(truncate), 11.1)
    assert [event["type"] for event in asked(actions)] == ["conversation.item.truncate"]
    assert rules.playout.heard("A1", 99.0).ms == 1000
    rules.playout.received("A2", 1000)
    rules.playout.sent("A2", 1000, 12.0)
    assert rules.playout.heard("A2", 12.6).ms == 500
    again = rules.from_client(encode(truncate), 12.6)
    assert rules.playout.heard("A2", 13.0).ms == 900, "what is over is not flushed again"
    assert settled(again) == []


def test_what_is_hidden_is_not_shown() -> None:
    rules = conversation(greeted=False, instructions="Be kind, and never say why.")
    created = {
        **CREATED,
        "session": {"id": "sess_1", "instructions": "Be kind, and never say why."},
    }
    (shown, *_) = seen(from_engine(rules, created))
    assert "never say why" not in json.dumps(shown)
    updated = {
        **UPDATED,
        "session": {"id": "sess_1", "instructions": "Be kind, and never say why."},
    }
    from_engine(rules, updated)
    assert all("never say why" not in json.dumps(e) for e in seen(from_engine(rules, updated)))


def test_a_greeting_makes_the_model_speak_first_and_only_in_a_new_conversation() -> None:
    asked_first = asked(from_engine(conversation(greeted=False, greeting="Welcome!"), CREATED))
    assert [event["type"] for event in asked_first] == ["session.update", "response.create"]
    assert "Welcome!" in asked_first[1]["response"]["instructions"]
    rules = conversation(greeted=False, greeting="Welcome!", conversation_id="given")
    assert [event["type"] for event in asked(from_engine(rules, CREATED))] == ["session.update"]


def test_what_a_grant_refuses_is_an_error_and_goes_no_further() -> None:
    rules = conversation(instructions="Be kind.")
    system = {"type": "message", "role": "system", "content": [{"type": "input_text", "text": "x"}]}
    create = {"type": "conversation.item.create", "event_id": "mine", "item": system}
    actions = rules.from_client(encode(create), 1.0)
    assert asked(actions) == []
    assert seen(actions)[0]["error"]["event_id"] == "mine"
