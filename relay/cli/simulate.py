"""`relay simulate`: runs the offline twin of OpenAI's voice APIs."""

import argparse
import asyncio
import contextlib
import logging
import signal
from pathlib import Path
from typing import Final

from relay.cli.console import CliCommand, fail, say
from relay.config.settings import Settings
from relay.logs import configure
from relay.parts.simple import scripted_parts
from relay.simulator import BadScript, Scenario, SimulatorOptions, load, simulate
from relay.voice import parts_or_echo


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--port", type=int, default=9090, help="port on loopback")
    parser.add_argument(
        "--faults",
        type=Path,
        metavar="FILE.toml",
        help="a script of faults and answers, as in docs/simulator.md",
    )
    parser.add_argument(
        "--beta", action="store_true", help="speak the beta names that some servers still have"
    )


def _run(given: argparse.Namespace) -> int:
    """Run until Ctrl-C or SIGTERM."""
    scenario = _scenario(given.faults)
    with contextlib.closing(configure("warning")):
        # They log a traceback for every handshake that a client breaks off or gets wrong.
        for library in ("websockets", "aiohttp.server"):
            logging.getLogger(library).setLevel(logging.CRITICAL)
        try:
            asyncio.run(_serve(given.port, scenario, given.beta))
        except (OSError, OverflowError) as error:
            fail(f"cannot listen on port {given.port}: {error}")
    return 0


SIMULATE: Final = CliCommand(
    name="simulate",
    help="speak OpenAI's voice APIs offline, to develop against",
    example="relay simulate --port 9090 --faults faults.toml",
    options=_options,
    run=_run,
)


def _scenario(file: Path | None) -> Scenario:
    if file is None:
        return Scenario()
    try:
        return load(file)
    except BadScript as error:
        fail(str(error))
    except OSError as error:
        fail(f"{file} cannot be read: {error.strerror}")


def _local() -> Settings:
    """Parts on this machine alone, whatever the environment says."""
    return Settings.model_construct(relay_engine="offline", relay_llm="local")


async def _serve(port: int, scenario: Scenario, beta: bool) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    script = scenario.script
    options = SimulatorOptions(
        parts=parts_or_echo(_local()) if script is None else scripted_parts(script),
        port=port,
        pace=scenario.pace,
        faults=scenario.faults,
        beta=beta,
    )
    async with await simulate(options) as simulator:
        say(f"OpenAI Realtime, offline: {simulator.url}?model=any")
        say(f"OpenAI's transcripts, speech, chats, embeddings: {simulator.base_url}")
        say("Any key works, except keys that begin with `bad`. Stop with Ctrl-C.")
        say(f"A relay uses it with OPENAI_API_KEY=any OPENAI_BASE_URL={simulator.base_url}")
        if scenario.faults.faults:
            say(f"Faults on purpose: {', '.join(scenario.faults.modes)}")
        await stop.wait()
