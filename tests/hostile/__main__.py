"""`make hostile`: what one caller who misbehaves costs the others.

`python -m tests.hostile [--full] [--seconds S] [--p99 MS] [--only TEXT] [--output FOLDER]
[--page FILE]`
Each attack has a relay of its own. It prints a line an attack, writes `results.md` and
`results.json`, into `build/hostile/` by default, with `--page` a page for docs/benchmarks, and ends
with 1 where a bound was not held.
"""

import argparse
import asyncio
import json
import os
import platform
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from tests.hostile.attacks import ATTACKS, Attack
from tests.hostile.outcome import Outcome, page, table
from tests.hostile.programs import ROOT, cores
from tests.hostile.trial import tried

OUTPUT: Final = ROOT / "build" / "hostile"
SHORT_SECONDS, FULL_SECONDS = 4.0, 60.0
BUSY_P99, QUIET_P99 = 250.0, 50.0
"""ms: on any machine, and on one that does nothing else."""


def main() -> int:
    """Try each attack, print, write; 1 when a bound was not held."""
    given = _arguments()
    outcomes: list[Outcome] = []
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what was started has to be ended
    signal.signal(signal.SIGINT, signal.default_int_handler)  # also for a script's `make hostile &`
    try:
        untried = asyncio.run(_try_all(given, outcomes))
    finally:
        _write(outcomes, given)
    return 1 if untried or any(one.broken(given.p99) for one in outcomes) else 0


async def _try_all(given: argparse.Namespace, outcomes: list[Outcome]) -> list[str]:
    """Fill the outcomes; the names of those that could not be tried."""
    untried: list[str] = []
    attacks = _chosen(given)
    for number, attack in enumerate(attacks, 1):
        print(f"[{number}/{len(attacks)}] {attack.name}: ", end="", flush=True)
        try:
            outcomes.append(await tried(attack, min(given.seconds, attack.most_seconds)))
        except* (AssertionError, OSError, TimeoutError, ValueError) as failures:
            untried.append(attack.name)
            print(f"NOT TRIED: {failures.exceptions[0]}", flush=True)
        else:
            print(outcomes[-1].line(given.p99), flush=True)
    return untried


def _chosen(given: argparse.Namespace) -> Sequence[Attack]:
    if given.only:
        return [one for name, one in ATTACKS.items() if given.only in name]
    return [one for one in ATTACKS.values() if given.full or one.short]


def _write(outcomes: Sequence[Outcome], given: argparse.Namespace) -> None:
    given.output.mkdir(parents=True, exist_ok=True)
    relay, others = cores()
    load = "/".join(f"{one:.1f}" for one in os.getloadavg())
    machine = (
        f"{given.seconds:.0f} s each, p99 at most {given.p99:.0f} ms; the relay on core {relay}, "
        f"everybody else on core {others} of {os.cpu_count()}; load {load} at the end; "
        f"Linux {platform.release()}, Python {platform.python_version()}"
    )
    results = table(outcomes, given.p99, machine)
    (given.output / "results.md").write_text(results)
    if given.page is not None:
        given.page.write_text(page(results, f"{datetime.now(UTC):%Y-%m-%d}", _commit()))
    rows = [asdict(one) for one in outcomes]
    (given.output / "results.json").write_text(json.dumps({"machine": machine, "rows": rows}))
    print(f"written: {given.output / 'results.md'}")


def _commit() -> str:
    described = ["git", "describe", "--always", "--dirty"]
    told = subprocess.run(described, cwd=ROOT, capture_output=True, text=True, check=False)
    return told.stdout.strip() or "unknown"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.hostile",
        description="What one caller who misbehaves costs the others; all on loopback.",
        epilog="attacks: " + "; ".join(ATTACKS),
    )
    parser.add_argument("--full", action="store_true", help="every attack, for a minute each")
    parser.add_argument("--seconds", type=float, help="of each attack")
    parser.add_argument("--p99", type=float, help="ms that a round trip may take at p99")
    parser.add_argument("--only", metavar="TEXT", help="the attacks with this in their names")
    parser.add_argument("--output", type=Path, metavar="FOLDER", default=OUTPUT)
    parser.add_argument("--page", type=Path, metavar="FILE", help="write the results as a page too")
    given = parser.parse_args()
    given.seconds = given.seconds or (FULL_SECONDS if given.full else SHORT_SECONDS)
    given.p99 = given.p99 or (QUIET_P99 if given.full else BUSY_P99)
    if given.only and not _chosen(given):
        parser.error(f"no attack has {given.only!r} in its name")
    return given


if __name__ == "__main__":
    sys.exit(main())
