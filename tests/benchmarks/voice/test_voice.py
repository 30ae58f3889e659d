"""The voice benchmark itself: what it times, what it makes of that, and what it installs."""

import asyncio
import json
import re
import subprocess
import sys
from ctypes.util import find_library
from pathlib import Path

import aiohttp
import numpy as np
import pytest
from aiohttp import web

from tests.benchmarks.contenders import ROOT
from tests.benchmarks.voice.call import FRAME, Call, Plan, Saying, Turn
from tests.benchmarks.voice.conversation import Conversation, Cost
from tests.benchmarks.voice.distant import tone
from tests.benchmarks.voice.material import FINISHED, UNFINISHED, recordings
from tests.benchmarks.voice.meter import metered
from tests.benchmarks.voice.plot import chart
from tests.benchmarks.voice.results import (
    STAGES,
    Answered,
    Held,
    Results,
    as_json,
    error_rate,
    markdown,
    quantile,
    rows,
)
from tests.benchmarks.voice.sound import Playback, longest_pause, voice_end
from tests.benchmarks.voice.together import is_mixed_up, lag_over
from tests.components import needs

RATE = 24_000
FOLDER = Path(__file__).parent


def quiet(seconds: float) -> bytes:
    return bytes(int(seconds * RATE) * 2)


# ------------------------------------------------------------------------------------ what is timed


def test_a_recordings_voice_ends_where_its_silence_begins() -> None:
    pcm = quiet(0.5) + tone(1.0) + quiet(0.2) + tone(0.3) + quiet(0.4)

    assert voice_end(pcm, RATE) == pytest.approx(2.0, abs=0.011)
    assert longest_pause(pcm, RATE) == pytest.approx(0.2, abs=0.021)


def test_the_first_sound_is_heard_where_it_is_played_and_not_where_it_came() -> None:
    playback = Playback()
    playback.play(quiet(0.1), RATE, now=10.0)
    playback.play(tone(0.5), RATE, now=10.02)

    assert playback.first_sound == pytest.approx(10.1, abs=0.001)
    assert playback.ends_at == pytest.approx(10.6)


def test_what_comes_late_is_played_when_it_comes() -> None:
    playback = Playback()
    playback.play(quiet(0.1), RATE, now=10.0)
    playback.play(tone(0.5), RATE, now=12.0)

    assert playback.first_sound == pytest.approx(12.0, abs=0.001)


def test_silence_in_small_pieces_is_still_silence() -> None:
    playback = Playback()
    for piece in range(100):
        playback.play(quiet(0.004), RATE, now=10.0 + piece * 0.004)

    assert playback.first_sound is None


class Listener:
    """An agent that answers a tone, so long after it heard the last sound, with a tone."""

    def __init__(self, call: Call, after: float) -> None:
        self._call = call
        self._after = after

    async def listen(self) -> None:
        waiting: asyncio.TimerHandle | None = None
        async for frame in self._call.frames():
            if np.frombuffer(frame, "<i2").any():
                if waiting is not None:
                    waiting.cancel()
                loop = asyncio.get_running_loop()
                waiting = loop.call_later(self._after, self._answer)

    def _answer(self) -> None:
        self._call.mark("stopped")
        self._call.transcribed("a tone")
        self._call.played(tone(0.2), RATE)


def saying(folder: Path, name: str = "tone", text: str = "a tone") -> Saying:
    file = folder / f"{name}.pcm"
    file.write_bytes(tone(0.3))
    return Saying(name, text, {str(RATE): str(file)}, 0.3, finished=True)


@pytest.mark.slow
async def test_a_call_times_an_answer_from_the_last_voiced_sample(tmp_path: Path) -> None:
    call = Call(RATE)
    listening = asyncio.create_task(Listener(call, after=0.5).listen())

    turns = await call.talk([saying(tmp_path), saying(tmp_path)])

    listening.cancel()
    for turn in turns:
        assert 0.5 <= turn.seconds["sound"] < 0.5 + FRAME + 1.0
        assert turn.seconds["stopped"] <= turn.seconds["sound"]
        assert (turn.heard, turn.early) == ("a tone", False)


async def test_the_meter_notes_when_an_answer_was_asked_for_and_began() -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        stream = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await stream.prepare(request)
        for word in ("It ", "is. ", "And more"):
            delta = {"choices": [{"delta": {"content": word}}]}
            await stream.write(f"data: {json.dumps(delta)}\n\n".encode())
        await stream.write(b"data: [DONE]\n\n")
        return stream

    app = web.Application()
    app.router.add_post("/v1/chat/completions", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server = f"http://127.0.0.1:{runner.addresses[0][1]}"
    async with metered(server) as meter, aiohttp.ClientSession() as client:
        async with client.post(f"{meter.base_url}/chat/completions", json={}) as got:
            text = await got.text()
        (asked,) = meter.asked
        found = meter.between(asked.at, asked.at + 60)
    await runner.cleanup()

    assert text.endswith("data: [DONE]\n\n")
    assert found is asked
    assert asked.answer == "It is. And more"
    assert asked.token is not None
    assert asked.sentence is not None
    assert asked.at <= asked.token <= asked.sentence


# ----------------------------------------------------------------------------- what is made of that


def turn(said: str = "one two three", heard: str = "one two three", **seconds: float) -> Turn:
    return Turn("name", said, True, 100.0, dict(seconds), heard)


def held(*answers: Answered, contender: str = "relay") -> Held:
    return Held(contender, 0, 0.5, Cost(4.0, 60.0, 300.0, 250.0), answers)


def test_the_parts_of_an_answer_add_up_to_its_time() -> None:
    whole = Answered(turn(stopped=0.5, sound=1.5), asked=0.9, token=1.0, sentence=1.1)
    parts = whole.parts()

    assert list(parts) == list(STAGES)
    assert list(parts.values()) == pytest.approx([0.5, 0.4, 0.1, 0.1, 0.4])


def test_a_part_that_was_done_ahead_took_no_time() -> None:
    ahead = Answered(turn(stopped=0.5, sound=0.9), asked=0.4, token=0.45, sentence=0.6)

    assert list(ahead.parts().values()) == pytest.approx([0.5, 0.0, 0.0, 0.1, 0.3])


def test_a_sound_before_the_sentences_end_leaves_nothing_for_the_synthesizer() -> None:
    clause = Answered(turn(stopped=0.5, sound=0.9), asked=0.6, token=0.7, sentence=2.0)

    assert clause.parts()["synthesizer"] == 0
    assert sum(clause.parts().values()) == pytest.approx(0.9)


@pytest.mark.parametrize(("part", "value"), [(0.5, 10), (0.95, 19), (1.0, 20), (0.0, 1)])
def test_a_quantile_is_one_of_the_values(part: float, value: int) -> None:
    assert quantile(range(1, 21), part) == value


def test_a_turn_without_an_answer_is_counted_and_not_timed() -> None:
    (row,) = rows([held(Answered(turn(stopped=0.5, sound=1.5)), Answered(turn(stopped=0.5)))])

    assert (row.p50, row.p95, row.silent, row.turns) == (1.5, 1.5, 1, 2)
    assert row.cpu == 2.0


def test_word_errors_are_a_part_of_the_words_said() -> None:
    assert error_rate([turn(), turn(heard="one two")]) == pytest.approx(1 / 6)


def test_the_table_and_the_plot_show_every_contender() -> None:
    answer = Answered(turn(stopped=0.5, sound=1.5), 0.9, 1.0, 1.1)
    results = Results([held(answer), held(answer, contender="pipecat")])

    table, plot = markdown(results), chart(results.held)

    assert re.findall(r"^\| (relay|pipecat) \| 1 \| 1\.50 \|", table, re.MULTILINE) == [
        "relay",
        "pipecat",
    ]
    assert plot.count("<circle") == 2
    assert "pipecat" in plot
    assert json.loads(as_json(results))["held"][1]["answers"][0]["turn"]["seconds"]["sound"] == 1.5


def test_a_report_comes_back_as_it_was_written(tmp_path: Path) -> None:
    file, whole = tmp_path / "report.json", Conversation([turn(sound=1.0)], Cost(1, 2, 3, 4))
    whole.write(file)

    assert Conversation.read(file) == whole


def test_a_plan_comes_back_as_it_was_written(tmp_path: Path) -> None:
    one = saying(tmp_path)
    plan = Plan("http://here/v1", "model", "whisper", "piper", "Be brief.", 500, one, (one, one))
    plan.write(tmp_path / "plan.json")

    assert Plan.read(tmp_path / "plan.json") == plan


def test_the_loops_lag_is_read_from_the_metrics() -> None:
    metrics = "\n".join(
        f'relay_event_loop_lag_seconds_bucket{{le="{bound}"}} {count}'
        for bound, count in (("0.01", "7.0"), ("0.02", "9.0"), ("+Inf", "10.0"))
    )

    assert lag_over(metrics) == {"0": 10, "0.01": 3, "0.02": 1}


def test_a_transcript_of_anothers_words_is_a_mix_up(tmp_path: Path) -> None:
    said = [saying(tmp_path, "a", "one two three"), saying(tmp_path, "b", "four five six")]

    assert is_mixed_up(turn(heard="four five six"), said)
    assert not is_mixed_up(turn(heard="one too three"), said)
    assert not is_mixed_up(turn(heard=""), said)


# ------------------------------------------------------------------------ what is said, and by whom


@pytest.mark.slow
@needs("human_recordings", "ffmpeg")
def test_recordings_are_chosen_by_their_shape(tmp_path: Path) -> None:
    found = recordings(2, 1, tmp_path)

    assert [bool(FINISHED.fullmatch(one.text)) for one in found] == [True, True, False]
    assert UNFINISHED.fullmatch(found[2].text)
    for one in found:
        seconds = len(one.pcm(RATE)) / 2 / RATE
        assert len(one.pcm(16_000)) / 2 / 16_000 == pytest.approx(seconds, abs=0.01)
        assert 2.0 <= one.voice_end <= seconds


@pytest.mark.parametrize("peer", ["pipecat", "livekit"])
def test_a_peers_packages_are_pinned_by_hash_and_bring_no_torch(peer: str) -> None:
    lock = (FOLDER / f"{peer}.txt").read_text()
    pins = re.split(r"\n(?=[a-z0-9])", lock)[1:]

    assert len(pins) > 30
    assert not [pin for pin in pins if "--hash=sha256:" not in pin]
    assert not [pin for pin in pins if pin.startswith("torch")]
    for wanted in (FOLDER / f"{peer}.in").read_text().split():
        name, _, version = re.sub(r"\[.*\]", "", wanted).partition("==")
        assert any(pin.startswith(f"{name}=={version} ") for pin in pins), wanted


@pytest.mark.skipif(find_library("cuda") is not None, reason="a GPU here would be measured")
def test_without_a_gpu_one_line_says_so() -> None:
    command = [sys.executable, "-m", "tests.benchmarks.gpu"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)

    assert done.stdout == "no GPU here: not run\n"
