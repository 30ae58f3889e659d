"""Remote parts: what the engine adds to them, and how many sessions a core and a GiB carry."""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

from tests.benchmarks.voice.conversation import Crowd
from tests.benchmarks.voice.distant import FIRST_BYTE
from tests.benchmarks.voice.material import recordings
from tests.benchmarks.voice.programs import (
    crowd_with_peer,
    crowd_with_relay,
    distant_parts,
)
from tests.benchmarks.voice.results import quantile
from tests.benchmarks.voice.runner import PEERS, RELAY, make_plan, not_here

TURNS: Final = 4
"""Recordings that each session speaks."""
THREE_FIRST_BYTES: Final = 3 * FIRST_BYTE


def remote_settings(base_url: str) -> dict[str, str]:
    """The relay as a cascade over OpenAI's three addresses."""
    parts = {"RELAY_STT": "openai", "RELAY_LLM": "openai", "RELAY_TTS": "openai"}
    where = {"OPENAI_API_KEY": "none", "OPENAI_BASE_URL": base_url, "MAX_SESSIONS_PER_USER": "1000"}
    models = {"STT_MODEL": "whisper-1", "LLM_MODEL": "distant", "TTS_MODEL": "tts-1"}
    return {"RELAY_ENGINE": "cascade"} | parts | where | models


@dataclass(frozen=True, slots=True)
class Capacity:
    """One contender with so many calls.

    `added_p50` and `added_p95` are seconds from the detector's word that the turn is over to the
    first sound, less the three first bytes; below 0 where a part began before that word.
    """

    contender: str
    load: float
    added_p50: float
    added_p95: float
    silent: int
    crowd: Crowd


async def measure_remote(count: int, folder: Path) -> None:
    """The relay and Pipecat, if that is here, with one call and with so many; print, write."""
    sayings = recordings(TURNS + 1, 0, folder.resolve() / "recordings")
    found = []
    async with distant_parts() as base_url:
        plan = replace(make_plan(base_url, sayings), model="distant")
        for calls in (1, count):
            load, settings = os.getloadavg()[0], remote_settings(base_url)
            found.append(_capacity(RELAY, load, await crowd_with_relay(plan, settings, calls)))
            if not not_here(PEERS[0]):
                load = os.getloadavg()[0]
                crowd = await crowd_with_peer(PEERS[0], plan, calls)
                found.append(_capacity(PEERS[0], load, crowd))
    (folder / "remote.json").write_text(json.dumps([asdict(one) for one in found], indent=1))
    print(_table(found))


def _capacity(name: str, load: float, crowd: Crowd) -> Capacity:
    spans = [turn.seconds for turn in crowd.turns if {"sound", "stopped"} <= turn.seconds.keys()]
    added = sorted(span["sound"] - span["stopped"] - THREE_FIRST_BYTES for span in spans)
    silent = len(crowd.turns) - len(added)
    return Capacity(
        name, round(load, 2), quantile(added, 0.5), quantile(added, 0.95), silent, crowd
    )


def _table(found: Sequence[Capacity]) -> str:
    lines = [
        "| contender | calls | added p50 ms | added p95 ms | no answer | calls a core | MiB a call"
        " | load before |",
        "|---|" + "---:|" * 7,
    ]
    lines += [
        f"| {one.contender} | {one.crowd.calls} | {one.added_p50 * 1000:.0f}"
        f" | {one.added_p95 * 1000:.0f} | {one.silent} | {one.crowd.calls / one.crowd.cores:.0f}"
        f" | {one.crowd.mib_a_call:.1f} | {one.load} |"
        for one in found
    ]
    return "\n".join(lines)
