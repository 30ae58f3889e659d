"""A tiny run of every contender: whether the benchmark still works, not how fast anything is."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.benchmarks import frames, micro
from tests.benchmarks.beside import compared
from tests.benchmarks.plan import (
    CONTENDERS,
    NGINX,
    RELAY_OF,
    SMOKE,
    Latency,
    Scenario,
    Window,
)
from tests.benchmarks.plot import bars
from tests.benchmarks.report import rows
from tests.benchmarks.schedule import Material, Pace, agenda
from tests.components import needs

ROOT = Path(__file__).parents[2]
SECONDS = 100  # until a hanging run counts as failed; it takes about fifteen
OWN = tuple(name for name in CONTENDERS if name != NGINX)


def run_smoke(only: tuple[str, ...], folder: Path) -> dict[str, Any]:
    """What `python -m tests.benchmarks --smoke` wrote about these contenders."""
    file = folder / "results.json"
    command = [sys.executable, "-m", "tests.benchmarks", "--smoke", "--only", ",".join(only)]
    done = subprocess.run(
        [*command, "--json", str(file), "--output", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    results: dict[str, Any] = json.loads(file.read_text())
    return results


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return run_smoke(OWN, tmp_path_factory.mktemp("bench"))


def check(results: dict[str, Any], name: str) -> None:
    """Every frame arrived, in every kind of load, and each figure is one."""
    windows = [one for one in results["windows"] if one["contender"] == name]
    kinds = {(one["scenario"]["upstream"], one["scenario"]["answers"]) for one in windows}
    assert kinds == {(leg, answers) for leg in SMOKE.upstreams for answers in SMOKE.answers}
    for window in windows:
        assert window["sent"] > 0
        assert window["lost"] == 0
        assert window["frames"] > 0
        assert window["cpu"] > 0
        latency = window["latency"]
        assert 0 < latency["p50"] <= latency["p99"]
        assert latency["up_p50"] > 0
        assert latency["down_p50"] > 0
    assert [row for row in results["rows"] if row["contender"] == name]


@pytest.mark.slow
@pytest.mark.parametrize("name", OWN)
def test_a_contender_relays_every_frame_it_was_sent(results: dict[str, Any], name: str) -> None:
    check(results, name)


@pytest.mark.slow
@needs("nginx")
def test_nginx_relays_every_frame_it_was_sent(tmp_path: Path) -> None:
    check(run_smoke((NGINX,), tmp_path), NGINX)


def test_frames_have_the_sizes_that_were_recorded() -> None:
    """WIRE §1 and §2: 20 ms up is 1.33 KB, 250 ms down 16.2 KB, four of those a second."""
    turn = [one.at(1) for one in frames.turns()[:150]]
    audio = [one for one in turn if b"output_audio.delta" in one[:64]]
    assert 1_320 <= len(frames.append().at(1)) <= 1_335
    assert {16_150 <= len(one) <= 16_250 for one in audio} == {True}
    assert len(audio) == 4 * frames.TURN_SECONDS
    assert all(json.loads(one)["type"] for one in turn)


def test_a_stamp_is_read_where_json_is_written_with_spaces_too() -> None:
    for frame in (frames.append().at(123_456), frames.turns()[0].at(123_456)):
        spaced = json.dumps(json.loads(frame)).encode()
        assert frames.read_stamp(frame[: frames.HEAD_BYTES]) == 123_456
        assert frames.read_stamp(spaced[: frames.HEAD_BYTES]) == 123_456
    assert frames.read_stamp(frames.session_created()[: frames.HEAD_BYTES]) is None


@pytest.mark.parametrize("answers", ["steady", "burst"])
def test_a_session_sends_fifty_up_and_thirty_down_a_second(answers: Any) -> None:
    up: list[bytes] = []
    down: list[bytes] = []
    made = agenda(
        [up.append],
        [down.append],
        Material(frames.append(), frames.turns()),
        Pace(answers, scale=1.0),
        start=0,
    )
    while made.next < 10_000_000_000:
        made.fire(made.next)
    assert len(up) == 500
    assert len(down) == 300


def test_a_burst_sends_its_answer_twelve_times_as_fast() -> None:
    down: list[bytes] = []
    made = agenda(
        [],
        [down.append],
        Material(frames.append(), frames.turns()),
        Pace("burst", scale=1.0),
        start=0,
    )
    while made.next < 430_000_000:  # 5 s / 12 and a little
        made.fire(made.next)
    assert len(down) == 150
    assert made.next == 5_000_000_000


def window(contender: str, number: int, cpu: float, p50: float) -> Window:
    scenario = Scenario("plain", 100, "steady")
    latency = Latency(p50, 2 * p50, p50, p50, p50, p50)
    return Window(contender, scenario, number, 1.0, 1.0, 1000, 1000, 1000, cpu, 0.1, latency)


def test_a_row_has_medians_and_the_ratios_of_its_own_rounds() -> None:
    """A round that was slow for everybody leaves the ratio as it is."""
    seen = [
        *(window("direct", number, 0.0, 0.1) for number in range(3)),
        *(window("skeleton", number, slow * 0.01, 0.2) for number, slow in enumerate((1, 5, 1))),
        *(window("relay", number, slow * 0.02, 0.4) for number, slow in enumerate((1, 5, 1))),
    ]
    relay, skeleton = rows(seen)
    assert (relay.contender, skeleton.contender) == ("relay", "skeleton")
    assert relay.microseconds == pytest.approx(20)
    assert relay.to_skeleton == pytest.approx(2)
    assert relay.to_nginx is None
    assert relay.added_p50 == pytest.approx(0.3)
    assert relay.sessions_a_core == 625


def test_two_checkouts_are_compared_within_each_round() -> None:
    other = f"{RELAY_OF}/somewhere"
    slow = (1, 5, 1)
    [row] = compared(
        [
            *(window("relay", number, times * 0.021, 0.4) for number, times in enumerate(slow)),
            *(window(other, number, times * 0.02, 0.4) for number, times in enumerate(slow)),
            window("relay", 3, 1.0, 0.4),  # the run was cut short before the other's
        ],
        other,
    )
    assert row.rounds == 3
    assert [row.least, row.ratio, row.most] == pytest.approx([1.05] * 3)
    assert [row.here, row.there] == pytest.approx([21, 20])


def test_the_plot_has_a_bar_for_every_row() -> None:
    drawn = bars(rows([window("relay", 0, 0.02, 1.0), window("skeleton", 0, 0.01, 1.0)]))
    assert drawn.count("<rect") == 3  # the background too
    assert ">20.0<" in drawn
    assert ">10.0<" in drawn


def test_every_hot_function_has_its_price() -> None:
    prices = micro.measure(seconds=0.001)
    assert len(prices) >= 4
    assert all(0 < price < 1_000 for price in prices.values())
