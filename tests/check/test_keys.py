"""Secrets, key sets and authentication servers: usable, and not."""

from pathlib import Path

import pytest
from aiohttp import web

from relay.auth.tokens import FILE, development_secret
from relay.check.local import (
    check_auth_server,
    check_development_secret,
    check_key_set,
    check_optional_key_set,
)
from tests.auth.supabase import SERVICE_KEY, FakeAuth, ec_key, public_row, rsa_key


def test_the_check_does_not_create_the_development_secret(tmp_path: Path) -> None:
    found = check_development_secret(tmp_path)

    assert (found.state, found.what) == ("ok", f"{tmp_path / FILE} will be created by `relay dev`")
    assert list(tmp_path.iterdir()) == []


def test_the_development_secret_is_not_shown(tmp_path: Path) -> None:
    secret = development_secret(tmp_path)
    found = check_development_secret(tmp_path)

    assert (found.state, found.what) == ("ok", f"tokens are signed with {tmp_path / FILE}")
    assert secret not in str(found)


def test_a_truncated_development_secret_fails(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("short")
    found = check_development_secret(tmp_path)

    assert (found.state, found.what) == ("fail", f"{tmp_path / FILE} is damaged")
    assert "short" not in str(found)


def test_a_development_secret_that_is_a_folder_fails(tmp_path: Path) -> None:
    (tmp_path / FILE).mkdir()

    assert check_development_secret(tmp_path).what.endswith("cannot be read: Is a directory")


async def test_the_keys_of_a_key_set_are_counted(auth: FakeAuth) -> None:
    auth.keys = [
        public_row(ec_key("a"), "a"),
        public_row(ec_key("b"), "b"),
        public_row(rsa_key("c"), "c"),
        {"kty": "oct", "k": "c2VjcmV0"},
    ]
    found = await check_key_set(auth.jwks_url, "see THE_URL")

    assert (found.state, found.what) == ("ok", f"2 for ES256, 1 for RS256 at {auth.jwks_url}")


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (None, "has no key for signatures"),
        (web.Response(status=404), "gives no keys: not a key set (HTTP 404)"),
        (web.json_response([]), "gives no keys: not a key set (HTTP 200)"),
    ],
)
async def test_a_key_set_without_keys_fails(
    auth: FakeAuth, answer: web.Response | None, why: str
) -> None:
    auth.jwks_answer = answer
    found = await check_key_set(auth.jwks_url, "see THE_URL")

    assert (found.state, found.what, found.hint) == (
        "fail",
        f"{auth.jwks_url} {why}",
        "see THE_URL",
    )


async def test_a_key_set_without_a_server_fails() -> None:
    found = await check_key_set("http://127.0.0.1:8/jwks.json", "see THE_URL")

    assert found.state == "fail"
    assert found.what.startswith("http://127.0.0.1:8/jwks.json gives no keys: ")


async def test_a_server_that_rejects_an_invalid_token_passes(auth: FakeAuth) -> None:
    found = await check_auth_server(auth.url, SERVICE_KEY, "see THE_KEY")

    assert found.state == "ok"
    assert found.what.startswith(f"{auth.url} rejects an invalid token, after ")
    assert [asked["Authorization"] for asked in auth.user_asked] == ["Bearer relay-check"]


async def test_a_server_that_refuses_our_key_fails(auth: FakeAuth) -> None:
    found = await check_auth_server(auth.url, "another-key", "see THE_KEY")

    assert (found.state, found.hint) == ("fail", "see THE_KEY")
    assert found.what == f"{auth.url} cannot be asked: the authentication server answered HTTP 401"


async def test_a_server_that_accepts_anything_fails(auth: FakeAuth) -> None:
    auth.users["relay-check"] = {"id": "nobody"}
    found = await check_auth_server(auth.url, SERVICE_KEY, "see THE_KEY")

    assert (found.state, found.what) == ("fail", f"{auth.url} accepts an invalid token")


async def test_an_empty_key_set_passes_beside_a_shared_secret(auth: FakeAuth) -> None:
    """Older projects have an empty key set, and sign with the shared secret."""
    found = await check_optional_key_set(auth.jwks_url, "see THE_URL")
    assert (found.state, found.hint) == ("ok", "")
    assert found.what.endswith("has no key for signatures: the shared secret alone verifies")

    auth.keys = [public_row(ec_key("a"), "a")]
    assert (await check_optional_key_set(auth.jwks_url, "see THE_URL")).what.startswith(
        "1 for ES256"
    )
    auth.jwks_answer = web.Response(status=404)
    assert (await check_optional_key_set(auth.jwks_url, "see THE_URL")).state == "fail"
