"""`make bench-voice`: from a person's last word to the answer's first sound, all on this machine.

`python -m tests.benchmarks.voice [--peers | --only NAME,… | --sessions N | --remote [N]]`
Writes, into `build/bench-voice/` by default, `results.md`, `results.json` and `parts.svg`.
"""

import argparse
import asyncio
import signal
import subprocess
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Final

from tests.benchmarks.contenders import ROOT
from tests.benchmarks.voice.material import without_recordings
from tests.benchmarks.voice.plot import chart
from tests.benchmarks.voice.programs import ProgramError
from tests.benchmarks.voice.remote import measure_remote
from tests.benchmarks.voice.results import Results, as_json, markdown
from tests.benchmarks.voice.runner import CONTENDERS, PEERS, RELAY, Runner, not_here
from tests.benchmarks.voice.together import measure_together

OUTPUT: Final = ROOT / "build" / "bench-voice"
ROUNDS_ALONE: Final = 2
"""Some four minutes."""
ROUNDS_BESIDE_PEERS: Final = 5


def main() -> int:
    """Measure what was asked for; 1 when it was cut short or a program failed."""
    given = _arguments()
    if (source := without_recordings()) is not None:
        _tell(f"the human recordings are not here; they come with: {source}")
        return 1
    given.output.mkdir(parents=True, exist_ok=True)
    if given.sessions:
        return _finish(measure_together(given.sessions, given.output))
    if given.remote:
        return _finish(measure_remote(given.remote, given.output))
    names = _names(given)
    runner = Runner(names, given.rounds or _rounds(names), given.output, _tell)
    status = _finish(runner.run())
    _write(runner.results, given.output)
    print(markdown(runner.results))
    return status


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.voice", epilog=f"contenders: {', '.join(CONTENDERS)}"
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--peers", action="store_true", help="beside Pipecat and LiveKit Agents")
    what.add_argument("--only", metavar="NAME,…", help="these contenders alone")
    what.add_argument("--sessions", type=int, metavar="N", help="N people who speak at once")
    what.add_argument(
        "--remote", type=int, nargs="?", const=20, metavar="N", help="remote parts, N sessions"
    )
    parser.add_argument("--rounds", type=int, metavar="N")
    parser.add_argument("--output", type=Path, metavar="FOLDER", default=OUTPUT)
    given = parser.parse_args()
    unknown = set((given.only or RELAY).split(",")) - set(CONTENDERS)
    if unknown:
        parser.error(f"no such contender: {', '.join(sorted(unknown))}")
    return given


def _names(given: argparse.Namespace) -> list[str]:
    """The contenders; peers that are not here yet are installed first."""
    names = given.only.split(",") if given.only else [RELAY, *PEERS] if given.peers else [RELAY]
    if any(map(not_here, names)):
        subprocess.run([Path(__file__).with_name("install")], check=True)
    return names


def _rounds(names: list[str]) -> int:
    return ROUNDS_ALONE if names == [RELAY] else ROUNDS_BESIDE_PEERS


def _finish(work: Coroutine[Any, Any, None]) -> int:
    try:
        asyncio.run(_until_signal(work))
    except (KeyboardInterrupt, asyncio.CancelledError):
        _tell("stopped; this is what there is")
        return 1
    except ProgramError as failure:
        _tell(str(failure))
        return 1
    return 0


async def _until_signal(work: Coroutine[Any, Any, None]) -> None:
    """SIGTERM is as good as Ctrl-C: every program that was started is stopped."""
    task = asyncio.ensure_future(work)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    await task


def _write(results: Results, folder: Path) -> None:
    (folder / "results.md").write_text(markdown(results))
    (folder / "results.json").write_text(as_json(results))
    (folder / "parts.svg").write_text(chart(results.held))


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
