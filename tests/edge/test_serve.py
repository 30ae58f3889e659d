"""`relay serve` as a process: its settings, its logs, its signals, its crashes."""

import asyncio
import base64
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import aiohttp
import pytest

from relay.parts.simple import Script
from tests.edge.front import PATIENCE
from tests.edge.program import PROVIDER_KEY, SERVE, Program, provider, served
from tests.scenarios.stage import AGENT, SECRET, SILENCE, SPEECH, Line, token

HEARD = "Strawberries grow beside the lighthouse."
REPLY = "Then let us walk there with a basket."
WRITTEN = "My grandmother calls them by another name."
SCRIPT = Script(heard=(HEARD,), replies=(REPLY,))
S3 = f"/?agent_id={AGENT}&token={token()}"
MARKER = b"\x12\x34\x56\x78" * 6000
"""Sound that is found again, raw and as base64, wherever it was written."""


async def voice_turn(line: Line) -> None:
    await line.until("session.created")
    await voice_turn_of(line)


async def voice_turn_of(line: Line) -> None:
    await line.speak(SPEECH + MARKER + SILENCE)
    await line.until("response.done")


# -------------------------------------------------------------------------------- its settings


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({}, ["SUPABASE_URL", "SUPABASE_SERVICE_ROLE_KEY"]),
        ({"SUPABASE_URL": "https://ref.supabase.co"}, ["SUPABASE_SERVICE_ROLE_KEY"]),
        ({"SUPABASE_SERVICE_ROLE_KEY": "sb_secret_0123456789"}, ["SUPABASE_URL"]),
        ({"RELAY_STORE": "sqlite"}, ["SUPABASE_URL", "SUPABASE_JWT_SECRET"]),
    ],
)
def test_S3_59_without_supabase_it_says_so_and_does_not_start(
    tmp_path: Path, given: dict[str, str], named: list[str]
) -> None:
    told = subprocess.run(
        SERVE, cwd=tmp_path, env=given, capture_output=True, text=True, timeout=30, check=False
    )
    assert told.returncode == 1
    assert told.stdout == ""
    lines = told.stderr.splitlines()
    assert lines
    assert all(line.startswith("relay: ") for line in lines), "a sentence each, no traceback"
    assert [name for name in named if name not in told.stderr] == []
    assert "0123456789" not in told.stderr
    assert list(tmp_path.iterdir()) == []


# ------------------------------------------------------------------------------------ its logs


async def test_S3_60_json_lines_in_two_files_and_on_the_console(tmp_path: Path) -> None:
    async with (
        provider(SCRIPT) as openai,
        served(tmp_path, OPENAI_BASE_URL=openai) as relay,
    ):
        header = {"Authorization": f"Bearer {token()}"}
        async with relay.call("/v1/realtime?relay=1", additional_headers=header) as line:
            session = (await line.until("relay.session"))["session_id"]
        relay.process.send_signal(signal.SIGTERM)
        assert await relay.ended() == 0
        lines = relay.lines("combined.log")
        assert lines == relay.lines("console.log")
        assert relay.lines("error.log") == []
        for entry in lines:
            assert list(entry)[:4] == ["timestamp", "level", "message", "service"]
            assert entry["service"] == "relay"
        of_the_call = [entry for entry in lines if entry["message"] == "session ended"]
        assert [entry["session_id"] for entry in of_the_call] == [session]


async def test_S3_60_errors_are_in_the_second_file_too(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "relay.db").write_text("this is no database, " * 100)
    async with (
        provider(SCRIPT) as openai,
        served(tmp_path, OPENAI_BASE_URL=openai) as relay,
        relay.call(S3) as line,
    ):
        await voice_turn(line)
        (error,) = await relay.logged("error.log", 1)
        assert error["level"] == "error"
        assert error in relay.lines("combined.log")


async def test_S3_60_log_level_and_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    wrong = str(tmp_path / "file" / "logs")
    async with served(tmp_path, LOG_DIR=wrong, LOG_LEVEL="warning") as relay:
        async with relay.call(f"/?agent_id={AGENT}&token=x") as line:
            await line.closed()
        relay.process.send_signal(signal.SIGTERM)
        assert await relay.ended() == 0
        (entry,) = relay.lines("combined.log")
        assert (tmp_path / "logs" / "combined.log").exists()
        assert (entry["level"], entry["message"]) == ("warning", "log folder is not writable")
        assert entry["setting"] == "LOG_DIR"


async def test_logs_are_for_the_relays_user_and_group_alone(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    combined, error = tmp_path / "logs" / "combined.log", tmp_path / "logs" / "error.log"
    error.touch()
    error.chmod(0o644)  # an older relay's
    async with served(tmp_path, LOG_DIR=str(tmp_path / "logs")) as relay:
        assert [oct(path.stat().st_mode & 0o777) for path in (combined, error)] == ["0o640"] * 2
        combined.rename(tmp_path / "logs" / "combined.log.1")  # as logrotate does
        async with relay.call(f"/?agent_id={AGENT}&token=x") as line:
            await line.closed()
        await relay.logged("combined.log", 1)
        assert oct(combined.stat().st_mode & 0o777) == "0o640"


@pytest.mark.parametrize("level", ["info", "debug"])
async def test_S3_61_nothing_private_in_any_log(tmp_path: Path, level: str) -> None:
    secret = token()
    async with (
        provider(SCRIPT) as openai,
        served(tmp_path, OPENAI_BASE_URL=openai, LOG_LEVEL=level) as relay,
    ):
        offered = ["realtime", f"openai-insecure-api-key.{secret}"]
        async with relay.call("/v1/realtime", subprotocols=offered) as line:
            await voice_turn(line)
            said = {"type": "input_text", "text": WRITTEN}
            item = {"type": "message", "role": "user", "content": [said]}
            await line.send({"type": "conversation.item.create", "item": item})
            await line.send({"type": "response.create"})
            await line.until("response.done")
            await line.socket.send(f'{{"type": "{WRITTEN}", "token": "{secret}"')
            await line.until("error")
            await line.send({"type": WRITTEN, "token": secret})
            await line.until("error")
        async with relay.call(f"/?agent_id={AGENT}&token={secret}") as line:
            await voice_turn(line)
        for path in (f"/?agent_id=&token={secret}", f"/?agent_id=x&token={secret}x"):
            async with relay.call(path) as line:
                await line.closed()
        relay.process.send_signal(signal.SIGTERM)
        assert await relay.ended() == 0
    assert scan(tmp_path, secret) == []


def scan(folder: Path, secret: str) -> list[str]:
    """What was found where it must not be: secrets and sound in any file, words in any log."""
    sound = base64.b64encode(MARKER[:300])
    everywhere = [*secret.split("."), SECRET, PROVIDER_KEY, "openai-insecure-api-key."]
    private = [*(text.encode() for text in everywhere), MARKER[:64], sound[:64], sound[40:104]]
    words = [text.encode() for text in (HEARD, REPLY, WRITTEN)]
    files = [path for path in folder.rglob("*") if path.is_file()]
    logs = [path for path in files if path.suffix == ".log"]
    assert {path.name for path in logs} == {"combined.log", "error.log", "console.log"}
    assert "session ended" in (folder / "logs" / "combined.log").read_text()
    stored = b"".join(path.read_bytes() for path in files if path not in logs)
    assert all(word in stored for word in words), "what was said is where it belongs"
    return [
        f"{path.name}: {needle!r}"
        for path in files
        for needle in (private + words if path in logs else private)
        if needle in path.read_bytes()
    ]


# ------------------------------------------------------------------------------- its readiness


async def readiness(relay: Program) -> tuple[int, dict[str, str]]:
    """The status of /ready, and the parts that are not, with their reasons."""
    async with (
        aiohttp.ClientSession() as http,
        http.get(f"http://127.0.0.1:{relay.http}/ready") as answer,
    ):
        return answer.status, (await answer.json()).get("parts", {})


async def test_a_relay_whose_data_folder_was_deleted_is_not_ready(tmp_path: Path) -> None:
    async with provider(SCRIPT) as openai:
        async with served(tmp_path, OPENAI_BASE_URL=openai) as relay:
            await relay.logged("combined.log", 1)  # ready
            assert await readiness(relay) == (200, {})
            async with relay.call(S3) as line:
                await voice_turn(line)
                shutil.rmtree(tmp_path / "state")
                told = await not_ready(relay, "journal")
                assert told == "deleted: restart the relay"
                await voice_turn_of(line)  # the call goes on
                assert await not_ready(relay, "store") == "FileNotFoundError"
            errors = [(one["message"], one["reason"]) for one in relay.lines("error.log")]
            assert errors.count(("journal is failing", told)) == 1
        async with served(tmp_path, OPENAI_BASE_URL=openai) as relay:
            await relay.logged("combined.log", 1)
            assert await readiness(relay) == (200, {})


async def not_ready(relay: Program, part: str) -> str:
    """Why this part is not ready, once it is not."""
    async with asyncio.timeout(PATIENCE):
        while part not in (told := await readiness(relay))[1]:
            await asyncio.sleep(0.02)
    assert told[0] == 503
    return told[1][part]


# --------------------------------------------------------------------------------- its signals


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
async def test_S3_63_a_signal_lets_calls_end_then_ends_them(
    tmp_path: Path, number: signal.Signals
) -> None:
    async with (
        provider(SCRIPT) as openai,
        served(tmp_path, OPENAI_BASE_URL=openai, DRAIN_TIMEOUT="0.3") as relay,
        relay.call(S3) as line,
    ):
        await line.until("session.updated")
        began = time.monotonic()
        relay.process.send_signal(number)
        await refused(relay)
        assert await line.closed() == (1012, "Service restart")
        assert time.monotonic() - began >= 0.3
        assert await relay.ended() == 0
        assert time.monotonic() - began < 10
        with pytest.raises(OSError, match=r"refused|Connect"):
            await asyncio.open_connection("127.0.0.1", relay.http)


async def refused(relay: Program) -> None:
    """Wait until nobody new gets in."""
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", relay.voice)
        except OSError:
            return
        writer.close()
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2])
async def test_a_signal_that_means_nothing_changes_nothing(
    tmp_path: Path, number: signal.Signals
) -> None:
    async with (
        provider(SCRIPT) as openai,
        served(tmp_path, OPENAI_BASE_URL=openai, DRAIN_TIMEOUT="0.3") as relay,
    ):
        await relay.logged("combined.log", 1)  # ready
        async with relay.call(S3) as line:
            await line.until("session.updated")
            for _ in range(3):
                relay.process.send_signal(number)
            await voice_turn_of(line)
            async with relay.call(S3) as another:
                await another.until("session.created")
            relay.process.send_signal(signal.SIGINT)
            assert await line.closed() == (1012, "Service restart")
            assert await relay.ended() == 0


async def test_S3_63_who_has_no_calls_stops_at_once(tmp_path: Path) -> None:
    async with served(tmp_path, DRAIN_TIMEOUT="60") as relay:
        began = time.monotonic()
        relay.process.send_signal(signal.SIGTERM)
        assert await relay.ended() == 0
        assert time.monotonic() - began < 10


async def test_S3_63_a_second_signal_does_not_wait(tmp_path: Path) -> None:
    async with (
        provider(SCRIPT) as openai,
        served(tmp_path, OPENAI_BASE_URL=openai, DRAIN_TIMEOUT="60") as relay,
        relay.call(S3) as line,
    ):
        await line.until("session.updated")
        relay.process.send_signal(signal.SIGTERM)
        await refused(relay)
        relay.process.send_signal(signal.SIGTERM)
        assert await line.closed() == (1012, "Service restart")
        assert await relay.ended() == 0


async def test_S3_72_after_a_crash_in_the_middle_of_a_call_it_starts_again(tmp_path: Path) -> None:
    """The same folders and files, as systemd would find them two seconds later."""
    async with provider(SCRIPT) as openai:
        async with served(tmp_path, OPENAI_BASE_URL=openai) as relay, relay.call(S3) as line:
            await voice_turn(line)
            os.kill(relay.process.pid, signal.SIGKILL)
            assert await line.closed() == (1006, "")
        async with served(tmp_path, OPENAI_BASE_URL=openai) as relay, relay.call(S3) as line:
            await voice_turn(line)
