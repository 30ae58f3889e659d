"""What verifies tokens is tried on tokens that others have signed."""

import jwt
import pytest

from relay.auth.tokens import JwtConfig
from relay.check.tokens import check_secret, check_token
from relay.cli.check import TOKEN_NAMES
from tests.auth.supabase import (
    ISSUER,
    NOW,
    SECRET,
    SERVICE_KEY,
    FakeAuth,
    ec_key,
    hs256,
    public_row,
    signed,
)

OTHER = "another-projects-secret-with-as-many-characters"
TRUST = JwtConfig(secret=SECRET, issuer=ISSUER)


def legacy_key(secret: str = SECRET) -> str:
    """A service key as older projects have it: a token of HS256 without an audience."""
    return jwt.encode({"iss": "supabase", "role": "service_role", "exp": NOW * 2}, secret, "HS256")


def now() -> float:
    return NOW


async def test_the_secret_is_tried_on_the_projects_own_service_key() -> None:
    found = await check_secret(SECRET, legacy_key(), TOKEN_NAMES)
    assert (found.state, found.what) == (
        "ok",
        "SUPABASE_SERVICE_ROLE_KEY is signed with SUPABASE_JWT_SECRET",
    )


async def test_a_secret_of_another_project_fails_and_is_not_shown() -> None:
    found = await check_secret(OTHER, legacy_key(), TOKEN_NAMES)
    assert found.state == "fail"
    assert OTHER not in str(found)
    assert legacy_key() not in str(found)


@pytest.mark.parametrize("key", ["", SERVICE_KEY, signed(ec_key("new"), "k")])
async def test_what_nobody_else_has_signed_anything_with_is_not_called_good(key: str) -> None:
    found = await check_secret(OTHER, key, TOKEN_NAMES)
    assert found.state == "skip"
    assert "--token" in found.what


async def test_a_token_of_a_user_is_accepted_as_in_a_call() -> None:
    token = hs256(app_metadata={"role": "coach"})
    found = await check_token(token, TRUST, now, TOKEN_NAMES)
    assert (found.state, found.what) == (
        "ok",
        "it is accepted as a coach's, until 2027-01-15T09:00:00Z",
    )
    assert token not in str(found)


@pytest.mark.parametrize(
    ("token", "trust", "what", "hint"),
    [
        (hs256(OTHER), TRUST, "wrong signature", "SUPABASE_JWT_SECRET"),
        (hs256(exp=NOW - 60), TRUST, "expired", "a fresh one"),
        (
            hs256(iss="https://api.example.org/auth/v1"),
            TRUST,
            "wrong issuer",
            "SUPABASE_JWT_ISSUER=https://api.example.org/auth/v1",
        ),
        (hs256(iss=...), TRUST, "wrong issuer", "(it names none)"),
        (hs256(), JwtConfig(jwks_url="http://127.0.0.1:1/"), "no key for HS256", "JWT_SECRET"),
        ("garbage", TRUST, "not a token", "a fresh one"),
    ],
    ids=["signature", "expired", "issuer", "no issuer", "no secret", "garbage"],
)
async def test_a_token_that_is_refused_says_why_and_what_to_set(
    token: str, trust: JwtConfig, what: str, hint: str
) -> None:
    found = await check_token(token, trust, now, TOKEN_NAMES)
    assert (found.state, found.what) == ("fail", f"it is refused: {what}")
    assert hint in found.hint
    assert token not in str(found)


async def test_a_token_of_a_key_set_is_verified_with_it(auth: FakeAuth) -> None:
    auth.keys = [public_row(ec_key("issuer"), "e")]
    trust = JwtConfig(jwks_url=auth.jwks_url, issuer=ISSUER)
    assert (await check_token(signed(ec_key("issuer"), "e"), trust, now, TOKEN_NAMES)).state == "ok"
    found = await check_token(signed(ec_key("other"), "o"), trust, now, TOKEN_NAMES)
    assert found.what == "it is refused: unknown key"


async def test_where_the_keys_cannot_be_had_the_token_is_not_called_wrong() -> None:
    trust = JwtConfig(jwks_url="http://127.0.0.1:1/jwks.json")
    found = await check_token(signed(ec_key("issuer"), "e"), trust, now, TOKEN_NAMES)
    assert found.what == "it cannot be verified: the key set cannot be fetched"
