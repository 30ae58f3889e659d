"""Faults of the gateway: in one request, in some requests or in all of them."""

import random
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Literal, get_args

Fault = Literal[
    "500",
    "503",
    "invalid_jwt",
    "issued_at_future",
    "html",
    "broken_json",
    "empty",
    "hang",
    "refused",
    "cut",
    "half",
    "lost",
]
"""What happens to a request.

Not applied: `500`, `503` (JSON errors of PostgREST), `invalid_jwt` (401 PGRST301),
`issued_at_future` (401 PGRST303), `html` (a 502 of a proxy), `broken_json` and `empty` (200),
`hang` (no answer until the client goes), `refused` (the connection is closed at once).
Applied: `cut` (the connection dies in the middle of the real answer), `half` (200 and half of the
real answer as if it were whole), `lost` (the connection dies before the first byte of it).
"""
FAULTS: tuple[Fault, ...] = get_args(Fault)


@dataclass
class Misbehaviour:
    """Which requests fail, and how; nothing does until one of the methods is called.

    Only requests whose path begins with `path` do. `seen` counts every request to such a path by
    its path, `done` the faults by name.
    """

    path: str = "/rest/v1/"
    seen: Counter[str] = field(default_factory=Counter)
    done: Counter[str] = field(default_factory=Counter)
    _next: deque[Fault] = field(default_factory=deque)
    _all: Fault | None = None
    _chance: float = 0.0
    _some: tuple[Fault, ...] = ()
    _random: random.Random = field(default_factory=random.Random)

    def next(self, *faults: Fault) -> None:
        """Let the next requests fail, one fault each, in this order."""
        self._next.extend(faults)

    def always(self, fault: Fault) -> None:
        """Let every request fail until `stop`."""
        self._all = fault

    def sometimes(self, chance: float, *faults: Fault, seed: int = 0) -> None:
        """Let each request fail with a probability, by one of the faults (default: all)."""
        self._chance, self._some = chance, faults or FAULTS
        self._random.seed(seed)

    def stop(self) -> None:
        """Behave again."""
        self._next.clear()
        self._all, self._chance = None, 0.0

    def of(self, path: str) -> Fault | None:
        """What shall happen to the request that came in now."""
        if not path.startswith(self.path):
            return None
        self.seen[path] += 1
        fault = self._decide()
        if fault:
            self.done[fault] += 1
        return fault

    def _decide(self) -> Fault | None:
        if self._next:
            return self._next.popleft()
        if self._chance and self._random.random() < self._chance:
            return self._random.choice(self._some)
        return self._all
