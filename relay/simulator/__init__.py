"""The offline twin of the OpenAI Realtime API: any `Parts` behind a WebSocket of its own."""

from relay.simulator.server import Simulator, SimulatorOptions, simulate

__all__ = ["Simulator", "SimulatorOptions", "simulate"]
