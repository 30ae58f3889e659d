"""Client secrets: a minute long, bound to a user and to settings, and signed by the relay alone."""

import jwt
import pytest

from relay.auth.client_secrets import (
    AUDIENCE,
    ISSUER,
    PREFIX,
    SECONDS,
    ClientSecrets,
    SecretOrToken,
    SettingsTooLarge,
)
from relay.auth.tokens import MAX_TOKEN, InvalidToken
from relay.realtime.endings import UNAUTHORIZED, SessionRefused
from relay.realtime.grant import Caller

KEY = "k" * 64
NOW = 1_760_000_000.0
ADA = Caller(sub="ada", role="coach", expires_at=NOW + 3600.5, agent_id="tutor")
SETTINGS = {"type": "realtime", "instructions": "Sei kurz. 🙂", "tools": [{"name": "look"}]}


def secrets(now: float = NOW, key: str = KEY) -> ClientSecrets:
    return ClientSecrets(key, lambda: now)


def claims_of(value: str) -> dict[str, object]:
    claims: dict[str, object] = jwt.decode(
        value.removeprefix(PREFIX), options={"verify_signature": False}
    )
    return claims


def test_a_secret_gives_its_caller_with_the_settings() -> None:
    made = secrets().make(ADA, SETTINGS)
    assert made.value.startswith("ek_")
    assert made.expires_at == NOW + 60
    caller = secrets(NOW + 59).read(made.value)
    assert (caller.sub, caller.role, caller.agent_id) == ("ada", "coach", "tutor")
    assert caller.session == SETTINGS
    assert caller.expires_at == NOW + 3600.5, "the session lasts as long as the user's own token"


def test_what_it_claims() -> None:
    claims = claims_of(secrets().make(ADA, {}).value)
    assert (claims["iss"], claims["aud"]) == ("relay", "relay-client")
    assert claims["exp"] == claims["iat"] + 60  # type: ignore[operator]
    assert claims["sub"] == "ada"


def test_nothing_of_it_is_shown() -> None:
    made = secrets().make(ADA, SETTINGS)
    assert made.value not in repr(made)
    assert "kurz" not in repr(secrets().read(made.value))


@pytest.mark.parametrize(("asked", "given"), [(10, 10), (60, 60), (7200, SECONDS)])
def test_it_lasts_a_minute_at_most(asked: int, given: int) -> None:
    assert secrets().make(ADA, {}, asked).expires_at == NOW + given


def test_it_does_not_outlive_the_users_own_token() -> None:
    late = Caller(sub="ada", role="learner", expires_at=NOW + 20)
    assert secrets().make(late, {}).expires_at == NOW + 20


def test_ten_thousand_characters_of_instructions_fit_and_more_do_not() -> None:
    words = " ".join(f"Sentence {number * 7919 % 997} is about this." for number in range(330))
    assert len(secrets().make(ADA, {"instructions": words}).value) <= MAX_TOKEN
    with pytest.raises(SettingsTooLarge):
        secrets().make(ADA, {"instructions": "".join(map(chr, range(0x4E00, 0x6E00)))})


@pytest.mark.parametrize(
    "changed",
    [{"iss": "other"}, {"aud": "authenticated"}, {"aud": [AUDIENCE]}, {"exp": NOW - 1}],
)
def test_another_kind_of_token_of_the_same_key_is_none(changed: dict[str, object]) -> None:
    claims = {**claims_of(secrets().make(ADA, {}).value), **changed}
    value = PREFIX + jwt.encode(claims, KEY, algorithm="HS256")
    with pytest.raises(InvalidToken):
        secrets().read(value)


def test_who_may_not_come_in() -> None:
    made = secrets().make(ADA, {}).value
    forged = PREFIX + jwt.encode(claims_of(made), "x" * 64, algorithm="HS256")
    unsigned = PREFIX + jwt.encode(claims_of(made), "", algorithm="none")
    for value in (forged, unsigned, made[:-4], PREFIX, "ek_a.b.c", PREFIX + made):
        with pytest.raises(InvalidToken):
            secrets().read(value)
    with pytest.raises(InvalidToken, match="expired"):
        secrets(NOW + 60).read(made)


class Users:
    async def verify(self, token: str) -> Caller:
        if token != "a user's":
            raise SessionRefused(UNAUTHORIZED)
        return ADA


async def test_all_other_tokens_are_the_users() -> None:
    verifier = SecretOrToken(Users(), secrets())
    assert await verifier.verify("a user's") is ADA
    assert (await verifier.verify(secrets().make(ADA, SETTINGS).value)).session == SETTINGS
    without_prefix = secrets().make(ADA, {}).value.removeprefix(PREFIX)
    for value in (without_prefix, "ek_nonsense"):
        with pytest.raises(SessionRefused) as refused:
            await verifier.verify(value)
        assert refused.value.ending is UNAUTHORIZED


def test_the_names_are_those_that_others_look_for() -> None:
    assert (ISSUER, AUDIENCE, PREFIX, SECONDS) == ("relay", "relay-client", "ek_", 60)
