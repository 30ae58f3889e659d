"""How long answers let the learner wait; pure."""


class Delays:
    """From the end of a turn (committed sound, or a written message) to the answer's first item."""

    def __init__(self) -> None:
        self.count = 0
        self.last_ms: int | None = None
        self._turn_over: float | None = None

    def turn(self, now: float) -> None:
        """The learner has said their turn; of two without an answer the later one counts."""
        self._turn_over = now

    def answer(self, now: float) -> None:
        """The model has begun to answer; what it says of its own accord is no answer."""
        if self._turn_over is not None:
            self.count += 1
            self.last_ms = max(0, round((now - self._turn_over) * 1000))
            self._turn_over = None
