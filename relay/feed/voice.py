"""What the API asks of a coach's line into a live call."""

from typing import Final, Literal, Protocol

from relay.realtime.endings import CLIENT_LEFT, Ending

REPLACED: Final = Ending("replaced", 4009, "Replaced")
"""The same coach opened another line."""
NoLine = Literal["over", "busy", "format"]
"""The session has ended; too many listen; its sound is of a format that no coach speaks."""


class Line(Protocol):
    """Open until `close`; mind to do that."""

    @property
    def ending(self) -> Ending | None:
        """Why it was closed, None while it is open."""

    def hear(self, pcm: bytes) -> None:
        """Sound of the coach's: PCM16 mono 24 kHz, heard while this coach has the word."""

    async def next(self) -> bytes | None:
        """The next frame for the coach, a byte for who speaks first; None once it is closed."""

    def close(self, ending: Ending = CLIENT_LEFT) -> None:
        """Close it; the first ending counts."""
