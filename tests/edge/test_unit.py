"""The systemd unit: what systemd says of it, and the relay inside its system call filter."""

import asyncio
import platform
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from relay.admission.descriptors import descriptors_for
from relay.config import Settings
from relay.parts.simple import Script
from relay.session.session import CLOSE_SECONDS
from relay.storage import FLUSH_SECONDS
from tests.components import needs, require
from tests.edge.front import PATIENCE
from tests.edge.program import provider, served
from tests.edge.sandbox import allowed_calls, setting
from tests.scenarios.stage import AGENT, token

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "systemd" / "relay.service"
SHIPPED = UNIT.read_text()
SANDBOX = (sys.executable, str(ROOT / "tests" / "edge" / "sandbox.py"), str(UNIT))
MOST_EXPOSED = 20  # on systemd's scale of 100: a score under 2.0
S3 = f"/?agent_id={AGENT}&token={token()}"


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit with paths that exist here: `verify` looks for the program."""
    program = "/opt/relay/.venv/bin/relay"
    assert SHIPPED.count(program) == 1
    path = tmp_path / "relay.service"
    path.write_text(SHIPPED.replace(program, sys.executable))
    return path


def analyze(*arguments: str) -> "subprocess.CompletedProcess[str]":
    program = [str(require("systemd_analyze")), *arguments, "--no-pager"]
    return subprocess.run(program, capture_output=True, text=True, check=False)


# ------------------------------------------------------------------------------ what systemd says


@needs("systemd_analyze")
def test_systemd_has_nothing_to_say_about_the_unit(unit: Path) -> None:
    told = analyze("verify", str(unit))
    assert (told.returncode, told.stdout, told.stderr) == (0, "", "")


@needs("systemd_analyze")
def test_and_would_have_said_so(unit: Path) -> None:
    unit.write_text(SHIPPED.replace("ProtectClock", "ProtectClok"))
    told = analyze("verify", str(unit)).stderr
    assert "ProtectClok" in told
    assert "/opt/relay/.venv/bin/relay is not executable" in told


@needs("systemd_analyze")
def test_its_exposure_is_under_two(unit: Path) -> None:
    told = analyze("security", "--offline=true", f"--threshold={MOST_EXPOSED}", str(unit))
    assert told.returncode == 0, told.stdout
    found = re.search(r"Overall exposure level for relay.service: (\d+\.\d+)", told.stdout)
    assert found
    assert float(found[1]) < MOST_EXPOSED / 10


# -------------------------------------------------------------------------- what the relay needs


def seconds(name: str) -> float:
    return float(setting(SHIPPED, name)[0])


def test_it_starts_after_the_clock_was_set() -> None:
    assert "time-sync.target" in " ".join(setting(SHIPPED, "After")).split()


def test_S3_72_S0_46_it_comes_back_after_a_crash_and_after_a_reboot() -> None:
    assert setting(SHIPPED, "Restart") == ["always"]
    assert setting(SHIPPED, "WantedBy") == ["multi-user.target"]
    # Ten starts fit into the window, so that a relay which cannot start is given up some day.
    assert seconds("StartLimitBurst") * (seconds("RestartSec") + 2) < seconds(
        "StartLimitIntervalSec"
    )


def test_it_is_not_killed_while_calls_end() -> None:
    drain = Settings.model_fields["drain_timeout"].default
    assert seconds("TimeoutStopSec") > drain + FLUSH_SECONDS + 2 * CLOSE_SECONDS
    assert setting(SHIPPED, "KillSignal") == ["SIGTERM"]
    assert setting(SHIPPED, "KillMode") == ["mixed"], "a recogniser outlives the signal"


def test_it_may_open_as_many_sockets_as_it_takes_calls() -> None:
    calls = Settings.model_fields["max_connections"].default
    assert seconds("LimitNOFILE") > 4 * calls
    assert seconds("LimitNOFILE") > descriptors_for(calls)


def test_a_crash_leaves_no_words_on_the_disk() -> None:
    assert setting(SHIPPED, "LimitCORE") == ["0"]


def test_its_settings_are_settings() -> None:
    (line,) = setting(SHIPPED, "Environment")
    given = dict(pair.split("=") for pair in line.split())
    assert {name.lower() for name in given} < Settings.model_fields.keys()
    assert given["RELAY_DATA_DIR"] == f"/var/lib/{setting(SHIPPED, 'StateDirectory')[0]}"
    assert given["LOG_DIR"] == f"/var/log/{setting(SHIPPED, 'LogsDirectory')[0]}"
    assert SHIPPED.index("Environment=") < SHIPPED.index("EnvironmentFile="), "the file wins"
    assert setting(SHIPPED, "EnvironmentFile") == ["/etc/relay/relay.env"], "and must be there"


# ------------------------------------------------------------------------------ inside its filter


@needs("systemd_analyze")
def test_the_filter_is_one() -> None:
    calls = allowed_calls(SHIPPED)
    assert {"read", "epoll_wait", "socket", "clone3", "execve"} < calls
    assert not {"mount", "ptrace", "bpf", "chroot", "setuid", "setrlimit", "reboot"} & calls


TRIES = """
import mmap, os, socket
for name, attempt in {
    "memory": lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC),
    "packets": lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW),
    "scheduler": lambda: os.sched_setaffinity(0, {0}),
    "root": lambda: os.chroot("/"),
    "nothing": lambda: socket.socket(),
}.items():
    try:
        attempt()
    except PermissionError:
        print(name, end=" ")
"""


@needs("systemd_analyze")
def test_the_sandbox_of_the_tests_refuses_what_the_unit_refuses() -> None:
    command = [*SANDBOX, sys.executable, "-c", TRIES]
    told = subprocess.run(command, capture_output=True, text=True, check=True)
    refused = ["packets", "scheduler", "root"]
    kernel = tuple(int(part) for part in platform.release().split(".")[:2])
    assert told.stdout.split() == (["memory", *refused] if kernel >= (6, 3) else refused)


@needs("systemd_analyze")
async def test_a_voice_turn_inside_the_filter(tmp_path: Path) -> None:
    script = Script(heard=("Good morning.",), replies=("Good morning to you.",))
    async with (
        provider(script) as openai,
        served(tmp_path, *SANDBOX, OPENAI_BASE_URL=openai) as relay,
    ):
        async with relay.call(S3) as line:
            await line.speak()
            await line.until("response.done")
        relay.process.send_signal(signal.SIGTERM)
        assert await relay.ended() == 0
        assert relay.lines("error.log") == []
    stored = b"".join(path.read_bytes() for path in (tmp_path / "state").glob("relay.db*"))
    assert b"Good morning to you." in stored


@needs("systemd_analyze", "voice", "human_recordings", "ffmpeg")
async def test_the_local_voice_inside_the_filter_with_its_drop_in(tmp_path, human_wav) -> None:
    """Its transcriber compiles as it runs, which the unit refuses without the drop-in."""
    pcm = human_wav("queue-thankyou").read_bytes()[44:]
    unit = tmp_path / "relay.service"
    unit.write_text(UNIT.read_text().replace("DenyWriteExecute=yes", "DenyWriteExecute=no"))
    sandbox = (*SANDBOX[:-1], str(unit))
    given = {"RELAY_ENGINE": "offline", "RELAY_LLM": "local"}
    async with served(tmp_path, *sandbox, **given) as relay, relay.call(S3) as line:
        await line.until("session.updated")
        await line.speak(pcm + bytes(96_000))
        await line.until("response.done", 60)
        assert "response.audio.delta" in line.types
        kind = "conversation.item.input_audio_transcription.completed"
        assert [event["transcript"] for event in line.events if event["type"] == kind] == [
            "Thank you for your patience."
        ]
    assert "Traceback" not in (tmp_path / "console.log").read_text()


@needs("systemd_analyze", "voice", "human_recordings", "ffmpeg")
async def test_without_the_drop_in_the_log_says_why_nobody_is_understood(
    tmp_path, human_wav
) -> None:
    pcm = human_wav("queue-thankyou").read_bytes()[44:]
    async with served(tmp_path, *SANDBOX, RELAY_ENGINE="offline") as relay, relay.call(S3) as line:
        await line.until("session.updated")
        await line.speak(pcm + bytes(96_000))
        done = await line.until("response.done", 60)
        assert done["response"]["status"] == "failed"
        async with asyncio.timeout(PATIENCE):  # the log is written beside the call
            while "MemoryDenyWriteExecute" not in (tmp_path / "console.log").read_text():
                await asyncio.sleep(0.02)
