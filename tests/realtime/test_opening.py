"""Opening a session: the first updates, earlier words, the greeting and the announcement."""

import json
from dataclasses import replace
from typing import Any

from relay.realtime.client_encoder import ClientEncoder
from relay.realtime.dialects.client import BrowserDialect, GaDialect
from relay.realtime.earlier import MAX_CHARACTERS, MAX_TURNS, earlier_ids, seed_items
from relay.realtime.effects import ToClient, ToEngine
from relay.realtime.events import Event
from relay.realtime.grant import Bounds, Caller, Grant
from relay.realtime.items import InjectedItems
from relay.realtime.opening import (
    Announcement,
    SessionSetup,
    browser_session_update,
    granted_session_update,
    greeting,
    open_session,
)
from relay.realtime.requests import RequestTracker
from relay.realtime.transcription_view import TranscriptionView
from tests.realtime import wire_events as wire
from tests.realtime.agents import LOOK, LOOKUP, STRICT, WHISPER, grant
from tests.realtime.session_core import new_core
from tests.stores.words import LATER_SESSION, Call

SHOWN = TranscriptionView(always=True)
CALL = Call()


def begins(granted: Grant, *said: str) -> list[tuple[str, dict[str, object]]]:
    earlier = seed_items([CALL.user(text) for text in said])
    update = granted_session_update(granted, WHISPER)
    setup = SessionSetup(
        "s1", "c1", granted, GaDialect(), update, False, WHISPER, earlier_items=earlier
    )
    requests = RequestTracker()
    sent = []
    for action in open_session(setup, update, requests, InjectedItems(requests)):
        assert isinstance(action, ToEngine | ToClient)
        sent.append((type(action).__name__, json.loads(bytes(action.frame))))
    return sent


def test_the_engine_is_configured_first_and_then_asked_to_greet() -> None:
    kinds = [(to, event["type"]) for to, event in begins(grant(greeting="Hello."))]
    assert kinds == [("ToEngine", "session.update"), ("ToEngine", "response.create")]


def test_S3_52_what_was_said_before_goes_up_before_the_client_hears_anything() -> None:
    sent = begins(grant(relay_events=True, conversation_id="c1", greeting="Hello."), "One.", "Two.")
    assert [(to, event["type"]) for to, event in sent] == [
        ("ToEngine", "session.update"),
        ("ToEngine", "conversation.item.create"),
        ("ToEngine", "conversation.item.create"),
        ("ToClient", "relay.session"),
    ]


CALLER = Caller(sub="u1", role="learner", expires_at=2e9)


def test_S3_19_the_s3_door_configures_the_whole_session_in_ga_form() -> None:
    update = browser_session_update(Grant(caller=CALLER, agent_id="a1"), WHISPER, "verse")
    assert update == {
        "type": "session.update",
        "session": {
            "type": "realtime",
            "output_modalities": ["audio"],
            "audio": {
                "input": {
                    "format": {"type": "audio/pcm", "rate": 24000},
                    "transcription": WHISPER,
                    "turn_detection": {
                        "type": "server_vad",
                        "threshold": 0.5,
                        "prefix_padding_ms": 300,
                        "silence_duration_ms": 500,
                    },
                },
                "output": {"format": {"type": "audio/pcm", "rate": 24000}, "voice": "verse"},
            },
            "max_output_tokens": 4096,
        },
    }


def test_the_openai_door_asks_for_transcription_alone() -> None:
    assert granted_session_update(Grant(caller=CALLER, agent_id="a1"), WHISPER) == {
        "type": "session.update",
        "session": {"type": "realtime", "audio": {"input": {"transcription": WHISPER}}},
    }


def test_the_first_update_sets_what_the_grant_locks() -> None:
    tool = {"type": "function", "name": "look"}
    grant = Grant(
        caller=CALLER, agent_id="a1", voice="sage", instructions="Be kind.", tools=(tool,)
    )
    session = granted_session_update(grant, WHISPER)["session"]
    assert session["instructions"] == "Be kind."
    assert session["tools"] == [tool]
    assert session["audio"]["output"] == {"voice": "sage"}
    assert (
        browser_session_update(grant, WHISPER, "alloy")["session"]["audio"]["output"]["voice"]
        == "sage"
    )


def test_S3_88_instructions_and_tools_of_the_agent_are_applied_at_both_doors() -> None:
    for update in (
        granted_session_update(STRICT, WHISPER),
        browser_session_update(STRICT, WHISPER, "verse"),
    ):
        session = update["session"]
        assert session["instructions"] == STRICT.instructions
        assert session["tools"] == [LOOK, LOOKUP.definition]
        assert session["audio"]["output"]["voice"] == "sage"
        assert session["output_modalities"] == ["audio"]
        assert session["max_output_tokens"] == 1000


def test_S3_88_what_the_agent_does_not_set_is_as_the_door_has_it() -> None:
    session = browser_session_update(grant(instructions="Be kind."), WHISPER, "verse")["session"]
    assert session["audio"]["output"]["voice"] == "verse"
    assert session["max_output_tokens"] == 4096
    assert "tools" not in session
    assert "instructions" not in granted_session_update(grant(tools=()), WHISPER)["session"]
    assert granted_session_update(grant(tools=()), WHISPER)["session"]["tools"] == []
    written = grant(output_modalities=("text",), bounds=Bounds(max_output_tokens=8))
    assert browser_session_update(written, WHISPER, "verse")["session"]["output_modalities"] == [
        "text"
    ]


def test_server_tools_are_set_where_there_are_no_other_tools() -> None:
    session = granted_session_update(grant(server_tools=(LOOKUP,)), WHISPER)["session"]
    assert session["tools"] == [LOOKUP.definition]


def test_a_default_voice_yields_to_the_one_asked_for() -> None:
    half = grant(voice="sage", overridable=frozenset({"voice"}))
    assert (
        browser_session_update(half, WHISPER, "verse")["session"]["audio"]["output"]["voice"]
        == "verse"
    )
    assert granted_session_update(half, WHISPER)["session"]["audio"]["output"] == {"voice": "sage"}


def test_a_greeting_is_spoken_first_with_the_agents_instructions() -> None:
    assert greeting(grant()) is None
    asked = greeting(grant(greeting="Good morning!", instructions="Be kind."))
    assert asked is not None
    assert asked["type"] == "response.create"
    assert asked["response"]["instructions"].startswith("Be kind.\n\n")
    assert asked["response"]["instructions"].endswith("Good morning!")
    assert asked["response"]["tool_choice"] == "none", "it speaks, whatever tools there are"
    alone = greeting(grant(greeting="Good morning!"))
    assert alone is not None
    assert alone["response"]["instructions"].startswith("Begin the conversation now.")


def test_a_continued_conversation_is_not_greeted_again() -> None:
    assert greeting(grant(greeting="Good morning!", conversation_id="c1")) is None


def texts(items: tuple[dict[str, object], ...]) -> list[object]:
    return [item["content"][0]["text"] for item in items]  # type: ignore[index]


def test_S3_52_the_words_of_both_speakers_are_seeded_in_order() -> None:
    said = [CALL.user("My name is Ada."), CALL.assistant("Hello, Ada.")]
    assert seed_items(said) == (
        {
            "type": "message",
            "role": "user",
            "content": [{"type": "input_text", "text": "My name is Ada."}],
            "id": said[0].utterance.item_id,
        },
        {
            "type": "message",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "Hello, Ada."}],
            "id": said[1].utterance.item_id,
        },
    )


def test_of_two_items_of_one_id_only_the_later_is_known_by_it() -> None:
    """Ids are unique in a session; an engine of few words may use one again in the next."""
    first, answer = CALL.user("One."), CALL.assistant("So.")
    again = CALL.of(session_id=LATER_SESSION).user("Two.")
    assert first.utterance.item_id == again.utterance.item_id
    assert ["id" in item for item in seed_items([first, answer, again])] == [False, True, True]
    known = (answer.utterance.item_id, again.utterance.item_id)
    assert earlier_ids([first, answer, again]) == known


def test_of_an_interrupted_answer_only_what_was_heard_is_seeded() -> None:
    said = [
        CALL.assistant("One two three.", heard_text="One two", state="interrupted"),
        CALL.assistant("Never heard.", heard_text="", state="unheard"),
    ]
    assert texts(seed_items(said)) == ["One two"]


def test_only_the_latest_utterances_within_the_bounds_are_seeded() -> None:
    many = [CALL.user(f"{number}") for number in range(MAX_TURNS + 20)]
    assert texts(seed_items(many)) == [f"{number}" for number in range(20, MAX_TURNS + 20)]
    long = [CALL.user("a" * 10), CALL.user("b" * (MAX_CHARACTERS - 5)), CALL.user("c")]
    assert [text[0] for text in texts(seed_items(long))] == ["b", "c"]  # type: ignore[index]


def announcing(*earlier: str, **granted: Any) -> Announcement:
    setup = new_core(BrowserDialect(), created=False).setup
    grant = replace(setup.grant, **granted)
    said = seed_items([CALL.user(text) for text in earlier])
    setup = replace(setup, grant=grant, earlier_items=said)
    return Announcement(setup, ClientEncoder(BrowserDialect(), grant, SHOWN))


def answered(text: str = "Yo.", status: str = "completed", **more: object) -> Event:
    item = wire.message("A1", "assistant", {"type": "output_audio", "transcript": text})
    response = {"id": "R1", "status": status, "output": [item] if text else [], **more}
    return {"type": "response.done", "response": response}


def test_S3_27_a_conversation_is_announced_once_before_an_answer_with_words_is_done() -> None:
    it = announcing()
    assert it.observe(answered(text=""), 1.0) == []
    assert it.observe(wire.heard("U1", "Hi."), 1.0) == []
    assert len(it.observe(answered(), 1.0)) == 1
    assert it.observe(answered(), 1.0) == []


def test_a_new_conversation_that_the_client_named_is_announced_too() -> None:
    assert len(announcing(conversation_id="c1").observe(answered(), 1.0)) == 1


def test_S3_28_a_continued_conversation_is_not_announced() -> None:
    assert announcing("Hi.", conversation_id="c1").observe(answered(), 1.0) == []


def test_a_conversation_whose_words_are_not_stored_is_not_announced() -> None:
    assert announcing(store_text=False).observe(answered(), 1.0) == []


def test_a_greeting_that_the_learner_cuts_announces_nothing_and_the_next_answer_does() -> None:
    it = announcing()
    assert it.observe(answered(status="cancelled"), 1.0) == []
    assert len(it.observe(answered(), 1.0)) == 1


def test_nothing_is_announced_while_the_learner_speaks() -> None:
    it = announcing()
    it.observe(wire.speech_started("U1"), 1.0)
    assert it.observe(answered(), 1.0) == []
    it.observe(wire.committed("U1", None), 1.0)
    assert len(it.observe(answered(), 1.0)) == 1


def test_an_announcement_that_waits_for_a_cut_answer_is_made_before_another() -> None:
    it = announcing()
    it.observe(answered(), 1.0)
    it.cut("A0")
    assert not it.withdrawn()
    it.cut("A1")
    assert it.withdrawn()
    assert not it.withdrawn(), "once"
    assert len(it.observe(answered(), 1.0)) == 1


def test_an_out_of_band_answer_announces_nothing() -> None:
    assert announcing().observe(answered(conversation_id=None), 1.0) == []
