"""The offline twin of OpenAI's voice APIs: any `Parts` behind a WebSocket and HTTP on one port.

`docs/simulator.md` describes the scripts that choose what it says and its faults.
"""

from relay.simulator.faults.plan import Faults
from relay.simulator.http.server import SeenRequest
from relay.simulator.script import BadScript, Scenario, load, parse
from relay.simulator.server import Simulator, SimulatorOptions, simulate

__all__ = [
    "BadScript",
    "Faults",
    "Scenario",
    "SeenRequest",
    "Simulator",
    "SimulatorOptions",
    "load",
    "parse",
    "simulate",
]
