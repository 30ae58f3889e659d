"""What a caller is granted where no agents are configured."""

import uuid

import pytest

from relay.access.grants import MAX_NAME, VOICES, Asked, Defaults, VoiceChoice, choose_voice, decide
from relay.realtime.endings import FORBIDDEN, Refused
from relay.realtime.grant import Caller, Grant

DEFAULTS = Defaults(agent_id="default", model="gpt-realtime-2.1")
LEARNER = Caller("user-1", "learner", expires_at=1_800_000_000.0)
BOUND = Caller("user-1", "learner", expires_at=1_800_000_000.0, agent_id="from-token")
CONVERSATION = "0b7f0c9e-6f6e-4c0e-9d0f-2f8a5f3b7c11"


def test_who_asks_for_nothing_gets_the_defaults():
    assert decide(LEARNER, Asked(), DEFAULTS) == Grant(
        LEARNER, agent_id="default", model="gpt-realtime-2.1"
    )


def test_who_asks_for_everything_gets_it():
    asked = Asked("agent-7", CONVERSATION, "gpt-realtime-2.1-mini", relay_events=True)
    assert decide(LEARNER, asked, DEFAULTS) == Grant(
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
def test_the_agent_is_asked_for_else_the_tokens_else_the_default(caller, asked, agent):
    assert decide(caller, Asked(agent_id=asked), DEFAULTS).agent_id == agent


@pytest.mark.parametrize("agent_id", ["x" * (MAX_NAME + 1), "a\nb", "a\x00"])
def test_what_cannot_be_an_agents_id_is_forbidden(agent_id):
    with pytest.raises(Refused) as refused:
        decide(LEARNER, Asked(agent_id=agent_id), DEFAULTS)
    assert refused.value.ending is FORBIDDEN


@pytest.mark.parametrize("asked", ["", None])
def test_S3_2_an_empty_conversation_is_none(asked):
    assert decide(LEARNER, Asked(conversation_id=asked), DEFAULTS).conversation_id is None


def test_a_conversation_has_one_spelling():
    asked = Asked(conversation_id=CONVERSATION.upper())
    assert decide(LEARNER, asked, DEFAULTS).conversation_id == CONVERSATION


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
def test_a_conversation_that_is_no_uuid_is_forbidden(asked):
    with pytest.raises(Refused) as refused:
        decide(LEARNER, Asked(conversation_id=asked), DEFAULTS)
    assert refused.value.ending is FORBIDDEN


@pytest.mark.parametrize("asked", ["", "a b", "x&model=y", "é", "a" * (MAX_NAME + 1), "-x", "a\n"])
def test_what_cannot_be_a_models_name_is_not_a_wish(asked):
    assert decide(LEARNER, Asked(model=asked), DEFAULTS).model == DEFAULTS.model


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


def test_S3_45_an_unknown_voice_falls_back_and_says_so():
    assert choose_voice("robot") == VoiceChoice("alloy", refused="robot")
    assert choose_voice("x" * 9999).refused == "x" * MAX_NAME
