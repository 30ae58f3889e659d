"""What makes a caller of the claims of a signed token."""

import json
import math

import pytest

from relay.auth.tokens import LEEWAY, MAX_SUBJECT, InvalidToken, read_caller
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
def test_role_and_agent_come_from_app_metadata_alone(metadata, role, agent):
    said = claims(app_metadata=metadata, user_metadata={"role": "admin", "agent_id": "b"})
    caller = read_caller(said, ISSUER, NOW)
    assert (caller.role, caller.agent_id) == (role, agent)


def test_supabases_own_role_claim_gives_no_role_here():
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
def test_S3_4_claims_that_prove_nothing(changes, why):
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


def test_without_a_configured_issuer_any_is_believed():
    assert read_caller(claims(iss="whoever"), None, NOW).sub == SUB


def test_the_time_of_a_float_token_survives_json():
    said = json.loads(json.dumps(claims(exp=NOW + 0.25)))
    assert read_caller(said, ISSUER, NOW).expires_at == NOW + 0.25
