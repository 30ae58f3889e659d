"""How a session begins."""

import json

from relay.realtime.dialects.client import GaDialect
from relay.realtime.effects import ToClient, ToEngine
from relay.realtime.grant import Grant
from relay.realtime.items import InjectedItems
from relay.realtime.opening import SessionSetup, open_session, openai_session_update, seed_items
from relay.realtime.requests import RequestTracker
from tests.realtime.agents import WHISPER, grant
from tests.stores.words import Call

CALL = Call()


def begins(granted: Grant, *said: str) -> list[tuple[str, dict[str, object]]]:
    before = seed_items([CALL.user(text) for text in said])
    update = openai_session_update(granted, WHISPER)
    setup = SessionSetup("s1", "c1", granted, GaDialect(), update, False, WHISPER, before=before)
    ledger = RequestTracker()
    told = []
    for action in open_session(setup, ledger, InjectedItems(ledger)):
        assert isinstance(action, ToEngine | ToClient)
        told.append((type(action).__name__, json.loads(bytes(action.frame))))
    return told


def test_the_engine_is_configured_first_and_then_asked_to_greet() -> None:
    kinds = [(to, event["type"]) for to, event in begins(grant(greeting="Hello."))]
    assert kinds == [("ToEngine", "session.update"), ("ToEngine", "response.create")]


def test_S3_52_what_was_said_before_goes_up_before_the_client_hears_anything() -> None:
    told = begins(grant(relay_events=True, conversation_id="c1", greeting="Hello."), "One.", "Two.")
    assert [(to, event["type"]) for to, event in told] == [
        ("ToEngine", "session.update"),
        ("ToEngine", "conversation.item.create"),
        ("ToEngine", "conversation.item.create"),
        ("ToClient", "relay.session"),
    ]
