"""How long to wait before a store is tried again; pure."""

FIRST = 0.25
"""Seconds that the first wait lasts at most."""
LONGEST = 30.0
"""Seconds that no wait exceeds, so that a store is used soon after it returns."""
_DOUBLINGS = 16
"""More of them change nothing below `LONGEST`; keeps the power small on a long outage."""


def backoff(attempt: int, draw: float) -> float:
    """Seconds to wait after failure number `attempt` (from 1), `draw` being random in [0, 1).

    Twice as long each time, capped; between half of that and all of it, so that many relays do not
    come back to a database in step.
    """
    longest = min(FIRST * 2.0 ** min(attempt - 1, _DOUBLINGS), LONGEST)
    return longest * (0.5 + draw / 2)
