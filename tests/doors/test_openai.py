"""The OpenAI door: who gets in and as what."""

import dataclasses
from typing import Any

import pytest

from relay.agents.agent import Agent, AgentDefaults, StaticCatalog
from relay.doors.openai import OpenAIDoor
from relay.interfaces import Admission, ConnectRequest
from relay.realtime.dialects.client import BetaDialect, FirstBetaDialect, GaDialect
from relay.realtime.endings import (
    FORBIDDEN,
    UNAUTHORIZED,
    UNKNOWN_PATH,
    UNSUPPORTED_CALL,
    UNSUPPORTED_INTENT,
    Ending,
    SessionRefused,
)
from relay.realtime.grant import Bounds, Caller
from tests.doors.requests import admitted, asking, asking_with
from tests.realtime.agents import LOOK, LOOKUP, STRICT

WHISPER = {"model": "gpt-realtime-whisper"}
BEARER = {"Authorization": "Bearer good"}


class FakeVerifier:
    async def verify(self, token: str) -> Caller:
        if token != "good":
            raise SessionRefused(UNAUTHORIZED)
        return Caller(sub="u1", role="learner", expires_at=9e9, agent_id="tokens-agent")


DOOR = OpenAIDoor(
    FakeVerifier(), AgentDefaults(agent_id="default", model="gpt-realtime-2.1"), WHISPER
)


@pytest.mark.parametrize(
    ("path", "answers"),
    [
        ("/v1/realtime", True),
        ("/v1/realtime/", True),
        ("//v1//realtime", True),
        ("/realtime", True),
        ("/openai/v1/realtime", True),
        ("/v1/realtime/client_secrets", True),
        ("/v1", True),
        ("/openai/realtime", True),
        ("/", False),
        ("/v1realtime", False),
        ("/anything", False),
    ],
)
def test_its_paths_are_openais_and_what_is_near_them(path: str, answers: bool) -> None:
    assert DOOR.matches(asking(path)) is answers


async def test_a_caller_gets_the_agent_and_model_they_may_have() -> None:
    admission = await admitted(DOOR, asking_with(BEARER, model="gpt-realtime-mini"))
    assert admission.grant.caller.sub == "u1"
    assert admission.grant.model == "gpt-realtime-mini"
    assert admission.grant.agent_id == "tokens-agent"
    assert not admission.grant.relay_events
    assert not admission.first_shown
    assert admission.first_update["session"]["audio"]["input"]["transcription"] == WHISPER
    asked = await admitted(DOOR, asking_with(BEARER, agent_id="mine"))
    assert (asked.grant.agent_id, asked.grant.model) == ("mine", "gpt-realtime-2.1")


@pytest.mark.parametrize(
    ("connect", "ending"),
    [
        (asking(), UNAUTHORIZED),
        (asking_with({"Authorization": "Bearer bad"}), UNAUTHORIZED),
        (asking_with(BEARER, (), "/v1/unknown"), UNKNOWN_PATH),
        (asking_with(BEARER, (), "/openai/v1"), UNKNOWN_PATH),
        (asking_with(BEARER, intent="transcription"), UNSUPPORTED_INTENT),
        (asking_with(BEARER, call_id="rtc_1"), UNSUPPORTED_CALL),
        (asking_with(BEARER, call_id="rtc_1", intent="transcription"), UNSUPPORTED_CALL),
        (asking_with(BEARER, conversation_id="not-a-uuid"), FORBIDDEN),
    ],
)
async def test_who_is_refused(connect: ConnectRequest, ending: Ending) -> None:
    with pytest.raises(SessionRefused) as refused:
        await admitted(DOOR, connect)
    assert refused.value.ending == ending


@pytest.mark.parametrize(
    ("connect", "view"),
    [
        (asking(), GaDialect),
        (asking_with({"OpenAI-Beta": "realtime=v1"}), BetaDialect),
        (asking_with({}, ("realtime", "openai-beta.realtime-v1")), BetaDialect),
        (asking_with({"OpenAI-Beta": "assistants=v2"}), GaDialect),
    ],
)
def test_S3_24_beta_names_are_for_those_who_ask(connect: ConnectRequest, view: type) -> None:
    assert type(DOOR.dialect(connect)) is view


@pytest.mark.parametrize(
    ("version", "view"),
    [
        ("2024-10-01-preview", FirstBetaDialect),
        ("2025-04-01-preview", BetaDialect),
        ("2025-08-28", GaDialect),
        ("preview", GaDialect),
    ],
)
def test_azures_older_address_has_beta_names_in_a_preview(version: str, view: type) -> None:
    query = {"api-version": version, "deployment": "mine"}
    assert type(DOOR.dialect(asking("/openai/realtime", **query))) is view
    assert type(DOOR.dialect(asking("/openai/v1/realtime", **query))) is GaDialect


async def test_azures_deployment_is_the_model_that_is_asked_for() -> None:
    key, query = {"api-key": "good"}, {"api-version": "2025-08-28", "deployment": "mine"}
    admission = await admitted(DOOR, asking_with(key, (), "/openai/realtime", **query))
    assert admission.grant.model == "mine"
    both = asking_with(key, (), "/openai/v1/realtime", model="theirs", **query)
    assert (await admitted(DOOR, both)).grant.model == "theirs"


@pytest.mark.parametrize("intent", ["conversation", "", "None"])
async def test_a_conversation_is_what_one_gets_anyway(intent: str) -> None:
    admission = await admitted(DOOR, asking_with(BEARER, intent=intent))
    assert admission.grant.agent_id == "tokens-agent"


class FakeSecrets:
    """Every token is a client secret with these settings."""

    def __init__(self, session: dict[str, Any]) -> None:
        self._session = session

    async def verify(self, token: str) -> Caller:
        return Caller(sub="u1", role="learner", expires_at=9e9, session=self._session)


async def bound(session: dict[str, Any]) -> Admission:
    defaults = AgentDefaults(agent_id="default", model="gpt-realtime-2.1")
    door = OpenAIDoor(FakeSecrets(session), defaults, WHISPER)
    return await admitted(door, asking_with(BEARER, model="gpt-realtime-mini"))


async def test_the_settings_of_a_client_secret_are_the_clients_first_event() -> None:
    admission = await bound({"model": "gpt-realtime-1.5", "instructions": "Be brief."})
    assert admission.client_update == {
        "type": "session.update",
        "session": {"type": "realtime", "instructions": "Be brief."},
    }
    assert admission.grant.model == "gpt-realtime-1.5", "it is bound to this one"
    assert "instructions" not in admission.first_update["session"]


@pytest.mark.parametrize("session", [{}, {"type": "realtime"}])
async def test_a_client_secret_without_settings_adds_no_event(session: dict[str, Any]) -> None:
    admission = await bound(session)
    assert admission.client_update is None
    assert admission.grant.model == "gpt-realtime-mini"


@pytest.mark.parametrize(
    "connect", [asking_with(BEARER, relay="1"), asking_with(BEARER, ("relay.v1",))]
)
async def test_a_client_may_ask_for_the_relays_own_events(connect: ConnectRequest) -> None:
    assert (await admitted(DOOR, connect)).grant.relay_events


TUTOR = StaticCatalog({"tutor": Agent(STRICT, roles=frozenset({"learner"}))})
COACHES = StaticCatalog({"tutor": Agent(STRICT, roles=frozenset({"coach"}))})


def door_with(agents: StaticCatalog) -> OpenAIDoor:
    return OpenAIDoor(
        FakeVerifier(), AgentDefaults("tokens-agent", "gpt-realtime-2.1", agents), WHISPER
    )


async def test_an_agents_grant_is_applied() -> None:
    admission = await admitted(
        door_with(TUTOR), asking_with(BEARER, agent_id="tutor", model="gpt-realtime-mini")
    )
    assert admission.grant.model == "gpt-realtime-2.1", "the agent's, not the one asked for"
    assert admission.grant.instructions == STRICT.instructions
    session = admission.first_update["session"]
    assert session["instructions"] == STRICT.instructions
    assert session["tools"] == [LOOK, LOOKUP.definition]
    assert session["audio"]["output"]["voice"] == "sage"
    assert not admission.first_shown


@pytest.mark.parametrize(
    ("agents", "agent_id"), [(TUTOR, "other"), (TUTOR, ""), (COACHES, "tutor")]
)
async def test_S3_30_an_agent_that_is_not_the_callers_is_forbidden(
    agents: StaticCatalog, agent_id: str
) -> None:
    with pytest.raises(SessionRefused) as refused:
        await admitted(door_with(agents), asking_with(BEARER, agent_id=agent_id))
    assert refused.value.ending == FORBIDDEN


async def test_sound_is_paced_where_the_agent_asks_for_it() -> None:
    paced = dataclasses.replace(STRICT, bounds=Bounds(pace_ms=200))
    door = door_with(StaticCatalog({"tutor": Agent(paced)}))
    assert (await admitted(door, asking_with(BEARER, agent_id="tutor"))).pace_ms == 200
    assert (await admitted(DOOR, asking_with(BEARER))).pace_ms is None
