"""The playback worklet, driven quantum by quantum: no sound card, no clock."""

from itertools import pairwise
from typing import Any

import pytest
from playwright.async_api import Page

from tests.components import needs

pytestmark = [needs("chromium"), pytest.mark.asyncio(loop_scope="session")]

QUANTUM = 128

DRIVE = """async (steps) => {
  globalThis.AudioWorkletProcessor = class { port = { postMessage: (m) => told.push(m) }; };
  globalThis.registerProcessor = (_, made) => { globalThis.Processor = made; };
  await import("/client/playback-worklet.js");
  globalThis.told = [];
  const player = new Processor();
  const sound = [];
  for (const step of steps) {
    if (step.quanta) {
      for (let n = 0; n < step.quanta; n += 1) {
        const out = new Float32Array(128);
        player.process([], [[out]]);
        sound.push(...out);
      }
    } else if (step.play) {
      const samples = new Int16Array(step.samples).fill(step.value ?? 0);
      if (step.ramp) samples.forEach((_, at) => { samples[at] = at + 1; });
      player.port.onmessage({ data: { play: step.play, index: step.index ?? 0, samples } });
    } else {
      player.port.onmessage({ data: step });
    }
  }
  return { told, sound };
}"""


async def drive(blank_page: Page, *steps: dict[str, Any]) -> tuple[list[dict], list[float]]:
    """Run the steps; give what the worklet told and all it played."""
    result = await blank_page.evaluate(DRIVE, list(steps))
    return result["told"], result["sound"]


def play(item: str, samples: int, **more: int) -> dict[str, Any]:
    return {"play": item, "samples": samples, **more}


def quanta(count: int) -> dict[str, int]:
    return {"quanta": count}


async def test_every_sample_comes_out_in_order_and_once(blank_page):
    told, sound = await drive(
        blank_page, play("A", 1500, ramp=1), play("A", 77, ramp=1), {"finish": "A"}, quanta(15)
    )
    expected = [n / 32768 for n in [*range(1, 1501), *range(1, 78)]]
    assert sound[:1577] == pytest.approx(expected)
    assert set(sound[1577:]) == {0}
    assert {"ended": "A", "played": 1577} in told
    assert told[-1] == {"progress": 1577, "level": told[-1]["level"], "playing": False}


async def test_a_little_audio_waits_for_more_but_not_long(blank_page):
    _, sound = await drive(blank_page, play("A", 1439, value=1000), quanta(14))
    assert set(sound[: 12 * QUANTUM]) == {0}
    assert sound[12 * QUANTUM] > 0


async def test_sixty_milliseconds_start_at_once(blank_page):
    _, sound = await drive(blank_page, play("A", 1440, value=1000), quanta(1))
    assert min(sound) > 0


async def test_a_gap_in_the_network_delays_playback_and_loses_nothing(blank_page):
    told, sound = await drive(
        blank_page,
        play("A", 1440, value=1000),
        quanta(20),
        play("A", 100, value=2000),
        quanta(5),
        play("A", 1400, value=2000),
        quanta(20),
        {"finish": "A"},
    )
    assert sum(1 for sample in sound if sample > 0) == 2940
    reports = [report["playing"] for report in told if "playing" in report]
    assert reports[-1]  # it was one answer all along: nobody was told of an end
    assert told[-1] == {"ended": "A", "played": 2940}


async def test_a_flush_stops_playback_and_reports_what_was_played(blank_page):
    told, sound = await drive(
        blank_page,
        play("A", 24000, value=8000),
        play("B", 24000, value=8000, index=1),
        quanta(10),
        {"flush": 7},
        quanta(10),
    )
    flushed = next(report for report in told if "flushed" in report)
    assert flushed == {
        "flushed": 7,
        "cut": [
            {"item": "A", "index": 0, "played": 1280},
            {"item": "B", "index": 1, "played": 0},
        ],
    }
    fade = sound[10 * QUANTUM : 11 * QUANTUM]
    assert fade[0] == pytest.approx(8000 / 32768)
    assert all(later < earlier for earlier, later in pairwise(fade))
    assert fade[-1] < 0.01
    assert set(sound[11 * QUANTUM :]) == {0}
    assert not told[-1]["playing"]


async def test_an_item_that_was_played_to_its_end_is_not_cut(blank_page):
    told, _ = await drive(
        blank_page,
        play("A", 1440, value=1000),
        {"finish": "A"},
        play("B", 1440, value=1000),
        quanta(12),
        {"flush": 1},
    )
    cut = next(report for report in told if "flushed" in report)["cut"]
    assert [entry["item"] for entry in cut] == ["B"]


async def test_an_item_that_waits_for_audio_is_cut(blank_page):
    told, _ = await drive(blank_page, play("A", 1440, value=1000), quanta(20), {"flush": 1})
    cut = next(report for report in told if "flushed" in report)["cut"]
    assert cut == [{"item": "A", "index": 0, "played": 1440}]


async def test_a_flush_before_anything_played_makes_no_sound(blank_page):
    told, sound = await drive(blank_page, play("A", 1000, value=1000), {"flush": 1}, quanta(20))
    assert set(sound) == {0}
    assert told == [{"flushed": 1, "cut": [{"item": "A", "index": 0, "played": 0}]}]


async def test_the_next_answer_follows_a_flush_at_once(blank_page):
    _, sound = await drive(
        blank_page,
        play("A", 24000, value=1000),
        quanta(4),
        {"flush": 1},
        play("B", 1440, value=-3000),
        quanta(3),
    )
    assert sound[5 * QUANTUM :] == pytest.approx([-3000 / 32768] * 2 * QUANTUM)


async def test_finishing_an_item_that_was_played_ends_it(blank_page):
    told, _ = await drive(
        blank_page, play("A", 1440, value=1), quanta(12), {"finish": "A"}, {"finish": "unknown"}
    )
    assert told[-1] == {"ended": "A", "played": 1440}


async def test_audio_beyond_ten_minutes_is_dropped(blank_page):
    told, _ = await drive(
        blank_page,
        *[play("A", 24000 * 200) for _ in range(3)],
        play("B", 1),
        {"flush": 1},
    )
    assert [entry["item"] for entry in told[0]["cut"]] == ["A"]


async def test_the_level_is_that_of_the_audio(blank_page):
    told, _ = await drive(blank_page, play("A", 12000, value=16384), quanta(24))
    levels = [report["level"] for report in told if "level" in report]
    assert max(levels) == pytest.approx(0.5, rel=0.01)
