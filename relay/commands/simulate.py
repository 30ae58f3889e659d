"""`relay simulate`: the offline twin of the OpenAI Realtime API."""

import argparse
import asyncio
import contextlib
import logging
import signal

from relay.commands.command import fail, say
from relay.logs import configure
from relay.simulator import SimulatorOptions, simulate
from relay.voices import offline_or_echo

HELP = "speak the OpenAI Realtime API offline, to develop against"
EXAMPLE = "relay simulate --port 9090"


def options(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--port", type=int, default=9090, help="where it listens on loopback")


def run(given: argparse.Namespace) -> int:
    """Run until Ctrl-C or SIGTERM."""
    with contextlib.closing(configure("warning")):
        # Who breaks off a handshake is no news, and `websockets` tells it with a traceback.
        logging.getLogger("websockets").setLevel(logging.CRITICAL)
        try:
            asyncio.run(_serve(given.port))
        except (OSError, OverflowError) as error:
            fail(f"port {given.port} cannot be had: {error}")
    return 0


async def _serve(port: int) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with await simulate(SimulatorOptions(parts=offline_or_echo(), port=port)) as simulator:
        say(f"OpenAI Realtime, offline: {simulator.url}?model=any")
        say("Any key will do, but for those that begin with bad. Stop with Ctrl-C.")
        say(f"A relay uses it with OPENAI_API_KEY=any OPENAI_BASE_URL={simulator.base_url}")
        await stop.wait()
