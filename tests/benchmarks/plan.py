"""What is measured, for how long, and what came out: plain values."""

from dataclasses import dataclass
from typing import Final, Literal

Upstream = Literal["plain", "tls"]
Answers = Literal["steady", "burst"]

DIRECT: Final = "direct"
"""Callers connected to the fake engine itself: the latency that no contender added."""

RELAY, NGINX, SKELETON = "relay", "nginx", "skeleton"
CONTENDERS: Final = (RELAY, NGINX, SKELETON, "websockets-msgspec", "websockets-json")
RELAY_OF: Final = "relay of "
"""Begins the name of the relay of another checkout; its folder follows."""

FRAMES_PER_SESSION: Final = 80  # a second, both directions


@dataclass(frozen=True, slots=True)
class Plan:
    """One run. `warm` and `window` are seconds of load before and while it is measured.

    `idle_sessions` are opened to see what one costs in memory, 0 leaves that out; `limit` is the
    seconds after which the run stops with what it has.
    """

    contenders: tuple[str, ...] = CONTENDERS
    upstreams: tuple[Upstream, ...] = ("plain", "tls")
    answers: tuple[Answers, ...] = ("steady", "burst")
    sessions: tuple[int, ...] = (100, 400)
    rounds: int = 3
    warm: float = 0.6
    window: float = 2.5
    idle_sessions: int = 400
    micro: bool = True
    limit: float = 720.0

    @property
    def slots(self) -> int:
        """How many times a set of sessions is opened, loaded and closed."""
        return len(self.upstreams) * len(self.sessions) * self.rounds * (1 + len(self.contenders))


FULL: Final = Plan()
QUICK: Final = Plan(sessions=(100,), rounds=2, warm=0.3, window=0.8, idle_sessions=100, limit=90.0)
SMOKE: Final = Plan(
    sessions=(4,), rounds=1, warm=0.05, window=0.3, idle_sessions=0, micro=False, limit=60.0
)


@dataclass(frozen=True, slots=True)
class Scenario:
    """The load of one row."""

    upstream: Upstream
    sessions: int
    answers: Answers

    def __str__(self) -> str:
        """Read as: `400 sessions, tls, burst`."""
        return f"{self.sessions} sessions, {self.upstream}, {self.answers}"


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds from sending to receiving, by direction; up is towards the engine."""

    p50: float
    p99: float
    up_p50: float
    up_p99: float
    down_p50: float
    down_p99: float


@dataclass(frozen=True, slots=True)
class Window:
    """What one measured window of one contender showed.

    `scale` is the part of the full rate that was offered; `cpu` and `load_cpu` are CPU seconds of
    the contender and of the load generator; `sent` and `received` count all stamped frames from
    the beginning of the load until everything had come or was given up.
    """

    contender: str
    scenario: Scenario
    round: int
    scale: float
    seconds: float
    frames: int
    sent: int
    received: int
    cpu: float
    load_cpu: float
    latency: Latency

    @property
    def microseconds(self) -> float:
        """CPU of one relayed frame."""
        return self.cpu / self.frames * 1e6 if self.frames else 0.0

    @property
    def lost(self) -> int:
        """Frames that were sent and never came."""
        return self.sent - self.received


@dataclass(frozen=True, slots=True)
class Memory:
    """What idle connected sessions cost a fresh server, in KiB for each of them."""

    contender: str
    upstream: Upstream
    sessions: int
    kib: float
