"""The rules of a session together: who sends what, and what becomes of it."""

import json

import pytest

from relay.realtime import endings
from relay.realtime.core import SessionCore
from relay.realtime.dialects.client import BetaDialect, BrowserDialect, ClientDialect, GaDialect
from relay.realtime.effects import (
    Effect,
    End,
    EngineRefused,
    EventRepaired,
    Flush,
    Ping,
    RecordUtterance,
    ToClient,
    VerifyToken,
)
from relay.realtime.endings import Ending
from relay.realtime.events import encode
from tests.realtime import wire_events as wire
from tests.realtime.coaching.test_muting import VAD, configured
from tests.realtime.session_core import (
    CREATED,
    UPDATED,
    WHISPER,
    from_engine,
    new_core,
    to_client,
    to_engine,
)


def test_S3_20_the_session_begins_with_session_created_and_one_update() -> None:
    core = new_core(created=False)
    effects = from_engine(core, CREATED)
    assert to_client(effects) == [CREATED]
    assert [event["type"] for event in to_engine(effects)] == ["session.update"]
    assert core.engine_ready
    assert to_engine(from_engine(core, CREATED)) == [], "S3-19: once"


def test_the_client_of_the_openai_door_does_not_see_our_update_answered() -> None:
    core = new_core()
    assert to_client(from_engine(core, UPDATED)) == []
    theirs = b'{"type":"session.update","session":{"type":"realtime"}}'
    assert to_engine(core.from_client(theirs, 1.0))[0]["session"] == {"type": "realtime"}
    assert to_client(from_engine(core, UPDATED)) == [UPDATED]


def test_a_browser_client_sees_it() -> None:
    assert [e["type"] for e in to_client(from_engine(new_core(BrowserDialect()), UPDATED))] == [
        "session.updated"
    ]


def test_nothing_from_before_session_created_reaches_the_client() -> None:
    core = new_core(created=False)
    error = {"type": "error", "error": {"code": "invalid_api_key", "message": "Incorrect: sk-123"}}
    assert from_engine(core, error) == [EngineRefused("invalid_api_key")]
    assert from_engine(core, {"type": "rate_limits.updated"}) == []
    assert core.from_engine(b"not json", "", 1.0) == []


def test_S3_22_engine_events_pass_untouched_known_or_not() -> None:
    core = new_core()
    for event in (
        {"type": "response.created", "response": {"x": 1}},
        {"type": "new.event", "a": [1]},
    ):
        assert to_client(from_engine(core, event)) == [event]
    assert core.from_engine(b"not json", "", 1.0) == [ToClient(b"not json")]


def test_a_session_paused_before_it_began_is_muted_after_its_first_update() -> None:
    core = new_core(created=False)
    core.commands.pause(0.5)
    effects = from_engine(core, configured(VAD))
    first, muting = (event["session"]["audio"]["input"] for event in to_engine(effects))
    assert first == {"transcription": WHISPER}
    assert muting["turn_detection"]["create_response"] is False


def test_an_event_that_no_rule_reads_is_not_decoded() -> None:
    frame = b'{"type":"rate_limits.updated", not read any further'
    (action,) = new_core().from_engine(frame, "rate_limits.updated", 1.0)
    assert isinstance(action, ToClient)
    assert action.frame is frame


def test_S3_21_client_events_go_up_with_all_their_fields() -> None:
    core = new_core()
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
    assert to_engine(core.from_client(encode(event), 1.0)) == [event]


def test_S3_44_bad_json_is_answered_and_kept_from_the_engine() -> None:
    for dialect, path in ((GaDialect(), "error"), (BrowserDialect(), "message")):
        (told,) = (effects := new_core(dialect).from_client(b"{oops", 1.0))
        assert isinstance(told, ToClient)
        assert to_engine(effects) == []
        error = to_client(effects)[0]
        assert error["type"] == "error"
        assert "JSON" in str(error[path])


def test_the_error_names_the_clients_event() -> None:
    effects = new_core().from_client(b'{"type":"nonsense","event_id":"mine"}', 1.0)
    assert to_client(effects)[0]["error"]["event_id"] == "mine"


def test_S3_25_an_old_clients_update_goes_up_as_ga() -> None:
    frame = b'{"type":"session.update","session":{"voice":"ash","input_audio_transcription":null}}'
    (update,) = to_engine(new_core(BrowserDialect()).from_client(frame, 1.0))
    assert update["session"]["audio"]["output"]["voice"] == "ash"
    assert update["session"]["audio"]["input"]["transcription"] == WHISPER


def test_S3_27_a_new_conversation_is_announced_once_before_the_first_answer_is_done() -> None:
    core = new_core(BrowserDialect())
    kinds: list[str] = []
    for event in [
        *wire.spoken_turn("U1", None),
        wire.heard("U1", "Hi."),
        *wire.answer("A1", "Yo.", "U1"),
    ]:
        kinds += [e["type"] for e in to_client(from_engine(core, event))]
    assert kinds.count("conversation.created") == 1
    assert kinds.index("conversation.created") == kinds.index("response.done") - 1
    again = [
        e["type"]
        for event in wire.answer("A2", "Yo.", "A1")
        for e in to_client(from_engine(core, event))
    ]
    assert "conversation.created" not in again


def test_S3_38_an_answer_without_a_word_makes_no_conversation() -> None:
    core = new_core(BrowserDialect())
    done = {"type": "response.done", "response": {"id": "r", "status": "failed", "output": []}}
    assert [e["type"] for e in to_client(from_engine(core, done))] == ["response.done"]


def test_words_are_recorded_after_they_were_shown() -> None:
    core = new_core()
    effects = [a for e in wire.typed("U1", "Hi", None) for a in from_engine(core, e)]
    kinds = [type(action).__name__ for action in effects]
    assert kinds == ["ToClient", "RecordUtterance", "ToClient"]
    assert isinstance(effects[1], RecordUtterance)
    assert effects[1].utterance.text == "Hi"


def test_a_locked_field_is_kept_back_and_an_aware_client_is_warned() -> None:
    frame = b'{"type":"session.update","session":{"type":"realtime","instructions":"Be rude."}}'
    silent = new_core(instructions="Be kind.").from_client(frame, 1.0)
    assert "instructions" not in to_engine(silent)[0]["session"]
    assert to_client(silent) == []
    aware = new_core(instructions="Be kind.", relay_events=True).from_client(frame, 1.0)
    (warning,) = to_client(aware)
    assert (warning["type"], warning["code"]) == ("relay.warning", "locked_fields")
    assert "instructions" in warning["message"]


@pytest.mark.parametrize(
    ("dialect", "names"),
    [
        (None, ["max_output_tokens", "audio.output.voice", "audio.output.format"]),
        (BetaDialect(), ["max_response_output_tokens", "voice", "output_audio_format"]),
        (BrowserDialect(), ["max_response_output_tokens", "voice", "output_audio_format"]),
    ],
    ids=["ga", "beta", "browser"],
)
def test_the_warning_names_fields_as_its_client_knows_them(
    dialect: ClientDialect | None, names: list[str]
) -> None:
    locked = frozenset({"max_output_tokens", "voice", "output_format"})
    core = new_core(dialect, extra_locks=locked, relay_events=True)
    audio = {"output": {"format": {"type": "audio/pcmu"}, "voice": "marin"}}
    session = {"type": "realtime", "max_output_tokens": 5, "audio": audio}
    flat = {"max_response_output_tokens": 5, "voice": "marin", "output_audio_format": "g711_ulaw"}
    given = session if dialect is None else flat
    effects = core.from_client(encode({"type": "session.update", "session": given}), 1.0)
    (warning,) = [event for event in to_client(effects) if event["type"] == "relay.warning"]
    told = warning["message"].removesuffix(".").split(": ")[1]
    assert sorted(told.split(", ")) == sorted(names)


def test_only_an_aware_client_gets_relay_session() -> None:
    aware = from_engine(new_core(created=False, relay_events=True), CREATED)
    assert to_client(aware)[1] == {
        "type": "relay.session",
        "session_id": "s1",
        "conversation_id": "c1",
        "expires_at": 9000,
    }
    plain = from_engine(new_core(created=False), CREATED)
    assert [event["type"] for event in to_client(plain)] == ["session.created"]


def test_a_fresh_token_is_checked_only_for_an_aware_client() -> None:
    frame = b'{"type":"relay.token","token":"abc"}'
    aware = new_core(relay_events=True)
    assert aware.from_client(frame, 1.0) == [VerifyToken("abc")]
    assert to_client(aware.from_client(b'{"type":"relay.token"}', 1.0))[0]["type"] == "error"
    assert to_client(new_core().from_client(frame, 1.0))[0]["type"] == "error"
    aware.renew_token(99_000.0)
    assert aware.deadlines.expires_at == 99_000.0


@pytest.mark.parametrize(
    ("kind", "ending"),
    [
        ("input_audio_buffer.speech_started", endings.IDLE_UNHEARD),  # and did not go on
        ("input_audio_buffer.speech_stopped", endings.ENGINE_TIMED_OUT),  # a turn is owed
        ("response.done", endings.IDLE),
    ],
)
def test_speech_and_answers_keep_a_session_from_being_idle(kind: str, ending: Ending) -> None:
    core = new_core()
    from_engine(core, {"type": kind}, now=200.0)
    assert not any(isinstance(effect, End) for effect in core.on_deadline(499.0))
    assert core.on_deadline(500.0) == [End(ending)]


def test_S3_51_the_client_is_pinged_when_it_is_time() -> None:
    core = new_core()
    assert Ping() not in core.on_deadline(29.0)
    assert Ping() in core.on_deadline(30.0)


def test_an_open_utterance_settles_when_the_session_ends() -> None:
    core = new_core()
    from_engine(core, wire.heard_delta("U1", "Hel"))
    assert [(u.text, u.state) for u in core.finish(2.0)] == [("Hel", "partial")]


def sound(item: str, milliseconds: int, core: SessionCore, now: float) -> None:
    core.transcript.add_audio(item, milliseconds)
    core.playout.received(item, milliseconds)
    core.playout.sent(item, milliseconds, now)


def spoken(core: SessionCore, text: str, milliseconds: int, now: float) -> list[Effect]:
    """An answer as it comes, all of its sound in one burst."""
    events = wire.answer("A1", text, None)
    effects = [a for event in events[:5] for a in from_engine(core, event, now)]
    sound("A1", milliseconds, core, now)
    return effects + [a for event in events[5:] for a in from_engine(core, event, now)]


def settled(effects: list[Effect]) -> list[tuple[str, str, int | None]]:
    return [
        (a.utterance.state, a.utterance.heard_text, a.utterance.heard_ms)
        for a in effects
        if isinstance(a, RecordUtterance)
    ]


def test_an_answer_settles_when_it_has_been_heard() -> None:
    core = new_core()
    assert settled(spoken(core, "one two three four", 2000, now=10.0)) == []
    assert core.next_deadline() < 30.0
    assert settled(core.on_deadline(11.0)) == []
    heard = core.on_deadline(core.next_deadline())
    assert settled(heard) == [("final", "one two three four", None)]


def test_S3_37_speaking_over_an_answer_that_was_all_sent_cuts_it_to_what_was_heard() -> None:
    core = new_core(BrowserDialect(), truncates=True)
    spoken(core, "one two three four", 2000, now=10.0)
    effects = from_engine(core, wire.speech_started("U2"), now=11.1)
    assert settled(effects) == [("interrupted", "one two", 1000)]
    (truncate,) = to_engine(effects)
    assert (truncate["type"], truncate["item_id"]) == ("conversation.item.truncate", "A1")
    assert truncate["audio_end_ms"] == 1000
    refused = {"type": "error", "error": {"code": "x", "event_id": truncate["event_id"]}}
    assert to_client(from_engine(core, refused, now=11.2)) == [], "the client never asked for that"


def turn_detection(**fields: object) -> dict[str, object]:
    return {"audio": {"input": {"turn_detection": {"type": "server_vad", **fields}}}}


@pytest.mark.parametrize("dialect", [BrowserDialect(), None])
@pytest.mark.parametrize("paced", [True, False])
def test_speech_that_does_not_interrupt_cuts_nothing(
    dialect: BrowserDialect | None, paced: bool
) -> None:
    core = new_core(dialect, truncates=paced) if dialect else new_core(truncates=paced)
    told = turn_detection(interrupt_response=False)
    from_engine(core, {"type": "session.updated", "session": told})
    spoken(core, "one two three four", 2000, now=10.0)
    effects = from_engine(core, wire.speech_started("U2"), now=11.1)
    assert (settled(effects), to_engine(effects)) == ([], [])
    assert [event["type"] for event in to_client(effects)] == ["input_audio_buffer.speech_started"]
    assert not [effect for effect in effects if isinstance(effect, Flush)]
    assert settled(core.on_deadline(core.next_deadline())) == [
        ("final", "one two three four", None)
    ]


def test_speech_interrupts_again_when_the_session_says_so() -> None:
    core = new_core()
    for interrupts in (False, True):
        told = turn_detection(interrupt_response=interrupts)
        from_engine(core, {"type": "session.updated", "session": told})
    spoken(core, "one two three four", 2000, now=10.0)
    effects = from_engine(core, wire.speech_started("U2"), now=11.1)
    assert settled(effects) == [("interrupted", "one two", 1000)]


def half_a_pair(event: dict[str, object]) -> bytes:
    """The frame of an event whose text `~` becomes the first half of a surrogate pair."""
    return encode(event).replace(b"~", b"\\ud83d")


def test_an_answer_with_half_a_surrogate_pair_is_read_and_shown_with_a_mark() -> None:
    core = new_core()
    effects: list[Effect] = []
    for event in wire.answer("A1", "Great ~", None):
        effects += core.from_engine(half_a_pair(event), event["type"], 10.0)
    assert settled(effects) == [("final", "Great \ufffd", None)]
    assert EventRepaired("engine") in effects
    shown = [e for e in to_client(effects) if e["type"] == "response.output_audio_transcript.done"]
    assert [event["transcript"] for event in shown] == ["Great \ufffd"]


def test_a_clients_half_emoji_reaches_the_engine_as_a_mark() -> None:
    core = new_core()
    item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "~"}]}
    effects = core.from_client(half_a_pair({"type": "conversation.item.create", "item": item}), 1.0)
    assert effects[0] == EventRepaired("client")
    (create,) = to_engine(effects)
    assert create["item"]["content"][0]["text"] == "\ufffd"


def test_a_client_that_truncates_by_itself_corrects_the_estimate() -> None:
    core = new_core()
    spoken(core, "one two three four", 2000, now=10.0)
    effects = from_engine(core, wire.speech_started("U2"), now=11.1)
    assert to_engine(effects) == []
    assert settled(effects) == [("interrupted", "one two", 1000)]
    acknowledged = {"type": "conversation.item.truncated", "item_id": "A1", "audio_end_ms": 1500}
    corrected = from_engine(core, acknowledged, now=11.2)
    assert settled(corrected) == [("interrupted", "one two three", 1500)]


def test_an_aware_clients_own_clock_is_exact() -> None:
    core = new_core(relay_events=True)
    spoken(core, "one two three four", 2000, now=10.0)
    report = {"type": "relay.playback", "item_id": "A1", "played_ms": 400}
    assert core.from_client(encode(report), 11.0) == []
    (action,) = (
        a
        for a in from_engine(core, wire.speech_started("U2"), 11.1)
        if isinstance(a, RecordUtterance)
    )
    assert (action.utterance.heard_ms, action.utterance.heard_estimated) == (500, False)
    for bad in (
        {"item_id": "A1"},
        {"item_id": 5, "played_ms": 5},
        {"item_id": "A1", "played_ms": True},
    ):
        (told,) = to_client(core.from_client(encode({"type": "relay.playback", **bad}), 11.0))
        assert told["type"] == "error"


def test_a_cancel_flushes_the_player_too() -> None:
    core = new_core()
    spoken(core, "one two three four", 2000, now=10.0)
    assert settled(core.from_client(b'{"type":"response.cancel"}', 11.1)) == [
        ("interrupted", "one two", 1000)
    ]


def test_a_session_that_ends_in_the_middle_of_an_answer_cuts_it_there() -> None:
    core = new_core()
    spoken(core, "one two three four", 2000, now=10.0)
    assert [(u.state, u.heard_text) for u in core.finish(11.1)] == [("interrupted", "one two")]


def test_a_client_that_truncates_has_stopped_playing_so_the_next_answer_starts_at_once() -> None:
    core = new_core()
    spoken(core, "one two three four", 20_000, now=10.0)
    truncate = {
        "type": "conversation.item.truncate",
        "item_id": "A1",
        "content_index": 0,
        "audio_end_ms": 900,
    }
    effects = core.from_client(encode(truncate), 11.1)
    assert [event["type"] for event in to_engine(effects)] == ["conversation.item.truncate"]
    assert core.playout.heard("A1", 99.0).ms == 1000
    core.playout.received("A2", 1000)
    core.playout.sent("A2", 1000, 12.0)
    assert core.playout.heard("A2", 12.6).ms == 500
    again = core.from_client(encode(truncate), 12.6)
    assert core.playout.heard("A2", 13.0).ms == 900, "what is over is not flushed again"
    assert settled(again) == []


def test_hidden_instructions_are_not_shown() -> None:
    core = new_core(created=False, instructions="Be kind, and never say why.")
    created = {
        **CREATED,
        "session": {"id": "sess_1", "instructions": "Be kind, and never say why."},
    }
    (shown, *_) = to_client(from_engine(core, created))
    assert "never say why" not in json.dumps(shown)
    updated = {
        **UPDATED,
        "session": {"id": "sess_1", "instructions": "Be kind, and never say why."},
    }
    from_engine(core, updated)
    assert all("never say why" not in json.dumps(e) for e in to_client(from_engine(core, updated)))


def test_a_greeting_makes_the_model_speak_first_and_only_in_a_new_conversation() -> None:
    asked_first = to_engine(from_engine(new_core(created=False, greeting="Welcome!"), CREATED))
    assert [event["type"] for event in asked_first] == ["session.update", "response.create"]
    assert "Welcome!" in asked_first[1]["response"]["instructions"]
    core = new_core(created=False, greeting="Welcome!", conversation_id="given")
    assert [event["type"] for event in to_engine(from_engine(core, CREATED))] == ["session.update"]


def test_an_item_that_the_grant_refuses_is_answered_by_an_error() -> None:
    core = new_core(instructions="Be kind.")
    unknown = {"type": "mcp_call", "role": "system"}
    create = {"type": "conversation.item.create", "event_id": "mine", "item": unknown}
    effects = core.from_client(encode(create), 1.0)
    assert to_engine(effects) == []
    assert to_client(effects)[0]["error"]["event_id"] == "mine"
