"""`relay talk` as a program, against a relay whose OpenAI is simulated."""

import asyncio
import json
import subprocess
import wave
from pathlib import Path

import pytest

from relay.parts.interfaces import Reply, SpokenMessage, failed
from relay.parts.simple import Script
from relay.talk.wav import write_wav
from tests.cli.program import one_line, relay
from tests.forward_proxy import forward_proxy
from tests.scenarios.stage import SPEECH, Stage, stage, token

SCRIPT = Script(heard=("Good morning.",), replies=("And to you.",))
Ran = subprocess.CompletedProcess[str]


@pytest.fixture
def spoken(tmp_path: Path) -> str:
    """A second of sound that the simulator takes for speech."""
    write_wav(tmp_path / "spoken.wav", SPEECH)
    return "spoken.wav"


async def talk(here: Stage, *words: str, bearer: str | None = None) -> Ran:
    """Talk to this stage's relay."""
    where = ("--url", f"{here.voice}/v1/realtime", "--token", bearer or token())
    return await asyncio.to_thread(relay, "talk", *where, *words, cwd=here.folder)


async def test_both_sides_are_printed_and_the_answer_is_saved(tmp_path: Path, spoken: str) -> None:
    async with stage(tmp_path, SCRIPT) as here:
        ran = await talk(here, "--save", "reply.wav", spoken)

    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.splitlines() == [
        "you:   Good morning.",
        "voice: And to you.",
        "0.7 s of answer, saved to reply.wav",
    ]
    with wave.open(str(tmp_path / "reply.wav")) as reply:
        assert reply.getparams()[:3] == (1, 2, 24_000)
        assert reply.getnframes() / 24_000 == pytest.approx(0.66, abs=0.01)
    assert not (tmp_path / "var").exists(), "with an address and a token it needs no settings"


async def test_it_hangs_up_after_the_answer_so_that_the_record_has_all_of_it(
    tmp_path: Path, spoken: str
) -> None:
    """It comes in a burst, and takes longer to say than the quiet that ends a conversation."""
    long = "And to you, too, and to all who are with you on this fine and early morning."
    async with stage(tmp_path, Script(heard=("Good morning.",), replies=(long,))) as here:
        ran = await talk(here, "--json", spoken)
        assert json.loads(ran.stdout)["answer_seconds"] > 3
    shown = await asyncio.to_thread(relay, "transcript", cwd=tmp_path, RELAY_DATA_DIR=".")

    assert long in shown.stdout, shown
    assert "interrupted" not in shown.stdout


async def test_as_json_it_is_one_object(tmp_path: Path, spoken: str) -> None:
    async with stage(tmp_path, SCRIPT) as here:
        ran = await talk(here, "--json", spoken)
    told = json.loads(ran.stdout)

    assert told["lines"] == [
        {"speaker": "you", "text": "Good morning."},
        {"speaker": "voice", "text": "And to you."},
    ]
    assert (told["errors"], told["failure"]) == ([], "")
    assert told["answer_seconds"] == 0.66
    assert 0 <= told["first_audio_ms"] < 5000


@pytest.mark.parametrize("said", ["And to", ""])
async def test_an_answer_that_failed_exits_with_1_and_says_why(
    tmp_path: Path, spoken: str, said: str
) -> None:
    outputs = (SpokenMessage(said),) if said else ()
    broken = Reply(outputs, ending=failed("server_error", "The model had an error."))
    async with stage(tmp_path, Script(heard=("Good morning.",), replies=(broken,))) as here:
        ran = await talk(here, spoken)
        as_json = await talk(here, "--json", spoken)

    assert (ran.returncode, as_json.returncode) == (1, 1)
    assert ran.stdout.splitlines()[0] == "you:   Good morning."
    assert one_line(ran.stderr) == "the answer failed: The model had an error."
    assert json.loads(as_json.stdout)["failure"] == "The model had an error."


async def test_a_bad_token_is_reported_and_exits_with_1(tmp_path: Path, spoken: str) -> None:
    async with stage(tmp_path, SCRIPT) as here:
        ran = await talk(here, spoken, bearer="not.a.token")

    assert ran.returncode == 1
    assert ran.stdout.startswith("error: The token is missing or not valid.")
    told = one_line(ran.stderr)
    assert told == "the relay closed the session: 3000 invalid_request_error.invalid_api_key"


async def test_it_goes_by_the_proxy_that_the_environment_names(tmp_path: Path, spoken: str) -> None:
    """As a whole program: only the proxy knows where the relay's name leads."""
    async with stage(tmp_path, SCRIPT) as here, forward_proxy(wants_login=True) as proxy:
        port = here.voice.rpartition(":")[2]
        where = ("--url", f"ws://relay.test:{port}/v1/realtime", "--token", token())
        ran = await asyncio.to_thread(
            relay, "talk", *where, "--json", spoken, cwd=tmp_path, HTTP_PROXY=proxy.url
        )
        assert proxy.asked == [f"CONNECT relay.test:{port} HTTP/1.1"]
    assert (ran.returncode, ran.stderr) == (0, "")
    assert json.loads(ran.stdout)["lines"][1]["text"] == "And to you."


async def test_an_address_without_the_realtime_api_is_reported(tmp_path: Path, spoken: str) -> None:
    async with stage(tmp_path, SCRIPT) as here:
        where = ("--url", f"{here.http}/".replace("http", "ws"), "--token", token())
        ran = await asyncio.to_thread(relay, "talk", *where, spoken, cwd=tmp_path)

    assert ran.returncode == 1
    assert "HTTP 404" in one_line(ran.stderr)


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("nothing.wav",), 2, "nothing.wav: no such file"),
        ((".",), 2, ".: not a PCM WAV file"),
        (("garbage.wav",), 2, "garbage.wav: not a PCM WAV file"),
        (("--save", "no/where.wav", "spoken.wav"), 2, "--save: there is no folder "),
        (("spoken.wav",), 1, "cannot reach ws://127.0.0.1:8/v1/realtime: "),
        (("--url", "127.0.0.1", "spoken.wav"), 1, "127.0.0.1 is not a ws:// or wss:// URL"),
        (
            ("--url", "ws://127.0.0.1:99999", "spoken.wav"),
            1,
            "ws://127.0.0.1:99999 is not a ws:// or",
        ),
        (("--token", "a b", "spoken.wav"), 1, "invalid token; create one with `relay token`"),
    ],
)
def test_every_mistake_is_one_line(
    tmp_path: Path, spoken: str, words: tuple[str, ...], code: int, told: str
) -> None:
    (tmp_path / "garbage.wav").write_bytes(b"RIFF....WAVEgarbage")
    ran = relay("talk", *words, cwd=tmp_path, PORT="8")

    assert (ran.returncode, ran.stdout) == (code, "")
    assert one_line(ran.stderr).startswith(told)


async def test_silence_ends_with_the_close_of_the_relay(tmp_path: Path) -> None:
    """No turn is taken from silence, so the relay ends the session as idle."""
    write_wav(tmp_path / "silence.wav", bytes(4800))
    async with stage(tmp_path, SCRIPT, engine_timeout=1, idle_timeout=1) as here:
        ran = await talk(here, "silence.wav")

    assert ran.returncode == 1
    assert one_line(ran.stderr) == "the relay closed the session: 4011 Idle"
