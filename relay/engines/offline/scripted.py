"""Parts that say and understand what a script tells them: for tests and benchmarks."""

from collections.abc import Sequence
from dataclasses import dataclass

from relay.engines.offline.parts import Parts
from relay.engines.offline.tones import LoudnessEar, ToneMouth


@dataclass(frozen=True, slots=True)
class Script:
    """What is understood and answered, in turn; the last of each is repeated for ever.

    `heard` are the recogniser's transcripts in the order in which turns reach it (one recogniser
    serves all sessions), `replies` each session's answers, `{heard}` in them stands for what was
    heard or typed.
    """

    heard: Sequence[str] = ("Hello there.",)
    replies: Sequence[str] = ("You said: {heard}",)


def scripted_parts(script: Script | None = None) -> Parts:
    """Return deterministic parts: an ear for loudness, scripted words, and a tone for a voice."""
    told = script or Script()
    return Parts(
        make_ear=LoudnessEar,
        recogniser=ScriptedRecogniser(told.heard),
        make_brain=lambda: ScriptedBrain(told.replies),
        mouth=ToneMouth(),
        name="scripted",
    )


class ScriptedRecogniser:
    """Understands what the script says, whatever it is given."""

    def __init__(self, heard: Sequence[str]) -> None:
        self._heard = heard
        self._next = 0

    async def transcribe(self, pcm: bytes) -> str:
        """Return the next transcript."""
        text = self._heard[min(self._next, len(self._heard) - 1)]
        self._next += 1
        return text

    async def aclose(self) -> None:
        """Let go of nothing."""


class ScriptedBrain:
    """Answers what the script says."""

    def __init__(self, replies: Sequence[str]) -> None:
        self._replies = replies
        self._next = 0

    def reply(self, heard: str) -> str:
        """Return the next answer."""
        answer = self._replies[min(self._next, len(self._replies) - 1)]
        self._next += 1
        return answer.replace("{heard}", heard)
