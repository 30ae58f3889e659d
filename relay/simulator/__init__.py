"""The offline twin of the OpenAI Realtime API: any `Parts` behind a WebSocket of its own.

`docs/simulator.md` says how to script what it says and what goes wrong.
"""

from relay.simulator.faults.plan import Faults
from relay.simulator.script import BadScript, Scenario, load, parse
from relay.simulator.server import Simulator, SimulatorOptions, simulate

__all__ = [
    "BadScript",
    "Faults",
    "Scenario",
    "Simulator",
    "SimulatorOptions",
    "load",
    "parse",
    "simulate",
]
