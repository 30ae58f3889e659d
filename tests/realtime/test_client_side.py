"""What one client is told."""

import json
from typing import Any

from relay.realtime.client_encoder import ClientEncoder
from relay.realtime.dialects.client import BetaDialect, BrowserDialect, GaDialect
from relay.realtime.effects import Effect, ToClient
from relay.realtime.events import BadEvent, encode
from tests.realtime.agents import OPEN, SECRET, grant

CREATED = {"type": "session.created", "session": {"id": "sess_1", "instructions": SECRET}}


def told(actions: list[Effect]) -> list[Any]:
    return [json.loads(bytes(a.frame)) for a in actions if isinstance(a, ToClient)]


def test_an_event_that_nobody_changed_passes_as_it_came() -> None:
    frame = b'{ "type":"session.created", "session":{} }'
    (action,) = ClientEncoder(GaDialect(), OPEN).encode(json.loads(frame), frame)
    assert isinstance(action, ToClient)
    assert action.frame is frame


def test_what_the_grant_hides_is_not_in_it() -> None:
    side = ClientEncoder(GaDialect(), grant(instructions=SECRET))
    assert SECRET not in str(told(side.encode(CREATED, encode(CREATED))))


def test_an_event_goes_down_in_the_clients_own_dialect() -> None:
    done = {"type": "response.output_audio.done", "item_id": "A1"}
    assert told(ClientEncoder(BetaDialect(), OPEN).encode(done))[0]["type"] == "response.audio.done"
    unread = ClientEncoder(BetaDialect(), OPEN).forward(encode(done), done["type"])
    assert told(unread)[0]["type"] == "response.audio.done"


def test_refusals_are_numbered_and_name_the_clients_event() -> None:
    side = ClientEncoder(GaDialect(), OPEN)
    bad = BadEvent("No.", code="invalid_value", event_id="mine")
    first, second = told([side.refuse(bad), side.refuse(bad)])
    assert first["error"]["event_id"] == "mine"
    assert first["event_id"] != second["event_id"]


def test_the_relays_own_events_are_for_who_asked_for_them() -> None:
    event = {"type": "relay.paused"}
    assert told(ClientEncoder(GaDialect(), OPEN).notify(event)) == []
    aware = ClientEncoder(GaDialect(), grant(relay_events=True))
    assert told(aware.notify(event)) == [event]


def test_a_new_conversations_id_is_for_the_door_that_has_a_word_for_it() -> None:
    assert ClientEncoder(GaDialect(), OPEN).announce("c1") == []
    assert told(ClientEncoder(BrowserDialect(), OPEN).announce("c1"))[0]["conversation_id"] == "c1"
