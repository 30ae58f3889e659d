"""Tokens become callers: whose signatures are believed, and development tokens of our own."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import aiohttp
import jwt
from jwt.types import Options

from relay.access.auth_check import AuthCheck
from relay.access.claims import AUDIENCE, Unverified, read_caller
from relay.access.jwks import Jwks, NoKeySet
from relay.realtime.endings import INTERNAL_ERROR, UNAUTHORIZED, Refused
from relay.realtime.grant import Caller

MAX_TOKEN = 8192  # characters; Supabase's have about 1,000, and a proxy's headers end at 8 KiB
# Headers with which a token would bring or choose its own key, or change what is signed.
FOREIGN_HEADERS = frozenset({"jwk", "jku", "x5u", "x5c", "crit", "b64", "zip", "enc"})
ALGORITHMS = frozenset({"HS256", "ES256", "RS256"})
# The claims are checked by `read_caller`, with the time as an argument.
SIGNATURE_ONLY: Options = {
    "verify_exp": False,
    "verify_nbf": False,
    "verify_iat": False,
    "verify_aud": False,
    "verify_iss": False,
    "verify_sub": False,
    "verify_jti": False,
}


class Verifier(Protocol):
    """Whoever can tell a caller by a token."""

    async def verify(self, token: str) -> Caller:
        """Say whose token this is.

        Raises `Refused`: UNAUTHORIZED, or INTERNAL_ERROR when nobody could be asked. Its
        `__cause__` says why in a text that is safe to log.
        """


@dataclass(frozen=True, slots=True)
class Trust:
    """Whose tokens are believed; what is None is not.

    `secret` signs HS256; `jwks_url` has the public keys for ES256 and RS256; `issuer` is what
    `iss` must be; with `auth_url` (Supabase's address) and `api_key` its user is asked for too.
    """

    secret: str | None = field(default=None, repr=False)
    jwks_url: str | None = None
    issuer: str | None = None
    auth_url: str | None = None
    api_key: str = field(default="", repr=False)


class TokenVerifier:
    """Verifies JWTs by signature, claims and, where wanted, the authentication server."""

    def __init__(
        self, trust: Trust, keys: Jwks | None, check: AuthCheck | None, clock: Callable[[], float]
    ) -> None:
        self._secret = trust.secret
        self._issuer = trust.issuer
        self._keys = keys
        self._check = check
        self._clock = clock

    async def verify(self, token: str) -> Caller:
        """See `Verifier`."""
        try:
            header = read_header(token)
            claims = await self._claims(token, header["alg"], header.get("kid"))
            caller = read_caller(claims, self._issuer, self._clock())
        except Unverified as why:
            raise Refused(UNAUTHORIZED) from why
        except NoKeySet as why:
            raise Refused(INTERNAL_ERROR) from why
        if self._check is not None:
            await self._check.confirm(token, caller.sub)
        return caller

    async def _claims(self, token: str, algorithm: str, kid: str | None) -> Mapping[str, object]:
        """Read the claims if the signature is good; the algorithm decides with whose key.

        An HS256 token without a secret of ours is left to the authentication server's judgement
        where it is asked anyway: `verify` lets nobody in before it has said yes.
        """
        if algorithm == "HS256":
            if self._secret is not None:
                return read_claims(token, self._secret, algorithm)
            if self._check is not None:
                return read_claims(token, None, algorithm)
        elif self._keys is not None:
            key = await self._keys.find(kid, algorithm)
            if key is None:
                raise Unverified("unknown key")
            return read_claims(token, key, algorithm)
        raise Unverified(f"no key for {algorithm}")


def read_header(token: str) -> dict[str, Any]:
    """Read the header of a token worth a look at its signature; raises `Unverified`."""
    if len(token) > MAX_TOKEN:
        raise Unverified("too long")
    try:
        header = jwt.get_unverified_header(token)
    except (jwt.PyJWTError, ValueError, RecursionError):
        raise Unverified("not a token") from None
    algorithm = header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        raise Unverified("this algorithm is not accepted")
    if not FOREIGN_HEADERS.isdisjoint(header):
        raise Unverified("a token may not bring its own key")
    return header


def read_claims(token: str, key: jwt.PyJWK | str | None, algorithm: str) -> dict[str, Any]:
    """Read the claims signed by `key` (None: whoever signed them); raises `Unverified`."""
    options: Options = {**SIGNATURE_ONLY, "verify_signature": key is not None}
    try:
        return jwt.decode(token, key or "", algorithms=[algorithm], options=options)
    except jwt.InvalidSignatureError:
        raise Unverified("wrong signature") from None
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
        raise Unverified("not a token") from None


@asynccontextmanager
async def open_verifier(trust: Trust, clock: Callable[[], float]) -> AsyncIterator[Verifier]:
    """Keep a verifier for as long as the context lasts; `clock` gives Unix seconds."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http:
        keys = Jwks(trust.jwks_url, http) if trust.jwks_url else None
        check = AuthCheck(trust.auth_url, trust.api_key, http) if trust.auth_url else None
        try:
            yield TokenVerifier(trust, keys, check, clock)
        finally:
            if keys is not None:
                await keys.aclose()


def mint(caller: Caller, secret: str, now: float, issuer: str | None = None) -> str:
    """Make a development token for this caller, in Supabase's form, signed with HS256."""
    metadata: dict[str, str] = {"role": caller.role}
    if caller.agent_id is not None:
        metadata["agent_id"] = caller.agent_id
    claims: dict[str, Any] = {
        "aud": AUDIENCE,
        "sub": caller.sub,
        "role": AUDIENCE,
        "iat": int(now),
        "exp": int(caller.expires_at),
        "app_metadata": metadata,
    }
    if issuer is not None:
        claims["iss"] = issuer
    return jwt.encode(claims, secret, algorithm="HS256")
