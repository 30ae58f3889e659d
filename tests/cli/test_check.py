"""`relay check` before a start, beside a running relay, and with a key."""

import functools
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from relay.check.runner import CheckTimeouts
from relay.parts.simple import tone
from relay.realtime.billing.pricing import DATE
from tests.cli.conftest import Ran
from tests.cli.program import Program, one_line, port_of, relay, taken_port
from tests.components import needs

Run = Callable[..., Ran]


def states(ran: Ran) -> dict[str, str]:
    """The state of each part in the printed lines."""
    lines = [line for line in ran.out.splitlines() if not line.startswith("     ")]
    return {line[5:].split(": ")[0]: line[:4].strip() for line in lines}


@pytest.fixture(autouse=True)
def quiet_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ports that no other program of this machine has, and a voice that is always there."""
    monkeypatch.setenv("PORT", "0")
    monkeypatch.setenv("RELAY_ENGINE", "echo")


def test_before_the_first_start_all_is_well_and_no_file_is_made(run: Run, folder: Path) -> None:
    ran = run("check")

    assert (ran.code, ran.err) == (0, "")
    assert states(ran) == {
        "settings": "ok",
        "settings, serve": "skip",
        "token secret": "ok",
        "voice": "ok",
        "journal": "ok",
        "store": "ok",
        "voice port": "ok",
        "HTTP port": "ok",
        "page": "ok",
        "sessions door": "ok",
        "socketio door": "ok",
        "services door": "ok",
        "proxy": "skip",
    }
    assert list(folder.iterdir()) == []


def test_a_token_of_somebody_is_verified_as_in_a_call(run: Run, folder: Path) -> None:
    good, other = folder / "good", folder / "other"
    good.write_text(run("token", "--sub", "ada", "--role", "coach").out)
    head, _, signature = good.read_text().strip().rpartition(".")
    other.write_text(f"{head}.{signature[1:2]}{signature[:1]}x{signature[3:]}")
    ran = run("check", "--token", str(good))
    assert ran.code == 0
    assert "ok   token: it is accepted as a coach's, until " in ran.out
    assert good.read_text().strip() not in ran.out

    ran = run("check", "--token", str(other))
    assert ran.code == 1
    assert "FAIL token: it is refused: wrong signature" in ran.out


def test_as_json_it_is_one_object(run: Run) -> None:
    told = json.loads(run("check", "--json").out)

    assert told["ok"] is True
    assert told["live"] is None
    assert told["speak"] is None
    assert told["parts"][0] == {
        "part": "settings",
        "state": "ok",
        "what": "`relay dev` can start with them",
        "mend": "",
    }


def test_one_part_that_fails_is_exit_code_1(run: Run, folder: Path) -> None:
    (folder / "var").write_text("no folder")
    lines, as_json = run("check"), run("check", "--json")

    assert (lines.code, as_json.code) == (1, 1)
    assert [part for part, state in states(lines).items() if state == "FAIL"] == [
        *("token secret", "journal", "store"),
    ]
    assert json.loads(as_json.out)["ok"] is False


def test_unreadable_settings_are_all_that_is_reported(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORT", "many")
    ran = run("check", "--live")

    assert ran.code == 1
    assert states(ran) == {"settings": "FAIL"}


def test_beside_a_running_relay_all_is_well(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Program("dev", "--port", "0", cwd=folder, RELAY_ENGINE="echo") as program:
        monkeypatch.setenv("HTTP_PORT", str(port_of(program.line("page"))))
        monkeypatch.setenv("PORT", str(port_of(program.line("socket"))))
        ran = run("check")
        code = program.stop()

    assert ran.code == 0
    assert "ok   journal: in use by a running relay, process " in ran.out
    assert ran.out.count("a relay answers at ") == 2
    assert "ok   token secret: tokens are signed with var/development-secret" in ran.out
    assert code == 0, "the relay did not mind"


def test_live_without_a_key_is_one_line(run: Run) -> None:
    ran = run("check", "--live")

    assert (ran.code, ran.out) == (1, "")
    assert one_line(ran.err) == (
        "--live needs a voice to talk to: set OPENAI_API_KEY (or OPENAI_BASE_URL)"
    )


@pytest.mark.slow
@needs("voice")
def test_live_takes_both_turns_and_reports_their_times_and_cost(run: Run, folder: Path) -> None:
    with Program("simulate", "--port", "0", cwd=folder) as provider:
        provider.line("OpenAI Realtime, offline:")
        url = provider.line("A relay uses it with OPENAI_API_KEY=any OPENAI_BASE_URL=")
        settings = {"OPENAI_API_KEY": "sk-secret", "OPENAI_BASE_URL": url, "PORT": "0"}
        lines = relay("check", "--live", cwd=folder, **settings)
        as_json = relay("check", "--live", "--json", cwd=folder, **settings)
        bad = relay("check", "--live", cwd=folder, **settings | {"OPENAI_API_KEY": "bad-secret"})

    assert lines.returncode == 0, lines.stdout
    told = lines.stdout.split("ok   live: a voice turn and a text turn with gpt-realtime-2.1\n")[1]
    assert [line.split(":")[0].strip() for line in told.splitlines()] == [
        *("connect", "first audio", "first text", "you", "voice", "text"),
        *("unknown events", "cost"),
    ]
    assert "unknown events: none" in told
    report = json.loads(as_json.stdout)["live"]
    assert report["unknown"] == {}
    assert report["cost_usd"] > 0
    assert report["unpriced"] == []
    assert report["priced_at"] == DATE
    assert report["audio_seconds"] > 1
    assert bad.returncode == 1
    assert (
        "FAIL live: the conversation broke off: invalid_api_key (see OPENAI_API_KEY" in bad.stdout
    )
    assert "secret" not in lines.stdout.replace("token secret", "").replace(
        "development-secret", ""
    )
    assert "bad-secret" not in bad.stdout


def test_speak_takes_one_turn_and_tells_where_its_time_went(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay.cli.check_voice.spoken_here", _a_tone)
    lines, as_json = run("check", "--speak"), run("check", "--speak", "--json")

    assert lines.code == as_json.code == 0
    first, table = lines.out.split("ok   speak: first sound ")[1].split("\n", 1)
    assert first.endswith(" s after the last voiced one")
    assert [line.split(":")[0].strip() for line in table.splitlines()] == [
        *("you", "voice", "turn ended", "transcript", "first words", "first sound", "of work"),
    ]
    report = json.loads(as_json.out)["speak"]
    assert 0 < report["turn_ended"] <= report["first_sound"]
    assert set(report["parts"]) == {"transcriber", "responder"}, "the echo plays what it heard"


def test_a_turn_that_fails_is_one_more_part_that_does(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RELAY_ENGINE", "openai")
    monkeypatch.setattr("relay.cli.check_voice.spoken_here", _a_tone)
    ran = run("check", "--speak")

    assert ran.code == 1
    assert "FAIL speak: no session: OpenAI API key not configured. " in ran.out
    assert "see what the checks of the parts say" in ran.out


async def _a_tone() -> bytes:
    return tone(500)


@pytest.mark.slow
@needs("voice")
def test_the_local_voice_is_checked_part_by_part_and_takes_a_turn(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RELAY_ENGINE", "offline")
    monkeypatch.setenv("RELAY_LLM", "local")
    ran = run("check", "--speak", "--json")
    told = json.loads(ran.out)
    parts = {part["part"]: part for part in told["parts"]}

    assert ran.code == 0, ran.out
    for name in ("synthesizer", "transcriber", "responder"):
        assert parts[name]["state"] == "ok"
        assert 0 < parts[name]["seconds"]["first"] <= parts[name]["seconds"]["all"]
    assert parts["speech detector"]["what"].startswith("finds a spoken sentence: ")
    assert "capital of France" in told["speak"]["heard"]
    assert told["speak"]["answer"] != ""
    assert told["speak"]["first_sound"] > 0.4


def test_a_slow_part_is_reported_while_it_is_waited_for(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A provider that accepts and then says nothing."""
    hasty = functools.partial(CheckTimeouts, slow_seconds=0.05)
    monkeypatch.setattr("relay.cli.check.CheckTimeouts", hasty)
    with taken_port() as provider:
        monkeypatch.setenv("RELAY_ENGINE", "openai")
        monkeypatch.setenv("ENGINE_TIMEOUT", "0.3")
        monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{provider.getsockname()[1]}/v1")
        ran = run("check")

    assert ran.code == 1
    assert states(ran)["voice"] == "FAIL"
    assert ran.err.splitlines()[0] == "     voice: still waiting after 0 s"
