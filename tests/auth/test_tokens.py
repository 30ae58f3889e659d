"""Tests of the verifier, against a real key server and a fake Supabase where needed."""

import base64
import hashlib
import hmac
import json

import jwt
import pytest
from aiohttp import web

from relay.auth.jwks import KeySetUnavailable, KeyUnknownYet
from relay.auth.tokens import LEEWAY, MAX_TOKEN, InvalidToken, JwtConfig, mint, open_verifier
from relay.realtime.endings import (
    AUTH_UNAVAILABLE,
    TOKEN_TOO_LONG,
    UNAUTHORIZED,
    SessionRefused,
)
from relay.realtime.grant import Caller
from tests.auth.supabase import (
    ISSUER,
    NOW,
    SECRET,
    SERVICE_KEY,
    SUB,
    claims,
    ec_key,
    hs256,
    public_pem,
    public_row,
    rsa_key,
    signed,
)

EC, RSA = ec_key("issuer"), rsa_key("issuer")
WITH_SECRET = JwtConfig(secret=SECRET, issuer=ISSUER)


def with_keys(auth, **more):
    auth.keys = [public_row(EC, "e"), public_row(RSA, "r")]
    return JwtConfig(jwks_url=auth.jwks_url, issuer=ISSUER, **more)


async def verified(trust, token, now=NOW):
    async with open_verifier(trust, clock=lambda: now) as verifier:
        return await verifier.verify(token)


async def refusal(trust, token, now=NOW):
    """The ending the caller sees, and the reason that may be logged."""
    with pytest.raises(SessionRefused) as refused:
        await verified(trust, token, now)
    return refused.value.ending, str(refused.value.__cause__)


def segment(data):
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def forged(header, payload=None, secret=None):
    """A token that a library would not make: any header, HMAC-SHA256 with any bytes."""
    signing_input = f"{segment(header)}.{segment(claims() if payload is None else payload)}"
    signature = hmac.new(secret or SECRET.encode(), signing_input.encode(), hashlib.sha256).digest()
    return f"{signing_input}.{segment(signature)}"


def tampered(token, **changes):
    """The same token with other claims under the old signature."""
    header, _, signature = token.split(".")
    return f"{header}.{segment(claims(**changes))}.{signature}"


async def test_S3_5_a_supabase_hs256_token_is_accepted():
    assert await verified(WITH_SECRET, hs256()) == Caller(SUB, "learner", NOW + 3600)


async def test_S3_5_a_key_id_on_an_hs256_token_is_ignored():
    assert await verified(WITH_SECRET, hs256(headers={"kid": "e"}))


@pytest.mark.parametrize(("key", "kid"), [(EC, "e"), (RSA, "r"), (EC, None)])
async def test_S3_5_es256_and_rs256_are_accepted_by_the_key_server(auth, key, kid):
    token = signed(key, kid, app_metadata={"role": "coach", "agent_id": "a"})
    assert await verified(with_keys(auth), token) == Caller(SUB, "coach", NOW + 3600, "a")


async def test_S3_5_shared_secret_and_key_set_are_accepted_side_by_side(auth):
    async with open_verifier(with_keys(auth, secret=SECRET), lambda: NOW) as verifier:
        for token in (hs256(), signed(EC, "e"), signed(RSA, "r")):
            assert (await verifier.verify(token)).sub == SUB
    assert auth.jwks_asked == 1


TIMES_AND_CLAIMS = [
    ("expired", hs256(exp=NOW - LEEWAY), "expired"),
    ("wrong audience", hs256(aud="anon"), "wrong audience"),
    ("no audience", hs256(aud=...), "wrong audience"),
    ("wrong issuer", hs256(iss="https://evil.example/auth/v1"), "wrong issuer"),
    ("no issuer", hs256(iss=...), "wrong issuer"),
    ("no subject", hs256(sub=...), "no subject"),
    ("empty subject", hs256(sub=""), "no subject"),
    ("no expiry", hs256(exp=...), "exp is missing or not a time"),
    ("not valid yet", hs256(nbf=NOW + 60), "not valid yet (nbf)"),
    ("issued in the future", hs256(iat=NOW + 60), "not valid yet (iat)"),
    ("Supabase's public anon key", hs256(aud=..., sub=..., role="anon"), "wrong audience"),
    ("Supabase's service key", hs256(aud=..., sub=..., role="service_role"), "wrong audience"),
]

FORGERIES = [
    ("another secret", hs256("another-secret-of-many-many-characters"), "wrong signature"),
    ("tampered claims", tampered(hs256(), sub="another-user"), "wrong signature"),
    ("cut signature", hs256()[:-3], "wrong signature"),
    ("no signature", hs256().rpartition(".")[0] + ".", "wrong signature"),
    ("alg none", jwt.encode(claims(), "", algorithm="none"), "this algorithm is not accepted"),
    ("alg None", forged({"alg": "None"}), "this algorithm is not accepted"),
    ("alg empty", forged({"alg": ""}), "this algorithm is not accepted"),
    ("alg absent", forged({"typ": "JWT"}), "this algorithm is not accepted"),
    ("alg no text", forged({"alg": ["HS256"]}), "this algorithm is not accepted"),
    ("alg HS512", jwt.encode(claims(), SECRET * 2, "HS512"), "this algorithm is not accepted"),
    ("alg ES256 without key server", signed(EC, "e"), "no key for ES256"),
    ("its own key", forged({"alg": "HS256", "jwk": {}}), "a token may not bring its own key"),
    ("its own address", forged({"alg": "HS256", "jku": "x"}), "a token may not bring its own key"),
    ("its own chain", forged({"alg": "HS256", "x5c": []}), "a token may not bring its own key"),
    ("its own x5u", forged({"alg": "HS256", "x5u": "x"}), "a token may not bring its own key"),
    ("critical", forged({"alg": "HS256", "crit": ["b64"]}), "not a token"),
    ("key id no text", forged({"alg": "HS256", "kid": 7}), "not a token"),
]

GARBAGE = [
    ("nothing", "", "not a token"),
    ("a word", "hello", "not a token"),
    ("dots", "..", "not a token"),
    ("not base64", "a.b.c", "not a token"),
    ("not JSON", f"{segment(b'{{')}.{segment(b'{}')}.x", "not a token"),
    ("not ASCII", "ключ.ключ.ключ", "not a token"),
    ("a lone surrogate", "\ud800.\ud800.\ud800", "not a token"),
    ("header is a list", f"{segment([])}.{segment({})}.", "not a token"),
    ("header nested without end", f"{segment(b'[' * 3000)}.{segment({})}.", "not a token"),
    ("claims are a list", forged({"alg": "HS256"}, []), "not a token"),
    ("claims are text", forged({"alg": "HS256"}, b"hello"), "not a token"),
    ("claims not UTF-8", forged({"alg": "HS256"}, b"\xff\xfe"), "not a token"),
    ("claims nested without end", forged({"alg": "HS256"}, b"[" * 5000), "not a token"),
    ("huge number", forged({"alg": "HS256"}, b'{"exp":' + b"9" * 5000 + b"}"), "not a token"),
]


@pytest.mark.parametrize(
    ("token", "why"),
    [pytest.param(token, why, id=f"S3-4 {name}") for name, token, why in
     TIMES_AND_CLAIMS + FORGERIES + GARBAGE],
)  # fmt: skip
async def test_S3_4_an_invalid_token_is_refused(token, why):
    assert await refusal(WITH_SECRET, token) == (UNAUTHORIZED, why)


@pytest.mark.parametrize(
    ("token", "why"),
    [
        pytest.param(forged({"alg": "HS256", "kid": "e"}, secret=public_pem(EC)),
                     "no key for HS256", id="HS256 with the public EC key as secret"),
        pytest.param(forged({"alg": "HS256", "kid": "r"}, secret=public_pem(RSA)),
                     "no key for HS256", id="HS256 with the public RSA key as secret"),
        pytest.param(signed(EC, "r"), "unknown key", id="ES256 with the id of an RSA key"),
        pytest.param(signed(RSA, "e"), "unknown key", id="RS256 with the id of an EC key"),
        pytest.param(signed(ec_key("evil"), "e"), "wrong signature", id="another EC key"),
        pytest.param(signed(rsa_key("evil"), "r"), "wrong signature", id="another RSA key"),
        pytest.param(signed(ec_key("evil"), "evil"), "unknown key", id="unknown id"),
        pytest.param(tampered(signed(EC, "e"), sub="x"), "wrong signature", id="tampered"),
        pytest.param(signed(EC, "e", exp=NOW - 60), "expired", id="expired"),
        pytest.param(signed(RSA, "r", aud="x"), "wrong audience", id="wrong audience"),
        pytest.param(signed(EC, "e", iss="x"), "wrong issuer", id="wrong issuer"),
        pytest.param(signed(EC, "e", sub=...), "no subject", id="no subject"),
    ],
)  # fmt: skip
async def test_S3_4_a_token_of_a_confused_or_foreign_key_is_refused(auth, token, why):
    assert await refusal(with_keys(auth), token) == (UNAUTHORIZED, why)


async def test_S3_4_a_public_key_never_serves_as_the_shared_secret(auth):
    token = forged({"alg": "HS256", "kid": "e"}, secret=public_pem(EC))
    why = (UNAUTHORIZED, "wrong signature")
    assert await refusal(with_keys(auth, secret=SECRET), token) == why


async def test_S3_5_a_rotated_key_is_learned_while_the_relay_runs(auth, monkeypatch):
    monkeypatch.setattr("relay.auth.jwks.REFETCH_PAUSE", 0.0)
    new = ec_key("rotated")
    async with open_verifier(with_keys(auth), lambda: NOW) as verifier:
        assert (await verifier.verify(signed(EC, "e"))).sub == SUB
        with pytest.raises(SessionRefused):
            await verifier.verify(signed(new, "n"))
        auth.keys.insert(0, public_row(new, "n"))
        assert (await verifier.verify(signed(new, "n"))).sub == SUB
        assert (await verifier.verify(signed(EC, "e"))).sub == SUB


async def test_S3_4_a_token_that_is_too_long_is_told_so():
    too_long = hs256(padding="x" * MAX_TOKEN)
    assert await refusal(WITH_SECRET, too_long) == (TOKEN_TOO_LONG, "too long")
    assert f"{MAX_TOKEN:,}" in TOKEN_TOO_LONG.advice


async def test_S3_4_where_no_key_set_can_be_had_no_token_is_called_wrong():
    trust = JwtConfig(jwks_url="http://127.0.0.1:1/jwks.json")
    ending, why = await refusal(trust, signed(EC, "e"))
    assert (ending, why) == (AUTH_UNAVAILABLE, "the key set cannot be fetched")


async def test_S3_5_a_token_with_a_brand_new_key_is_to_try_again(auth):
    new = ec_key("rotated")
    async with open_verifier(with_keys(auth), lambda: NOW) as verifier:
        await verifier.verify(signed(EC, "e"))
        auth.keys.append(public_row(new, "n"))
        with pytest.raises(SessionRefused) as refused:
            await verifier.verify(signed(new, "n"))
    assert refused.value.ending is AUTH_UNAVAILABLE
    assert isinstance(refused.value.__cause__, KeyUnknownYet)


@pytest.mark.parametrize("local_suffices", [False, True])
async def test_slow_keys_and_a_slow_user_check_are_bounded_together(
    auth, monkeypatch, local_suffices
):
    monkeypatch.setattr("relay.auth.tokens.VERIFY_SECONDS", 0.0)  # the keys have taken all of it
    auth.users[signed(EC, "e")] = {"id": SUB}
    trust = with_keys(auth, auth_url=auth.url, local_suffices=local_suffices)
    if local_suffices:
        assert (await verified(trust, signed(EC, "e"))).sub == SUB
        return
    ending, why = await refusal(trust, signed(EC, "e"))
    assert (ending, why) == (
        AUTH_UNAVAILABLE,
        "the authentication server did not answer in time",
    )


async def test_no_token_is_accepted_when_nothing_is_configured():
    assert await refusal(JwtConfig(), hs256()) == (UNAUTHORIZED, "no key for HS256")


async def test_S3_49_a_token_is_valid_until_its_expiry_which_the_caller_carries():
    caller = await verified(WITH_SECRET, hs256(), now=NOW + 3600)
    assert caller.expires_at == NOW + 3600
    end = NOW + 3600 + LEEWAY
    assert await refusal(WITH_SECRET, hs256(), now=end) == (UNAUTHORIZED, "expired")


def with_user_check(auth, **more):
    return JwtConfig(issuer=ISSUER, auth_url=auth.url, api_key=SERVICE_KEY, **more)


async def test_S3_6_supabase_is_asked_for_the_user_as_well(auth):
    token = hs256()
    auth.users[token] = {"id": SUB}
    assert (await verified(with_user_check(auth, secret=SECRET), token)).sub == SUB
    auth.users.clear()
    ending, _ = await refusal(with_user_check(auth, secret=SECRET), token)
    assert ending is UNAUTHORIZED


async def test_S3_6_an_invalid_token_is_refused_before_supabase_is_asked(auth):
    await refusal(
        with_user_check(auth, secret=SECRET), hs256("another-secret-of-many-many-characters")
    )
    await refusal(with_user_check(auth, secret=SECRET), hs256(exp=NOW - 60))
    assert auth.user_asked == []


async def test_S3_6_without_a_secret_an_hs256_token_costs_no_request(auth):
    good, forged = hs256(), hs256("another-secret-of-many-many-characters", sub="victim")
    auth.users[good] = auth.users[forged] = {"id": SUB}
    for token in (good, forged):
        assert await refusal(with_user_check(auth), token) == (UNAUTHORIZED, "no key for HS256")
        assert await refusal(with_keys(auth, auth_url=auth.url), token) == (
            UNAUTHORIZED,
            "no key for HS256",
        )
    assert (auth.user_asked, auth.jwks_asked) == ([], 0)


async def test_where_the_user_cannot_be_asked_about_the_caller_is_told_so(auth):
    auth.user_answer = web.Response(status=503)
    ending, why = await refusal(with_user_check(auth, secret=SECRET), hs256())
    assert (ending, why) == (AUTH_UNAVAILABLE, "the authentication server answered HTTP 503")


async def test_where_the_local_check_suffices_it_is_still_made(auth):
    auth.user_answer = web.Response(status=503)
    trust = with_user_check(auth, secret=SECRET, local_suffices=True)
    assert (await verified(trust, hs256())).sub == SUB
    assert await refusal(trust, hs256(exp=NOW - 60)) == (UNAUTHORIZED, "expired")
    forged = hs256("another-secret-of-many-many-characters")
    assert await refusal(trust, forged) == (UNAUTHORIZED, "wrong signature")


@pytest.mark.parametrize("step", [3600.0, -3600.0])
async def test_a_token_is_judged_by_the_clock_as_it_is_now(step):
    now = [NOW - step]
    async with open_verifier(WITH_SECRET, lambda: now[0]) as verifier:
        token = hs256(exp=NOW + 60)
        with pytest.raises(SessionRefused):
            await verifier.verify(token)
        now[0] = NOW  # somebody has set the clock right
        assert (await verifier.verify(token)).sub == SUB
        now[0] = NOW - step
        with pytest.raises(SessionRefused):
            await verifier.verify(token)


@pytest.mark.parametrize("alg", ["none", "ES256"])
async def test_S3_6_supabase_verifies_the_signature_of_hs256_tokens_only(auth, alg):
    token = forged({"alg": alg})
    auth.users[token] = {"id": SUB}
    ending, _ = await refusal(with_user_check(auth), token)
    assert ending is UNAUTHORIZED
    assert auth.user_asked == []


async def test_the_reason_of_a_refusal_holds_no_part_of_the_token():
    token = hs256(aud="very-secret-audience")
    with pytest.raises(SessionRefused) as refused:
        await verified(WITH_SECRET, token)
    cause = refused.value.__cause__
    assert isinstance(cause, InvalidToken)
    assert not any(piece in repr(cause) for piece in [*token.split("."), "very-secret"])
    assert not isinstance(cause, KeySetUnavailable)


def test_the_repr_of_a_config_hides_its_secrets():
    shown = repr(JwtConfig(secret=SECRET, api_key=SERVICE_KEY))
    assert SECRET not in shown
    assert SERVICE_KEY not in shown


@pytest.mark.parametrize("issuer", [None, ISSUER])
@pytest.mark.parametrize(
    "caller",
    [Caller("dev", "learner", NOW + 60), Caller("dev", "admin", NOW + 60, agent_id="a-1")],
)
async def test_a_minted_token_is_verified_as_the_same_caller(caller, issuer):
    token = mint(caller, SECRET, NOW, issuer)
    assert await verified(JwtConfig(secret=SECRET, issuer=issuer), token) == caller
