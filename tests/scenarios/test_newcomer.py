"""What a newcomer does: `relay dev`, `relay talk docs/hello.wav`, `relay transcript`.

Every command is a program of its own in a fresh folder, as a person starts it, without a key.
"""

import math
import wave
from array import array
from pathlib import Path

import pytest

from relay.parts.answers import TOPICS
from tests.cli.program import Program, relay
from tests.components import needs
from tests.edge.front import free_ports

pytestmark = [pytest.mark.slow, needs("voice", "voice_llm")]

HELLO = str(Path(__file__).parents[2] / "docs" / "hello.wav")
SAID = "Hello, can you help me set a goal for this week?"
ANSWERS = next(topic for topic in TOPICS if topic.name == "goals").answers
FRAME = 480  # samples: 20 ms
LOOKS = 10  # at the transcript: a busy machine may store the answer after the first one


@pytest.fixture
def address() -> dict[str, str]:
    """What keeps this relay apart from others on this machine: for all its commands alike."""
    voice, http = free_ports(2)
    return {"PORT": str(voice), "HTTP_PORT": str(http)}


def loudness(samples: "array[int]") -> float:
    """Root mean square, 0 to 1."""
    return math.sqrt(sum(sample * sample for sample in samples) / len(samples)) / 32768


def assert_audible_speech(path: Path) -> None:
    """A sentence at 24 kHz: as long as one, as loud as one, and with the gaps of one."""
    with wave.open(str(path)) as file:
        assert file.getparams()[:3] == (1, 2, 24_000)
        samples = array("h", file.readframes(file.getnframes()))
    assert 2.0 < len(samples) / 24_000 < 8.0
    assert 0.02 < loudness(samples) < 0.4
    assert max(map(abs, samples)) < 32767, "it is clipped"
    frames = [samples[i : i + FRAME] for i in range(0, len(samples) - FRAME, FRAME)]
    quiet, *_, loud = sorted(loudness(frame) for frame in frames)
    assert loud > 20 * quiet, "it is a tone or a noise"


def talk_and_read(folder: Path, **settings: str) -> None:
    """The second terminal."""
    talked = relay("talk", "--save", "reply.wav", HELLO, cwd=folder, **settings)
    assert talked.returncode == 0, talked.stderr
    you, voice, saved = talked.stdout.splitlines()
    assert you == f"you:   {SAID}"
    assert voice.removeprefix("voice: ") in ANSWERS
    assert saved.endswith("s of answer, saved to reply.wav")
    assert_audible_speech(folder / "reply.wav")

    looks = (relay("transcript", cwd=folder, **settings) for _ in range(LOOKS))
    read = next(look for look in looks if len(look.stdout.splitlines()) == 3)
    assert read.returncode == 0, read.stderr
    conversation, question, answer = read.stdout.splitlines()
    assert conversation.startswith("conversation ")
    assert question.split("  ", 1)[1] == f"user:      {SAID}"
    assert answer.split("  ", 1)[1].removeprefix("assistant: ") in ANSWERS


def test_two_commands_and_no_key(tmp_path: Path, address: dict[str, str]) -> None:
    with Program("dev", cwd=tmp_path, **address) as program:
        assert program.line("voice").startswith("offline (small models on this machine; ")
        talk_and_read(tmp_path, **address)

        assert program.stop() == 0
        assert program.left() == []


def test_the_same_through_the_openai_engine(tmp_path: Path, address: dict[str, str]) -> None:
    with Program("simulate", "--port", "0", cwd=tmp_path) as provider:
        url = provider.line("A relay uses it with OPENAI_API_KEY=any OPENAI_BASE_URL=")
        settings = address | {"OPENAI_BASE_URL": url, "OPENAI_API_KEY": "sk-of-this-test"}
        with Program("dev", cwd=tmp_path, **settings) as program:
            assert program.line("voice") == "openai"
            talk_and_read(tmp_path, **settings)

            assert program.stop() == 0
            assert program.left() == []
            assert "sk-of-this-test" not in program.stderr
        assert provider.stop() == 0
        assert provider.left() == []
