"""The offline twin of the OpenAI Realtime API: any `Parts` behind a WebSocket of its own.

`docs/simulator.md` describes the scripts that choose what it says and its faults.
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
