"""`make bench`: the relay beside nginx, a bare skeleton and what one would have written without.

`python -m tests.benchmarks [--quick] [--only NAME,NAME] [--json FILE] [--output FOLDER]`
Writes, into `build/bench/` by default, `results.md`, `results.json`, `cpu.svg`.
"""

import argparse
import asyncio
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Final

import uvloop

from tests.benchmarks.contenders import ROOT
from tests.benchmarks.plan import CONTENDERS, FULL, QUICK, SMOKE, Plan
from tests.benchmarks.plot import bars
from tests.benchmarks.report import as_json, markdown, rows
from tests.benchmarks.runner import Results, Runner

OUTPUT: Final = ROOT / "build" / "bench"


def main() -> int:
    """Run, print the table, write the files; 1 when a frame was lost or the run was cut short."""
    given = _arguments()
    runner = Runner(_plan(given), _tell)
    try:
        uvloop.run(_until_signal(runner))
        whole = True
    except (KeyboardInterrupt, asyncio.CancelledError):
        _tell("stopped; this is what there is")
        whole = False
    _write(runner.results, given.output, given.json)
    print(markdown(runner.results))
    lost = sum(window.lost for window in runner.results.windows)
    return 0 if whole and not lost else 1


async def _until_signal(runner: Runner) -> None:
    """SIGTERM is as good as Ctrl-C: every server that was started is stopped."""
    task = asyncio.current_task()
    if task is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    await runner.run()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks",
        description="CPU and latency of the relay beside its baselines, in interleaved rounds.",
        epilog=f"contenders: {', '.join(CONTENDERS)}",
    )
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="100 sessions, under 90 s")
    size.add_argument("--smoke", action="store_true", help="4 sessions: does all of it still work")
    parser.add_argument("--only", metavar="NAME,…", help="these contenders alone")
    parser.add_argument("--output", type=Path, metavar="FOLDER", default=OUTPUT)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there too")
    given = parser.parse_args()
    unknown = set((given.only or CONTENDERS[0]).split(",")) - set(CONTENDERS)
    if unknown:
        parser.error(f"no such contender: {', '.join(sorted(unknown))}")
    return given


def _plan(given: argparse.Namespace) -> Plan:
    plan = QUICK if given.quick else SMOKE if given.smoke else FULL
    if not given.only:
        return plan
    return replace(
        plan, contenders=tuple(one for one in CONTENDERS if one in given.only.split(","))
    )


def _write(results: Results, folder: Path, more: Path | None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.md").write_text(markdown(results))
    (folder / "results.json").write_text(as_json(results))
    (folder / "cpu.svg").write_text(bars(rows(results.windows)))
    if more is not None:
        more.write_text(as_json(results))


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
