"""The S3 door: its parameters, in its order."""

import pytest

from relay.access.grants import Defaults
from relay.doors.s3 import S3Door
from relay.realtime.endings import MISSING_PARAMETERS, UNAUTHORIZED, Ending, Refused
from relay.realtime.view import S3View
from relay.wire.handshake import Handshake
from tests.doors.knock import knock
from tests.doors.test_openai import FakeVerifier

DOOR = S3Door(FakeVerifier(), Defaults(agent_id="default", model="m"), {"model": "w"})
GOOD = {"token": "good", "agent_id": "a1"}


async def test_S3_2_a_token_and_an_agent_are_enough() -> None:
    admission = await DOOR.admit(knock("/", **GOOD))
    assert isinstance(admission.view, S3View)
    assert admission.grant.agent_id == "a1"
    assert admission.grant.conversation_id is None
    assert admission.first_update["session"]["audio"]["output"]["voice"] == "alloy"
    assert admission.first_shown


@pytest.mark.parametrize(
    ("handshake", "ending"),
    [
        (knock("/"), MISSING_PARAMETERS),
        (knock("/", agent_id="a1"), MISSING_PARAMETERS),
        (knock("/", token="good"), MISSING_PARAMETERS),
        (knock("/", token="", agent_id="a1"), MISSING_PARAMETERS),
        (knock("/", token="good", agent_id=""), MISSING_PARAMETERS),
        (knock("/", token="bad", agent_id="a1"), UNAUTHORIZED),
    ],
)
async def test_S3_3_S3_4_what_is_missing_or_wrong(handshake: Handshake, ending: Ending) -> None:
    with pytest.raises(Refused) as refused:
        await DOOR.admit(handshake)
    assert refused.value.ending == ending


@pytest.mark.parametrize(
    "voice",
    ["alloy", "ash", "ballad", "coral", "echo", "sage", "shimmer", "verse", "marin", "cedar"],
)
async def test_S3_45_every_voice_is_passed_on(voice: str) -> None:
    admission = await DOOR.admit(knock("/", voice=voice, **GOOD))
    assert admission.first_update["session"]["audio"]["output"]["voice"] == voice


async def test_S3_45_an_unknown_voice_becomes_alloy() -> None:
    admission = await DOOR.admit(knock("/", voice="hal9000", **GOOD))
    assert admission.first_update["session"]["audio"]["output"]["voice"] == "alloy"


def test_any_path_will_do() -> None:
    assert DOOR.answers("/")
    assert DOOR.answers("/voice/anything")
