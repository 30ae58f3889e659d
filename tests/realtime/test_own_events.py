"""The events of the relay's own making."""

import pytest

from relay.realtime import events as own_events
from relay.realtime.dialects.client import GaDialect
from relay.realtime.events import BadEvent, Event, PlaybackReport, TokenRenewal, read_own
from relay.realtime.grant import Caller, Grant
from relay.realtime.opening import SessionSetup, openai_session_update, session_info_event


def test_hello_says_which_session_and_conversation_this_is() -> None:
    grant = Grant(caller=Caller(sub="u1", role="learner", expires_at=99.7), agent_id="a1")
    setup = SessionSetup(
        "s1", "c1", grant, GaDialect(), openai_session_update(grant, {}), False, {}
    )
    assert session_info_event(setup) == {
        "type": "relay.session",
        "session_id": "s1",
        "conversation_id": "c1",
        "expires_at": 99,
    }


def test_a_warning_names_every_field_that_was_taken_out() -> None:
    warning = own_events.locked_fields(["model", "voice"])
    assert (warning["type"], warning["code"]) == ("relay.warning", "locked_fields")
    assert "model, voice" in warning["message"]


def test_a_truncation_says_how_much_was_heard() -> None:
    assert own_events.truncate("A1", 700) == {
        "type": "conversation.item.truncate",
        "item_id": "A1",
        "content_index": 0,
        "audio_end_ms": 700,
    }


def test_an_event_for_the_relay_itself_is_told_from_one_of_the_api() -> None:
    assert read_own({"type": "relay.token", "token": "t"}) == TokenRenewal("t")
    played = {"type": "relay.playback", "item_id": "A1", "played_ms": 700}
    assert read_own(played) == PlaybackReport("A1", 700)
    assert read_own({"type": "response.create"}) is None


@pytest.mark.parametrize(
    ("event", "param"),
    [
        ({"type": "relay.token"}, "token"),
        ({"type": "relay.playback", "played_ms": 7}, "item_id"),
        ({"type": "relay.playback", "item_id": "A1", "played_ms": True}, "played_ms"),
        ({"type": "relay.playback", "item_id": "A1", "played_ms": "7"}, "played_ms"),
    ],
)
def test_a_refusal_names_the_field_and_the_clients_event(event: Event, param: str) -> None:
    with pytest.raises(BadEvent) as refusal:
        read_own({**event, "event_id": "mine"})
    bad = refusal.value
    assert (bad.code, bad.param, bad.event_id) == ("invalid_type", param, "mine")


def test_a_budget_never_shows_less_than_nothing() -> None:
    assert own_events.budget(1200) == {"type": "relay.budget", "left": 1200}
    assert own_events.budget(-7)["left"] == 0
