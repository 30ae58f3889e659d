"""`relay token`, and the verifier that must accept its tokens."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import jwt
import pytest

from relay.auth.tokens import FILE, JwtConfig, open_verifier
from relay.config import dev_settings, trust_of
from relay.realtime.grant import Caller
from tests.cli.conftest import Ran
from tests.cli.program import one_line

Run = Callable[..., Ran]


async def believed(token: str) -> Caller:
    """The caller as a relay in this folder verifies the token."""
    async with open_verifier(trust_of(dev_settings().settings), time.time) as verifier:
        return await verifier.verify(token)


async def test_it_is_believed_by_a_relay_of_this_folder(run: Run) -> None:
    ran = run("token", "--sub", "ada")
    caller = await believed(ran.out.strip())

    assert (ran.code, ran.err) == (0, "")
    assert (caller.sub, caller.role, caller.agent_id) == ("ada", "learner", None)
    assert caller.expires_at == pytest.approx(time.time() + 3600, abs=10)


async def test_role_agent_and_lifetime_are_in_it(run: Run) -> None:
    ran = run("token", "--sub", "ada", "--role", "coach", "--agent", "a1", "--ttl", "600")
    caller = await believed(ran.out.strip())

    assert (caller.role, caller.agent_id) == ("coach", "a1")
    assert caller.expires_at == pytest.approx(time.time() + 600, abs=10)


async def test_as_json_it_comes_with_its_end(run: Run) -> None:
    told = json.loads(run("token", "--sub", "ada", "--json").out)

    assert told.keys() == {"token", "expires_at"}
    assert (await believed(told["token"])).expires_at == told["expires_at"]


async def test_the_secret_of_the_environment_comes_first(
    run: Run, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    monkeypatch.setenv("SUPABASE_JWT_SECRET", "s" * 32)
    monkeypatch.setenv("SUPABASE_URL", "https://ref.supabase.co")
    token = run("token", "--sub", "ada").out.strip()
    trust = JwtConfig(secret="s" * 32, issuer="https://ref.supabase.co/auth/v1")
    async with open_verifier(trust, time.time) as verifier:
        assert (await verifier.verify(token)).sub == "ada"

    assert not (folder / "var" / FILE).exists()


def test_two_commands_share_the_folders_secret(run: Run) -> None:
    first, second = (run("token", "--sub", sub).out.strip() for sub in ("ada", "bob"))
    secret = Path("var", FILE).read_text()

    assert [
        jwt.decode(token, secret, algorithms=["HS256"], audience="authenticated")["sub"]
        for token in (first, second)
    ] == ["ada", "bob"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--sub", " "), "--sub must not be empty"),
        (("--sub", "ada", "--ttl", "0"), "--ttl must be a positive number of seconds"),
        (("--sub", "ada", "--ttl", str(10**12)), "exp is missing or not a time"),
        (("--sub", "a" * 256), "the subject is too long"),
        (("--sub", "a\nb"), "the subject is too long or not printable"),
    ],
)
def test_no_token_is_made_that_would_be_refused(run: Run, words: list[str], told: str) -> None:
    ran = run("token", *words)

    assert (ran.code, ran.out) == (2, "")
    assert told in one_line(ran.err)


def test_wrong_settings_are_named(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "much")
    ran = run("token", "--sub", "ada")

    assert (ran.code, ran.out) == (1, "")
    assert one_line(ran.err).startswith("PORT: ")


def test_a_data_folder_that_cannot_be_made_is_named(run: Run, folder: Path) -> None:
    (folder / "var").write_text("a file")
    ran = run("token", "--sub", "ada")

    assert ran.code == 1
    assert one_line(ran.err).startswith("RELAY_DATA_DIR=var cannot be used: ")
