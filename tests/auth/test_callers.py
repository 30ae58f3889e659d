"""Tests of reading a caller from claims, and of finding the token in a request."""

import json
import math

import pytest
from multidict import CIMultiDict

from relay.auth.tokens import (
    LEEWAY,
    MAX_SUBJECT,
    InvalidToken,
    find_bearer,
    read_caller,
    select_subprotocol,
)
from relay.realtime.grant import Caller
from tests.auth.supabase import ISSUER, NOW, SUB, claims


def test_a_supabase_token_is_a_learner_until_its_end():
    assert read_caller(claims(), ISSUER, NOW) == Caller(SUB, "learner", NOW + 3600, None)


@pytest.mark.parametrize(
    ("metadata", "role", "agent"),
    [
        ({"role": "coach"}, "coach", None),
        ({"role": "admin", "agent_id": "a-1"}, "admin", "a-1"),
        ({"role": "learner", "agent_id": ""}, "learner", None),
        ({"role": "Admin", "agent_id": 7}, "learner", None),
        ({"role": ["admin"]}, "learner", None),
        ("admin", "learner", None),
        (None, "learner", None),
        (..., "learner", None),
    ],
)
def test_role_and_agent_come_from_app_metadata_only(metadata, role, agent):
    said = claims(app_metadata=metadata, user_metadata={"role": "admin", "agent_id": "b"})
    caller = read_caller(said, ISSUER, NOW)
    assert (caller.role, caller.agent_id) == (role, agent)


def test_supabases_own_role_claim_is_ignored():
    assert read_caller(claims(role="admin"), ISSUER, NOW).role == "learner"


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"iss": "https://other.supabase.example/auth/v1"}, "wrong issuer"),
        ({"iss": ...}, "wrong issuer"),
        ({"iss": [ISSUER]}, "wrong issuer"),
        ({"aud": "anon"}, "wrong audience"),
        ({"aud": ...}, "wrong audience"),
        ({"aud": ["other"]}, "wrong audience"),
        ({"aud": {"authenticated": 1}}, "wrong audience"),
        ({"exp": NOW - LEEWAY}, "expired"),
        ({"exp": ...}, "exp is missing or not a time"),
        ({"exp": None}, "exp is missing or not a time"),
        ({"exp": str(int(NOW) + 60)}, "exp is missing or not a time"),
        ({"exp": True}, "exp is missing or not a time"),
        ({"exp": math.nan}, "exp is missing or not a time"),
        ({"exp": math.inf}, "exp is missing or not a time"),
        ({"exp": 10**4000}, "exp is missing or not a time"),
        ({"exp": -1}, "exp is missing or not a time"),
        ({"nbf": NOW + LEEWAY + 1}, "not valid yet (nbf)"),
        ({"nbf": "soon"}, "nbf is missing or not a time"),
        ({"iat": NOW + LEEWAY + 1}, "not valid yet (iat)"),
        ({"sub": ...}, "no subject"),
        ({"sub": ""}, "no subject"),
        ({"sub": "  "}, "no subject"),
        ({"sub": 42}, "no subject"),
        ({"sub": "x" * (MAX_SUBJECT + 1)}, "the subject is too long or not printable"),
        ({"sub": "a\x00b"}, "the subject is too long or not printable"),
    ],
)
def test_S3_4_invalid_claims_are_refused(changes, why):
    with pytest.raises(InvalidToken) as refusal:
        read_caller(claims(**changes), ISSUER, NOW)
    assert str(refusal.value) == why


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": NOW - LEEWAY + 0.5},
        {"nbf": NOW + LEEWAY},
        {"iat": NOW + LEEWAY},
        {"iat": ...},
        {"aud": ["other", "authenticated"]},
        {"sub": "x" * MAX_SUBJECT},
    ],
)
def test_clocks_may_differ_a_little_and_optional_claims_may_be_absent(changes):
    assert read_caller(claims(**changes), ISSUER, NOW).sub


def test_any_issuer_is_accepted_when_none_is_configured():
    assert read_caller(claims(iss="any"), None, NOW).sub == SUB


def test_a_fractional_expiry_is_kept():
    said = json.loads(json.dumps(claims(exp=NOW + 0.25)))
    assert read_caller(said, ISSUER, NOW).expires_at == NOW + 0.25


KEY = "openai-insecure-api-key."


@pytest.mark.parametrize(
    ("headers", "offered", "query", "found"),
    [
        ({"Authorization": "Bearer a", "api-key": "x"}, [KEY + "b"], {"token": "c"}, "a"),
        ({"authorization": "bearer  a "}, [], {}, "a"),
        ({"api-key": "a", "x-api-key": "x"}, [KEY + "b"], {"token": "c"}, "a"),
        ({"Api-Key": "", "X-API-Key": " a "}, [KEY + "b"], {}, "a"),
        ({"Authorization": "Basic a"}, ["realtime", KEY + "b"], {"token": "c"}, "b"),
        ({"Authorization": "Bearer "}, [KEY], {"token": "c"}, "c"),
        ({}, [], {"access_token": "d", "api-key": "e"}, "d"),
        ({}, [], {"api-key": "e", "Authorization": "Bearer f"}, "e"),
        ({}, [], {"Authorization": "Bearer f"}, "f"),
        ({}, [], {"Authorization": "f"}, None),
        ({}, [], {"token": "", "access_token": ""}, None),
    ],
)
def test_the_token_is_taken_from_the_first_place_that_has_one(
    headers: dict[str, str], offered: list[str], query: dict[str, str], found: str | None
) -> None:
    assert find_bearer(CIMultiDict(headers), offered, query.get) == found


def test_the_subprotocol_with_the_token_is_never_selected() -> None:
    assert select_subprotocol([KEY + "b", "relay.v1", "realtime"]) == "realtime"
    assert select_subprotocol([KEY + "b", "relay.v1"]) == "relay.v1"
    assert select_subprotocol([KEY + "b"]) is None
