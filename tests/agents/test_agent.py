"""Tests of agents: who may use them, and what a caller is granted."""

import dataclasses
import uuid

import pytest

from relay.agents.agent import (
    MAX_NAME,
    VOICES,
    Agent,
    AgentDefaults,
    OpenCatalog,
    SessionRequest,
    StaticCatalog,
    VoiceChoice,
    choose_voice,
    grant_for,
    plain_agent,
)
from relay.realtime.endings import FORBIDDEN, INTERNAL_ERROR, SessionRefused
from relay.realtime.grant import Bounds, Caller, Grant, Role


def caller(sub: str, role: Role = "learner") -> Caller:
    return Caller(sub=sub, role=role, expires_at=9e9)


@pytest.mark.parametrize(
    ("roles", "subs", "served"),
    [
        ((), (), {"ada", "grace"}),
        (("coach",), (), {"grace"}),
        ((), ("ada",), {"ada"}),
        (("coach",), ("ada",), {"ada", "grace"}),
        (("admin",), (), set()),
    ],
)
def test_an_agent_serves_the_roles_and_subjects_it_names(
    roles: tuple[str, ...], subs: tuple[str, ...], served: set[str]
) -> None:
    agent = Agent(plain_agent("a1").offer, frozenset(roles), frozenset(subs))
    callers = (caller("ada"), caller("grace", "coach"))
    assert {one.sub for one in callers if agent.serves(one)} == served


async def test_the_open_catalog_has_a_plain_agent_for_any_id() -> None:
    agent = await OpenCatalog().find("anything")
    assert agent is not None
    assert agent.offer.agent_id == "anything"
    assert agent.offer.locked_fields == {"model"}
    assert agent.serves(caller("ada"))


async def test_a_static_catalog_has_its_own_agents_only() -> None:
    known = StaticCatalog({"a1": plain_agent("a1")})
    assert await known.find("a1") == plain_agent("a1")
    assert await known.find("a2") is None


DEFAULTS = AgentDefaults(agent_id="default", model="gpt-realtime-2.1")
LEARNER = Caller("user-1", "learner", expires_at=1_800_000_000.0)
BOUND = Caller("user-1", "learner", expires_at=1_800_000_000.0, agent_id="from-token")
CONVERSATION = "0b7f0c9e-6f6e-4c0e-9d0f-2f8a5f3b7c11"


async def test_a_request_for_nothing_is_granted_the_defaults():
    assert await grant_for(LEARNER, SessionRequest(), DEFAULTS) == Grant(
        LEARNER, agent_id="default", model="gpt-realtime-2.1"
    )


async def test_a_request_for_everything_is_granted():
    asked = SessionRequest("agent-7", CONVERSATION, "gpt-realtime-2.1-mini", relay_events=True)
    assert await grant_for(LEARNER, asked, DEFAULTS) == Grant(
        LEARNER,
        agent_id="agent-7",
        model="gpt-realtime-2.1-mini",
        conversation_id=CONVERSATION,
        relay_events=True,
    )


@pytest.mark.parametrize(
    ("caller", "asked", "agent"),
    [
        (BOUND, "asked", "asked"),
        (BOUND, "", "from-token"),
        (BOUND, None, "from-token"),
        (LEARNER, None, "default"),
    ],
)
async def test_the_agent_is_the_requests_else_the_tokens_else_the_default(caller, asked, agent):
    assert (await grant_for(caller, SessionRequest(agent_id=asked), DEFAULTS)).agent_id == agent


@pytest.mark.parametrize("agent_id", ["x" * (MAX_NAME + 1), "a\nb", "a\x00"])
async def test_an_invalid_agent_id_is_forbidden(agent_id):
    with pytest.raises(SessionRefused) as refused:
        await grant_for(LEARNER, SessionRequest(agent_id=agent_id), DEFAULTS)
    assert refused.value.ending is FORBIDDEN


@pytest.mark.parametrize("asked", ["", None])
async def test_S3_2_an_empty_conversation_is_none(asked):
    assert (
        await grant_for(LEARNER, SessionRequest(conversation_id=asked), DEFAULTS)
    ).conversation_id is None


async def test_a_conversation_id_is_accepted_in_one_spelling():
    asked = SessionRequest(conversation_id=CONVERSATION.upper())
    assert (await grant_for(LEARNER, asked, DEFAULTS)).conversation_id == CONVERSATION


@pytest.mark.parametrize(
    "asked",
    [
        "1",
        "not-a-uuid",
        CONVERSATION[:-1],
        CONVERSATION + "0",
        CONVERSATION.replace("-", ""),
        f"{{{CONVERSATION}}}",
        uuid.UUID(CONVERSATION).urn,
        f" {CONVERSATION}",
        "' OR 1=1 --",
    ],
)
async def test_a_conversation_id_that_is_not_a_uuid_is_forbidden(asked):
    with pytest.raises(SessionRefused) as refused:
        await grant_for(LEARNER, SessionRequest(conversation_id=asked), DEFAULTS)
    assert refused.value.ending is FORBIDDEN


@pytest.mark.parametrize("asked", ["", "a b", "x&model=y", "é", "a" * (MAX_NAME + 1), "-x", "a\n"])
async def test_an_invalid_model_name_is_ignored(asked):
    assert (await grant_for(LEARNER, SessionRequest(model=asked), DEFAULTS)).model == DEFAULTS.model


@pytest.mark.parametrize("asked", [None, ""])
def test_S3_2_the_voice_defaults_to_alloy(asked):
    assert choose_voice(asked) == VoiceChoice("alloy", refused=None)


@pytest.mark.parametrize(
    "voice",
    ["alloy", "ash", "ballad", "coral", "echo", "sage", "shimmer", "verse", "marin", "cedar"],
)
def test_S3_45_every_voice_of_s3_and_ga_is_accepted(voice):
    assert choose_voice(voice) == choose_voice(voice.upper()) == VoiceChoice(voice)
    assert voice in VOICES


def test_S3_45_an_unknown_voice_falls_back_and_is_reported():
    assert choose_voice("robot") == VoiceChoice("alloy", refused="robot")
    assert choose_voice("x" * 9999).refused == "x" * MAX_NAME


def test_S3_45_the_fallback_is_the_agents_voice():
    assert choose_voice(None, "sage") == choose_voice("", "sage") == VoiceChoice("sage")
    assert choose_voice("ash", "sage") == VoiceChoice("ash")
    assert choose_voice("robot", "sage") == VoiceChoice("sage", refused="robot")


# ------------------------------------------------------------------------------------ with agents

OFFER = Grant(
    Caller("", "learner", 0.0),
    agent_id="tutor",
    voice="sage",
    instructions="Be kind.",
    greeting="Hello!",
    bounds=Bounds(session_seconds=60),
)
TUTOR = Agent(OFFER)
COACH = Caller("coach-1", "coach", expires_at=1_800_000_000.0)


def listed(agent, **more):
    agents = StaticCatalog({"tutor": agent, **more})
    return AgentDefaults(agent_id="default", model="gpt-realtime-2.1", agents=agents)


async def test_a_callers_grant_is_the_agents_offer():
    asked = SessionRequest("tutor", CONVERSATION, relay_events=True)
    assert await grant_for(LEARNER, asked, listed(TUTOR)) == dataclasses.replace(
        OFFER,
        caller=LEARNER,
        model="gpt-realtime-2.1",
        conversation_id=CONVERSATION,
        relay_events=True,
    )


@pytest.mark.parametrize("agent_id", ["other", None, "TUTOR"])
async def test_S3_30_an_unknown_agent_is_forbidden(agent_id):
    with pytest.raises(SessionRefused) as refused:
        await grant_for(LEARNER, SessionRequest(agent_id), listed(TUTOR))
    assert refused.value.ending is FORBIDDEN


@pytest.mark.parametrize(
    ("agent", "caller", "served"),
    [
        (TUTOR, LEARNER, True),
        (Agent(OFFER, roles=frozenset({"coach", "admin"})), LEARNER, False),
        (Agent(OFFER, roles=frozenset({"coach", "admin"})), COACH, True),
        (Agent(OFFER, subs=frozenset({"user-1"})), LEARNER, True),
        (Agent(OFFER, subs=frozenset({"user-2"})), LEARNER, False),
        (Agent(OFFER, roles=frozenset({"coach"}), subs=frozenset({"user-1"})), LEARNER, True),
        (Agent(OFFER, roles=frozenset({"coach"}), subs=frozenset({"user-2"})), COACH, True),
    ],
)
async def test_S3_30_an_agent_is_granted_to_the_callers_it_serves_only(agent, caller, served):
    if served:
        assert (await grant_for(caller, SessionRequest("tutor"), listed(agent))).agent_id == "tutor"
    else:
        with pytest.raises(SessionRefused) as refused:
            await grant_for(caller, SessionRequest("tutor"), listed(agent))
        assert refused.value.ending is FORBIDDEN


@pytest.mark.parametrize(
    ("set_by_agent", "is_open", "asked", "model"),
    [
        (None, False, None, "gpt-realtime-2.1"),
        (None, False, "gpt-realtime-mini", "gpt-realtime-mini"),
        ("gpt-realtime-1.5", False, "gpt-realtime-mini", "gpt-realtime-1.5"),
        ("gpt-realtime-1.5", True, "gpt-realtime-mini", "gpt-realtime-mini"),
        ("gpt-realtime-1.5", True, None, "gpt-realtime-1.5"),
        ("gpt-realtime-1.5", True, "no model", "gpt-realtime-1.5"),
    ],
)
async def test_the_agents_model_wins_unless_it_is_open(set_by_agent, is_open, asked, model):
    opened = frozenset({"model"} if is_open else ())
    agent = Agent(dataclasses.replace(OFFER, model=set_by_agent, overridable=opened))
    assert (
        await grant_for(LEARNER, SessionRequest("tutor", model=asked), listed(agent))
    ).model == model


async def test_the_tokens_agent_and_the_default_are_looked_up_in_the_catalog():
    plain = Agent(dataclasses.replace(OFFER, agent_id="default"))
    assert (
        await grant_for(LEARNER, SessionRequest(), listed(TUTOR, default=plain))
    ).agent_id == "default"
    bound = dataclasses.replace(LEARNER, agent_id="tutor")
    assert (
        await grant_for(bound, SessionRequest(), listed(TUTOR, default=plain))
    ).agent_id == "tutor"


async def test_an_unreadable_catalog_is_an_internal_error():
    class Unreachable:
        async def find(self, agent_id):
            raise SessionRefused(INTERNAL_ERROR)

    with pytest.raises(SessionRefused) as refused:
        await grant_for(LEARNER, SessionRequest(), AgentDefaults("default", "m", Unreachable()))
    assert refused.value.ending is INTERNAL_ERROR
