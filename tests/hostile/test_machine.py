"""The faults that a machine has, each over the whole program: what it costs the calls that run."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from relay.auth.tokens import mint
from relay.parts.simple import Script
from relay.realtime.grant import Caller
from tests.edge.program import Program, provider, served
from tests.hostile.__main__ import BUSY_P99, SHORT_SECONDS
from tests.hostile.attacks import ATTACKS
from tests.hostile.callers import Newcomers, measured_call
from tests.hostile.outcome import LINES_A_SECOND
from tests.hostile.programs import Relay, asked, auth_settings, environment, listening
from tests.hostile.trial import tried
from tests.scenarios.stage import SECRET, Line, new_id, token

PATIENCE = 60.0
HOUR = 3600.0
SMALL_DISK = "8m"
FULL_SECONDS = 3.0
NOTICES_WITHIN = 15.0
"""Seconds within which /ready says what is wrong."""
ANSWERED_WITHIN = 15.0
"""Seconds in which a caller hears that he cannot be let in, while nobody answers for him."""
BACK_WITHIN = 60.0
"""Seconds after a server is back in which callers are let in, whatever was remembered of it."""
SCRIPT = Script(heard=("A lighthouse.",), replies=("Then let us walk there.",))
ROOT = Path(__file__).parents[2]


@asynccontextmanager
async def in_a_call(relay: Program, bearer: str, conversation: str = "") -> AsyncIterator[Line]:
    """A call of a learner that has begun."""
    query = f"?relay=1&conversation_id={conversation or new_id()}"
    header = {"Authorization": f"Bearer {bearer}"}
    async with relay.call(f"/v1/realtime{query}", additional_headers=header) as line:
        await line.until("session.created")
        yield line


async def spoken_turn(line: Line) -> None:
    """Say something and hear the whole answer."""
    await line.speak()
    done = await line.until("response.done")
    assert done["response"]["status"] == "completed"


async def not_ready(relay: Program, part: str) -> None:
    """Wait until /ready names this part."""
    status, body = 0, ""
    async with asyncio.timeout(NOTICES_WITHIN):
        while status != 503 or part not in json.loads(body)["parts"]:
            status, body = await asyncio.to_thread(asked, relay.http, "/ready")
            await asyncio.sleep(0.1)


async def ready(relay: Program) -> None:
    async with asyncio.timeout(PATIENCE):
        while (await asyncio.to_thread(asked, relay.http, "/ready"))[0] != 200:
            await asyncio.sleep(0.1)


def lines_of(relay: Program) -> int:
    return (relay.folder / "console.log").read_text().count("\n")


# ------------------------------------------------------------------------------------- descriptors


@pytest.mark.slow
@pytest.mark.parametrize("descriptors", [64, 256])
@pytest.mark.parametrize("listener", ["voice", "HTTP"])
async def test_without_descriptors_running_calls_notice_nothing(
    descriptors: int, listener: str
) -> None:
    attack = ATTACKS[f"{descriptors} descriptors, idle connections to {listener}"]
    outcome = await tried(attack, SHORT_SECONDS)
    assert outcome.broken(BUSY_P99) == [], outcome.line(BUSY_P99)


# -------------------------------------------------------------------------------------------- disk


def has_mounts() -> bool:
    """Whether a program may have mounts of its own on this machine."""
    tried = ["unshare", "--user", "--map-root-user", "--mount", "true"]
    try:
        return subprocess.run(tried, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def on_a_small_disk(state: Path) -> tuple[str, ...]:
    """What to put before a command whose folder is to be a disk of its own, seen by it alone."""
    mounted = f'mount -t tmpfs -o size={SMALL_DISK} small "{state}" && exec "$@"'
    return ("unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mounted, "sh")


def fill(disk: Path) -> Path:
    """Write until there is no room; the file that takes it."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return filler


async def stored(relay: Program, conversation: str, count: int) -> list[str]:
    """What the learner said, as the coach's API gives it, once it is so many utterances."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{relay.http}/api/conversations/{conversation}/transcript",
        headers={"Authorization": f"Bearer {token('boss', 'admin')}"},
    )

    def ask() -> list[str]:
        with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310 - loopback
            said = json.load(answer)["utterances"]
        return [one["text"] for one in said if one["role"] == "user"]

    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                if len(texts := await asyncio.to_thread(ask)) >= count:
                    return texts
            except OSError:
                pass
            await asyncio.sleep(0.1)


@pytest.mark.slow
@pytest.mark.skipif(not has_mounts(), reason="no mounts of one's own on this machine")
async def test_a_full_disk_costs_no_call_and_no_word(tmp_path: Path) -> None:
    state, conversation = tmp_path / "state", new_id()
    state.mkdir()
    async with (
        provider(SCRIPT) as openai,
        served(
            tmp_path, *on_a_small_disk(state), PYTHONPATH=str(ROOT), OPENAI_BASE_URL=openai
        ) as relay,
        in_a_call(relay, token(), conversation) as line,
    ):
        await spoken_turn(line)
        before, began = lines_of(relay), time.monotonic()
        filler = fill(Path(f"/proc/{relay.process.pid}/root{state}"))
        await spoken_turn(line)
        await not_ready(relay, "journal")
        await spoken_turn(line)
        took = time.monotonic() - began
        assert lines_of(relay) - before <= LINES_A_SECOND * max(took, FULL_SECONDS)
        filler.unlink()
        await spoken_turn(line)
        await ready(relay)
        await line.socket.close()
        assert await stored(relay, conversation, 4) == [SCRIPT.heard[0]] * 4


@pytest.mark.slow
async def test_the_data_folder_is_deleted_while_it_runs(tmp_path: Path) -> None:
    async with (
        provider(SCRIPT) as openai,
        served(tmp_path, PYTHONPATH=str(ROOT), OPENAI_BASE_URL=openai, DRAIN_TIMEOUT="1") as relay,
        in_a_call(relay, token()) as line,
    ):
        await spoken_turn(line)
        before, began = lines_of(relay), time.monotonic()
        shutil.rmtree(tmp_path / "state")
        await spoken_turn(line)
        await not_ready(relay, "journal")
        await spoken_turn(line)
        took = time.monotonic() - began
        assert lines_of(relay) - before <= LINES_A_SECOND * max(took, FULL_SECONDS)
        relay.process.send_signal(signal.SIGTERM)
        await line.closed()
        assert await relay.ended() == 0


# ------------------------------------------------------------------------------------------- clock


@pytest.mark.slow
@pytest.mark.parametrize("wrong", [-HOUR, HOUR], ids=["an hour slow", "an hour fast"])
async def test_a_clock_that_is_set_right_ends_no_call_and_is_believed(
    tmp_path: Path, wrong: float
) -> None:
    ahead = tmp_path / "ahead"
    ahead.write_text(str(wrong))
    clocked = (sys.executable, "-m", "tests.hostile.other_clock", str(ahead))
    async with (
        provider(SCRIPT) as openai,
        served(tmp_path, *clocked, PYTHONPATH=str(ROOT), OPENAI_BASE_URL=openai) as relay,
        in_a_call(relay, token_of(time.time() + wrong)) as line,
    ):
        await spoken_turn(line)
        ahead.write_text("0")
        await spoken_turn(line)
        async with in_a_call(relay, token()) as newcomer:
            await spoken_turn(newcomer)
        await spoken_turn(line)


def token_of(now: float) -> str:
    """One that is issued then, and lasts for three hours."""
    return mint(Caller("ada", "learner", now + 3 * HOUR), SECRET, now)


# ------------------------------------------------------------------------- authentication server


@pytest.mark.slow
@pytest.mark.parametrize("check", ["user", "user-or-local"])
async def test_while_the_authentication_server_is_frozen(tmp_path: Path, check: str) -> None:
    """Running calls notice nothing; a caller is told 1013, or let in by the signature alone."""
    async with listening("engine") as (engine, _), listening("auth_server") as (auth, process):
        settings = environment(engine) | auth_settings(auth) | {"SUPABASE_AUTH_CHECK": check}
        issuer = f"http://127.0.0.1:{auth}/auth/v1"
        async with (
            served(tmp_path, **settings) as program,
            measured_call(program.voice, issuer) as call,
        ):
            relay, newcomers = Relay(program, issuer), Newcomers(program.voice, issuer)
            newcomers.waits = ANSWERED_WITHIN
            assert await newcomers.one(0)
            began = time.monotonic()
            os.kill(process.pid, signal.SIGSTOP)
            try:
                let_in = [await newcomers.one(number) for number in range(1, 6)]
            finally:
                os.kill(process.pid, signal.SIGCONT)
            trips = sorted(call.round_trips(began, time.monotonic()))
            assert trips[int(0.99 * len(trips))] < BUSY_P99
            assert call.ending is None
            if check == "user":
                assert let_in == [False] * 5
                assert [why.split()[0] for why in newcomers.refusals] == ["1013"] * 5
            else:
                assert let_in == [True] * 5
            async with asyncio.timeout(BACK_WITHIN):
                while not await newcomers.one(6):
                    await asyncio.sleep(0.5)
            assert relay.logged.count("\n") < LINES_A_SECOND * (time.monotonic() - began)
