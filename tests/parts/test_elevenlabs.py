"""Speech by ElevenLabs."""

import pytest

from relay.parts.elevenlabs import ElevenLabsSynthesizer
from relay.parts.interfaces import PartFailed, SynthesisRequest
from tests.parts.conformance import joined, take
from tests.parts.doubles.double import Fault
from tests.parts.doubles.elevenlabs import KEY, OTHER_VOICE, VOICE, elevenlabs
from tests.parts.subjects import eleven


async def speech(part: ElevenLabsSynthesizer, request: SynthesisRequest) -> bytes:
    return bytes(joined([pcm async for pcm in part.synthesize(request)]))


@pytest.mark.parametrize(
    ("asked", "voice"), [("", VOICE), ("marin", VOICE), (OTHER_VOICE, OTHER_VOICE)]
)
async def test_its_voice_speaks_unless_another_of_its_own_is_asked_for(
    asked: str, voice: str
) -> None:
    async with eleven() as (double, part):
        assert await speech(part, SynthesisRequest("Grüße!", asked))

    assert double.bodies == [(voice, {"text": "Grüße!", "model_id": "eleven_flash_v2_5"})]


@pytest.mark.parametrize(("speed", "sent"), [(0.25, 0.7), (1.1, 1.1), (4.0, 1.2)])
async def test_it_speaks_as_fast_as_it_can(speed: float, sent: float) -> None:
    async with eleven() as (double, part):
        await speech(part, SynthesisRequest("Hello.", speed=speed))

    assert double.bodies[0][1]["voice_settings"] == {"speed": sent}


async def test_a_wrong_key_and_a_wrong_voice_are_told_by_their_names() -> None:
    async with elevenlabs() as (_, address):
        for key, voice, told in (
            ("wrong", VOICE, "synthesizer unauthorized: 401 invalid_api_key"),
            (KEY, "../../voices?x", "synthesizer rejected: 404 voice_not_found"),
        ):
            part = ElevenLabsSynthesizer(key, voice, base_url=address)
            with pytest.raises(PartFailed) as raised:
                await speech(part, SynthesisRequest("Hello."))
            await part.aclose()
            assert str(raised.value) == told


async def test_one_that_stalls_in_the_middle_is_given_up() -> None:
    async with elevenlabs() as (double, address):
        part = ElevenLabsSynthesizer(KEY, VOICE, base_url=address, timeout=0.3)
        await speech(part, SynthesisRequest("Hello."))  # connected
        double.faults.append(Fault(stall_after=2))
        received: list[bytes] = []
        with pytest.raises(PartFailed) as raised:
            await take(part.synthesize(SynthesisRequest("Hello, and so on and on.")), received)
        await double.rest()
        await part.aclose()

    assert raised.value.code == "timeout"
    assert received
    assert double.gone == 1


async def test_a_closed_one_says_so() -> None:
    async with eleven() as (double, part):
        await part.aclose()
        with pytest.raises(PartFailed, match="synthesizer unavailable: closed"):
            await speech(part, SynthesisRequest("Hello."))

    assert double.headers == []
