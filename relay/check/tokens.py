"""Checks of what verifies tokens, against tokens that the relay has not signed itself."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import jwt

from relay.auth.tokens import (
    InvalidToken,
    JwtConfig,
    open_verifier,
    read_claims,
    read_header,
)
from relay.check.runner import CheckResult, fail, ok, skip
from relay.realtime.endings import UNAUTHORIZED, SessionRefused

MAX_ISSUER: Final = 200
"""Characters that are shown of the issuer that a token names."""
HOW_TO_TRY: Final = "`relay check --token FILE` tries a token of one of your users, - reads it"
_COPY_HINT: Final = "copy the project's JWT secret: its dashboard, Settings, JWT Keys"


@dataclass(frozen=True, slots=True)
class TokenNames:
    """The settings that decide about tokens, as people know them."""

    secret: str
    service_key: str
    keys: str
    issuer: str


async def check_secret(secret: str, service_key: str, names: TokenNames) -> CheckResult:
    """Try the shared secret on the project's service key, where that is signed with a secret.

    What the relay signs itself any secret would verify: without such a key it says so.
    """
    if not is_signed_with_secret(service_key):
        return skip(f"nothing here was signed with {names.secret} by others: {HOW_TO_TRY}")
    try:
        read_claims(service_key, secret, "HS256")
    except InvalidToken:
        what = f"{names.service_key} is not signed with {names.secret}"
        return fail(what, f"{_COPY_HINT}; or is one of them another project's?")
    return ok(f"{names.service_key} is signed with {names.secret}")


def is_signed_with_secret(key: str) -> bool:
    """Whether a service key is a token of HS256, as older projects have it."""
    try:
        return bool(read_header(key)["alg"] == "HS256")
    except InvalidToken:
        return False


async def check_token(
    token: str, trust: JwtConfig, clock: Callable[[], float], names: TokenNames
) -> CheckResult:
    """Verify a token as a call's would be; `clock` is in Unix seconds. It is not shown."""
    try:
        async with open_verifier(trust, clock) as verifier:
            caller = await verifier.verify(token)
    except SessionRefused as refused:
        why = str(refused.__cause__ or refused.ending.advice)
        if refused.ending is not UNAUTHORIZED:
            return fail(f"it cannot be verified: {why}", refused.ending.advice)
        return fail(f"it is refused: {why}", _hint(why, token, trust, names))
    ends = datetime.fromtimestamp(caller.expires_at, UTC).isoformat(timespec="seconds")
    return ok(f"it is accepted as a {caller.role}'s, until {ends.replace('+00:00', 'Z')}")


def _hint(why: str, token: str, trust: JwtConfig, names: TokenNames) -> str:
    match why:
        case "wrong issuer":
            named = _issuer_of(token)
            return f"{trust.issuer} is expected; set {names.issuer}={named} if that is yours"
        case "wrong signature":
            return f"see {names.secret}: it is not what the token was signed with"
        case "unknown key":
            return f"see {names.keys}: is it a token of this project?"
        case "no key for HS256":
            return f"set {names.secret}: the token is signed with a secret"
        case _:
            return "get a fresh one of a user who is signed in"


def _issuer_of(token: str) -> str:
    """What a token, whose signature is good, names as its issuer; safe to print."""
    issuer: object = None
    with suppress(jwt.PyJWTError, ValueError, RecursionError):
        issuer = jwt.decode(token, options={"verify_signature": False}).get("iss")
    if not isinstance(issuer, str) or not issuer.isprintable():
        return "(it names none)"
    return issuer[:MAX_ISSUER]
