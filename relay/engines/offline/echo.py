"""The voice that gives people their own words back; it needs no packages and understands nothing.

What was spoken comes back as it was spoken, and is shown as `[echo of 2.4 s]`, since nobody wrote
it down. What was typed comes back as text, or as a tone where an answer in audio was asked for.
"""

from relay.engines.offline.parts import SAMPLE_RATE, Parts
from relay.engines.offline.tones import LoudnessEar, ToneMouth


def echo_parts() -> Parts:
    """Return the parts of the echo."""
    return Parts(
        make_ear=LoudnessEar,
        recogniser=EchoRecogniser(),
        make_brain=EchoBrain,
        mouth=ToneMouth(),
        name="echo",
    )


class EchoRecogniser:
    """Understands nothing, and says so."""

    async def transcribe(self, pcm: bytes) -> str:
        """Return ""."""
        return ""

    async def aclose(self) -> None:
        """Let go of nothing."""


class EchoBrain:
    """Gives back what it got; an `answering.Parrot`."""

    def reply(self, heard: str) -> str:
        """Return the text that was typed."""
        return heard

    def answer(self, pcm: bytes) -> tuple[str, bytes]:
        """Return the audio of a turn, and a transcript that says what it is."""
        return f"[echo of {len(pcm) / 2 / SAMPLE_RATE:.1f} s]", pcm
