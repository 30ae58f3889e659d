"""Tokens become callers: whose signatures are believed, and development tokens of our own."""

import contextlib
import errno
import os
import secrets
import tempfile
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

import aiohttp
import jwt
from jwt.types import Options

from relay.auth.jwks import FetchFailed, HttpAnswer, Jwks, KeySetUnavailable, fetch_json
from relay.realtime.endings import INTERNAL_ERROR, UNAUTHORIZED, SessionRefused
from relay.realtime.grant import Caller, Role

# ---- What a token says, checked and read as a caller; pure, the time is an argument.

AUDIENCE = "authenticated"  # Supabase puts it into every user's token
LEEWAY = 10.0  # seconds: how far the clocks of the issuer and of this machine may be apart
LATEST = 253_402_300_800  # the year 10000; beyond it a time is a mistake or an attack
MAX_SUBJECT = 255  # characters; Supabase's are UUIDs of 36


class InvalidToken(Exception):  # noqa: N818 - it is an outcome, not a fault
    """The token proves nothing; the text says why and holds nothing of the token itself."""


def read_caller(claims: Mapping[str, object], issuer: str | None, now: float) -> Caller:
    """Check the claims of a token whose signature is good, and say who it is.

    `issuer` None means that any is believed; `now` is in Unix seconds. Raises `InvalidToken`.
    """
    if issuer is not None and claims.get("iss") != issuer:
        raise InvalidToken("wrong issuer")
    audience = claims.get("aud")
    if AUDIENCE not in (audience if isinstance(audience, list) else [audience]):
        raise InvalidToken("wrong audience")
    expires_at = _lifetime(claims, now)
    metadata = claims.get("app_metadata")
    if not isinstance(metadata, Mapping):
        metadata = {}
    agent_id = metadata.get("agent_id")
    return Caller(
        sub=_subject(claims.get("sub")),
        role=_role(metadata.get("role")),
        expires_at=expires_at,
        agent_id=agent_id if isinstance(agent_id, str) and agent_id else None,
    )


def _lifetime(claims: Mapping[str, object], now: float) -> float:
    """Return the token's end; raises `InvalidToken` when it has ended or has not begun."""
    expires_at = _seconds(claims.get("exp"), "exp")
    if now >= expires_at + LEEWAY:
        raise InvalidToken("expired")
    for name in ("nbf", "iat"):
        if name in claims and _seconds(claims[name], name) > now + LEEWAY:
            raise InvalidToken(f"not valid yet ({name})")
    return expires_at


def _seconds(value: object, name: str) -> float:
    # JSON's true is an int to Python, NaN compares false, and an int of any length compares.
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= LATEST:
        raise InvalidToken(f"{name} is missing or not a time")
    return float(value)


def _subject(value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise InvalidToken("no subject")
    if len(value) > MAX_SUBJECT or not value.isprintable():
        raise InvalidToken("the subject is too long or not printable")
    return value


def _role(value: object) -> Role:
    # Anything unknown is the least of the three: a role is only ever gained by its exact name.
    match value:
        case "coach":
            return "coach"
        case "admin":
            return "admin"
        case _:
            return "learner"


# ---- The secret that signs development tokens on one machine.

FILE = "development-secret"  # in the data folder, readable by its owner alone
SECRET_BYTES = 48  # of randomness; 64 characters


def development_secret(folder: Path) -> str:
    """Return the folder's secret, made on first use; raises `OSError` when that cannot be.

    Two processes that start at once get the same one: a whole file is linked into place, and
    whoever comes second reads the first one's.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / FILE
    if not path.exists():
        _write_once(path, secrets.token_urlsafe(SECRET_BYTES))
    if path.stat().st_mode & 0o077:
        path.chmod(0o600)
    secret = path.read_text("ascii", errors="replace").strip()
    if len(secret) < SECRET_BYTES:
        raise OSError(errno.EINVAL, f"{path} is damaged, delete it")
    return secret


def _write_once(path: Path, secret: str) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=FILE)  # mode 0600 from the start
    try:
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(secret)
        with contextlib.suppress(FileExistsError):
            os.link(name, path)
    finally:
        Path(name).unlink()


# ---- Where a token may stand in a request, whatever the request is made of.

KEY_SUBPROTOCOL: Final = "openai-insecure-api-key."
RELAY_SUBPROTOCOL: Final = "relay.v1"
_BEARER: Final = "bearer "


def find_bearer(
    authorization: str, offered: Iterable[str], parameter: Callable[[str], str | None]
) -> str | None:
    """The token, first place that has one: header, subprotocol, query (docs/protocol.md)."""
    if authorization[: len(_BEARER)].lower() == _BEARER and authorization[len(_BEARER) :].strip():
        return authorization[len(_BEARER) :].strip()
    for name in offered:
        if name.startswith(KEY_SUBPROTOCOL) and len(name) > len(KEY_SUBPROTOCOL):
            return name[len(KEY_SUBPROTOCOL) :]
    return parameter("token") or parameter("access_token") or None


def select_subprotocol(offered: Iterable[str]) -> str | None:
    """`realtime` if offered, else `relay.v1`, else none; never the one that carries the token."""
    there = set(offered)
    return next((name for name in ("realtime", RELAY_SUBPROTOCOL) if name in there), None)


# ---- Asking Supabase's authentication server whether a token's user still exists (S3-6).

REFUSALS = frozenset({401, 403, 404})  # what the server says of a bad token or a deleted user


class AuthCheck:
    """`GET /auth/v1/user` in the caller's name."""

    def __init__(self, supabase_url: str, api_key: str, http: aiohttp.ClientSession) -> None:
        self._url = f"{supabase_url.rstrip('/')}/auth/v1/user"
        self._api_key = api_key
        self._http = http

    async def confirm(self, token: str, sub: str) -> None:
        """Return when the server knows the user `sub` by this token.

        Raises `SessionRefused`: UNAUTHORIZED when it does not know them,
        INTERNAL_ERROR when it cannot be asked.
        """
        headers = {"apikey": self._api_key, "Authorization": f"Bearer {token}"}
        try:
            answer = await fetch_json(self._http, self._url, headers)
        except FetchFailed as error:
            raise SessionRefused(INTERNAL_ERROR) from error
        document = answer.document if isinstance(answer.document, Mapping) else {}
        if answer.status in REFUSALS and not _our_key_is_refused(document):
            raise SessionRefused(UNAUTHORIZED) from InvalidToken(
                "the authentication server refused it"
            )
        if answer.status != 200 or "id" not in document:
            raise SessionRefused(INTERNAL_ERROR) from FetchFailed(_strange(answer))
        if document["id"] != sub:
            raise SessionRefused(UNAUTHORIZED) from InvalidToken("the token is another user's")


def _our_key_is_refused(document: Mapping[str, object]) -> bool:
    # The gateway before the server says so with a 401 of its own; the caller is not to blame.
    return "api key" in str(document.get("message", "")).lower()


def _strange(answer: HttpAnswer) -> str:
    return f"the authentication server answered HTTP {answer.status}"


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

        Raises `SessionRefused`: UNAUTHORIZED, or INTERNAL_ERROR when nobody could be asked. Its
        `__cause__` says why in a text that is safe to log.
        """


@dataclass(frozen=True, slots=True)
class JwtConfig:
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
        self,
        trust: JwtConfig,
        keys: Jwks | None,
        check: AuthCheck | None,
        clock: Callable[[], float],
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
        except InvalidToken as why:
            raise SessionRefused(UNAUTHORIZED) from why
        except KeySetUnavailable as why:
            raise SessionRefused(INTERNAL_ERROR) from why
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
                raise InvalidToken("unknown key")
            return read_claims(token, key, algorithm)
        raise InvalidToken(f"no key for {algorithm}")


def read_header(token: str) -> dict[str, Any]:
    """Read the header of a token worth a look at its signature; raises `InvalidToken`."""
    if len(token) > MAX_TOKEN:
        raise InvalidToken("too long")
    try:
        header = jwt.get_unverified_header(token)
    except (jwt.PyJWTError, ValueError, RecursionError):
        raise InvalidToken("not a token") from None
    algorithm = header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        raise InvalidToken("this algorithm is not accepted")
    if not FOREIGN_HEADERS.isdisjoint(header):
        raise InvalidToken("a token may not bring its own key")
    return header


def read_claims(token: str, key: jwt.PyJWK | str | None, algorithm: str) -> dict[str, Any]:
    """Read the claims signed by `key` (None: whoever signed them); raises `InvalidToken`."""
    options: Options = {**SIGNATURE_ONLY, "verify_signature": key is not None}
    try:
        return jwt.decode(token, key or "", algorithms=[algorithm], options=options)
    except jwt.InvalidSignatureError:
        raise InvalidToken("wrong signature") from None
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
        raise InvalidToken("not a token") from None


@asynccontextmanager
async def open_verifier(trust: JwtConfig, clock: Callable[[], float]) -> AsyncIterator[Verifier]:
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
