"""The S3 door: its parameters, in its order."""

import dataclasses

import pytest

from relay.agents.agent import Agent, AgentDefaults, StaticCatalog
from relay.doors.browser import PACE_MS, BrowserDoor
from relay.interfaces import ConnectRequest
from relay.realtime.dialects.client import BrowserDialect
from relay.realtime.endings import (
    FORBIDDEN,
    MISSING_PARAMETERS,
    UNAUTHORIZED,
    Ending,
    SessionRefused,
)
from relay.realtime.grant import Bounds, Grant
from tests.doors.requests import admitted, asking
from tests.doors.test_openai import FakeVerifier
from tests.realtime.agents import LOOK, LOOKUP, STRICT

DOOR = BrowserDoor(FakeVerifier(), AgentDefaults(agent_id="default", model="m"), {"model": "w"})
GOOD = {"token": "good", "agent_id": "a1"}


async def test_S3_2_a_token_and_an_agent_are_enough() -> None:
    admission = await admitted(DOOR, asking("/", **GOOD))
    assert isinstance(admission.dialect, BrowserDialect)
    assert admission.grant.agent_id == "a1"
    assert admission.grant.conversation_id is None
    assert admission.first_update["session"]["audio"]["output"]["voice"] == "alloy"
    assert admission.first_shown


@pytest.mark.parametrize(
    ("connect", "ending"),
    [
        (asking("/"), MISSING_PARAMETERS),
        (asking("/", agent_id="a1"), MISSING_PARAMETERS),
        (asking("/", token="good"), MISSING_PARAMETERS),
        (asking("/", token="", agent_id="a1"), MISSING_PARAMETERS),
        (asking("/", token="good", agent_id=""), MISSING_PARAMETERS),
        (asking("/", token="bad", agent_id="a1"), UNAUTHORIZED),
    ],
)
async def test_S3_3_S3_4_what_is_missing_or_wrong(connect: ConnectRequest, ending: Ending) -> None:
    with pytest.raises(SessionRefused) as refused:
        await admitted(DOOR, connect)
    assert refused.value.ending == ending


@pytest.mark.parametrize(
    "voice",
    ["alloy", "ash", "ballad", "coral", "echo", "sage", "shimmer", "verse", "marin", "cedar"],
)
async def test_S3_45_every_voice_is_passed_on(voice: str) -> None:
    admission = await admitted(DOOR, asking("/", voice=voice, **GOOD))
    assert admission.first_update["session"]["audio"]["output"]["voice"] == voice


async def test_S3_45_an_unknown_voice_becomes_alloy() -> None:
    admission = await admitted(DOOR, asking("/", voice="hal9000", **GOOD))
    assert admission.first_update["session"]["audio"]["output"]["voice"] == "alloy"


def test_any_path_will_do() -> None:
    assert DOOR.matches(asking("/"))
    assert DOOR.matches(asking("/voice/anything"))


def door_with(offer: Grant, **more: frozenset[str]) -> BrowserDoor:
    agents = StaticCatalog({"a1": Agent(offer, **more)})
    return BrowserDoor(FakeVerifier(), AgentDefaults("default", "m", agents), {"model": "w"})


async def test_S3_88_instructions_tools_and_voice_of_the_agent_are_applied() -> None:
    admission = await admitted(door_with(STRICT), asking("/", voice="verse", **GOOD))
    session = admission.first_update["session"]
    assert session["instructions"] == STRICT.instructions
    assert session["tools"] == [LOOK, LOOKUP.definition]
    assert session["audio"]["output"]["voice"] == "sage", "the agent's, not the one asked for"
    assert session["audio"]["input"]["turn_detection"]["silence_duration_ms"] == 500
    assert admission.grant.locked_fields >= {"instructions", "tools", "voice"}


@pytest.mark.parametrize(
    ("asked", "voice"), [("verse", "verse"), ("hal9000", "sage"), ("", "sage")]
)
async def test_S3_88_a_default_voice_yields_to_a_known_one(asked: str, voice: str) -> None:
    half = dataclasses.replace(STRICT, overridable=frozenset({"voice"}))
    admission = await admitted(door_with(half), asking("/", voice=asked, **GOOD))
    assert admission.first_update["session"]["audio"]["output"]["voice"] == voice


@pytest.mark.parametrize(
    ("agent_id", "serves"),
    [("other", frozenset[str]()), ("a1", frozenset({"coach"}))],
)
async def test_S3_30_an_agent_that_is_not_the_callers_is_forbidden(
    agent_id: str, serves: frozenset[str]
) -> None:
    with pytest.raises(SessionRefused) as refused:
        await admitted(
            door_with(STRICT, roles=serves), asking("/", token="good", agent_id=agent_id)
        )
    assert refused.value.ending == FORBIDDEN


async def test_its_clients_are_always_paced() -> None:
    asked = dataclasses.replace(STRICT, bounds=Bounds(pace_ms=200))
    assert (await admitted(door_with(asked), asking("/", **GOOD))).pace_ms == 200
    assert (await admitted(door_with(STRICT), asking("/", **GOOD))).pace_ms == PACE_MS
