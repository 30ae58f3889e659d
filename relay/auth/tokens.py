"""Verifies tokens: finds them in a request, reads their caller, and makes development tokens."""

import asyncio
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

import jwt
from jwt.types import Options

from relay.auth.jwks import Jwks, KeySetUnavailable
from relay.auth.user_check import AuthCheck, LocalFallback, UserCheck
from relay.egress import way_out
from relay.interfaces import ConnectRequest
from relay.realtime.endings import (
    AUTH_UNAVAILABLE,
    TOKEN_TOO_LONG,
    UNAUTHORIZED,
    SessionRefused,
)
from relay.realtime.grant import Caller, Role

AUDIENCE = "authenticated"  # Supabase puts it into every user's token
ALGORITHMS = frozenset({"HS256", "ES256", "RS256"})
# Headers with which a token would bring or choose its own key, or change what is signed.
FOREIGN_HEADERS = frozenset({"jwk", "jku", "x5u", "x5c", "crit", "b64", "zip", "enc"})
MAX_TOKEN = 8192  # characters; Supabase's have about 1,000
VERIFY_SECONDS = 4.0  # for all of a check: a listener ends a newcomer after five, without a word
LEEWAY = 10.0  # seconds that the clocks of the issuer and of this machine may differ
LATEST = 253_402_300_800  # the year 10000; a time beyond it is a mistake or an attack
MAX_SUBJECT = 255  # characters; Supabase's are UUIDs of 36

KEY_SUBPROTOCOL: Final = "openai-insecure-api-key."
RELAY_SUBPROTOCOL: Final = "relay.v1"
KEY_HEADERS: Final = ("api-key", "x-api-key")  # where Azure's clients put their key
_BEARER: Final = "bearer "

FILE = "development-secret"  # in the data folder, readable by its owner only
SECRET_BYTES = 48  # of randomness; 64 characters

# `read_caller` checks the claims, with the time as an argument.
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
    """Verifies tokens."""

    async def verify(self, token: str) -> Caller:
        """Return the caller whose token this is.

        Raises `SessionRefused`: UNAUTHORIZED, TOKEN_TOO_LONG, or AUTH_UNAVAILABLE where the issuer
        cannot be asked for its keys or the user. Its `__cause__` says why in a text that is safe to
        log.
        """


class InvalidToken(Exception):  # noqa: N818 - an outcome, not a fault
    """The token is not accepted; the text says why and holds nothing of the token itself."""


class TokenTooLong(InvalidToken):
    """The token has more than `MAX_TOKEN` characters."""


@dataclass(frozen=True, slots=True)
class JwtConfig:
    """Which tokens are accepted.

    `secret` verifies HS256, the key set at `jwks_url` ES256 and RS256; without one its algorithms
    are refused. `issuer` is what `iss` must be (None: anything). With `auth_url`, Supabase's
    address, and `api_key` Supabase is also asked whether the user exists; where it cannot be asked
    the caller is refused, unless `local_suffices`.
    """

    secret: str | None = field(default=None, repr=False)
    jwks_url: str | None = None
    issuer: str | None = None
    auth_url: str | None = None
    api_key: str = field(default="", repr=False)
    local_suffices: bool = False


@asynccontextmanager
async def open_verifier(
    config: JwtConfig, clock: Callable[[], float], count: Callable[[str], None] = lambda _: None
) -> AsyncIterator[Verifier]:
    """Open a verifier for as long as the context lasts; `clock` returns Unix seconds.

    `count` is given the outcome of each question to Supabase: confirmed, refused, unavailable.
    """
    async with (
        way_out().http_session() as http,
        contextlib.AsyncExitStack() as closing,
    ):
        keys = Jwks(config.jwks_url, http) if config.jwks_url else None
        if keys is not None:
            closing.push_async_callback(keys.aclose)
        check: UserCheck | None = None
        if config.auth_url is not None:
            asked = AuthCheck(config.auth_url, config.api_key, http, count)
            closing.push_async_callback(asked.aclose)
            check = LocalFallback(asked) if config.local_suffices else asked
        yield TokenVerifier(config, keys, check, clock)


class TokenVerifier:
    """Verifies JWTs by signature, claims and, if configured, the authentication server."""

    def __init__(
        self,
        config: JwtConfig,
        keys: Jwks | None,
        check: UserCheck | None,
        clock: Callable[[], float],
    ) -> None:
        self._secret = config.secret
        self._issuer = config.issuer
        self._keys = keys
        self._check = check
        self._clock = clock

    async def verify(self, token: str) -> Caller:
        """See `Verifier`."""
        until = asyncio.get_running_loop().time() + VERIFY_SECONDS
        try:
            header = read_header(token)
            claims = await self._claims(token, header["alg"], header.get("kid"))
            caller = read_caller(claims, self._issuer, self._clock())
        except TokenTooLong as why:
            raise SessionRefused(TOKEN_TOO_LONG) from why
        except InvalidToken as why:
            raise SessionRefused(UNAUTHORIZED) from why
        except KeySetUnavailable as why:
            raise SessionRefused(AUTH_UNAVAILABLE) from why
        if self._check is not None:
            await self._check.confirm(token, caller.sub, until)
        return caller

    async def _claims(self, token: str, algorithm: str, kid: str | None) -> Mapping[str, object]:
        """Read the claims of a validly signed token; the algorithm decides which key verifies it.

        Only what is verified here costs a question to the authentication server: without a secret
        anybody could write HS256 tokens for it to look at.
        """
        if algorithm == "HS256":
            if self._secret is not None:
                return read_claims(token, self._secret, algorithm)
        elif self._keys is not None:
            key = await self._keys.find(kid, algorithm)
            if key is None:
                raise InvalidToken("unknown key")
            return read_claims(token, key, algorithm)
        raise InvalidToken(f"no key for {algorithm}")


def read_header(token: str) -> dict[str, Any]:
    """Read the header of a token whose signature can be checked; raises `InvalidToken`."""
    if len(token) > MAX_TOKEN:
        raise TokenTooLong("too long")
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


def read_claims(token: str, key: jwt.PyJWK | str, algorithm: str) -> dict[str, Any]:
    """Read the claims signed by `key`; raises `InvalidToken`."""
    try:
        return jwt.decode(token, key, algorithms=[algorithm], options=SIGNATURE_ONLY)
    except jwt.InvalidSignatureError:
        raise InvalidToken("wrong signature") from None
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
        raise InvalidToken("not a token") from None


def read_caller(claims: Mapping[str, object], issuer: str | None, now: float) -> Caller:
    """Check the claims of a validly signed token and return its caller.

    Any issuer is accepted if `issuer` is None; `now` is in Unix seconds. Raises `InvalidToken`.
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
    """Return when the token expires; raises `InvalidToken` if it has, or is not valid yet."""
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
    # Anything unknown is the lowest of the three: a role is granted only by its exact name.
    match value:
        case "coach":
            return "coach"
        case "admin":
            return "admin"
        case _:
            return "learner"


def find_bearer(
    headers: Mapping[str, str], offered: Iterable[str], parameter: Callable[[str], str | None]
) -> str | None:
    """The token of a request: from a header, else a subprotocol, else the query.

    docs/protocol.md has the places. `headers` is case-insensitive, `parameter` returns a query
    parameter by name.
    """
    places = (
        _bearer(headers.get("Authorization")),
        *(headers.get(name, "") for name in KEY_HEADERS),
        *(name[len(KEY_SUBPROTOCOL) :] for name in offered if name.startswith(KEY_SUBPROTOCOL)),
        *(parameter(name) or "" for name in ("token", "access_token", "api-key")),
        _bearer(parameter("Authorization")),
    )
    return next((token for token in map(str.strip, places) if token), None)


def _bearer(value: str | None) -> str:
    """The token of an Authorization header, empty where it has none."""
    value = value or ""
    return value[len(_BEARER) :] if value[: len(_BEARER)].lower() == _BEARER else ""


def find_token(request: ConnectRequest) -> str | None:
    """The token of a client that asks for a session."""
    return find_bearer(request.headers, request.subprotocols, request.parameter)


def select_subprotocol(offered: Iterable[str]) -> str | None:
    """Choose `realtime` if offered, else `relay.v1`, else None; never the one with the token."""
    names = set(offered)
    return next((name for name in ("realtime", RELAY_SUBPROTOCOL) if name in names), None)


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


def development_secret(folder: Path) -> str:
    """Return the secret that signs this machine's development tokens, as `kept_secret`."""
    return kept_secret(folder, FILE)


def kept_secret(folder: Path, name: str) -> str:
    """Return the secret in this file of the data folder, which is made on first use.

    Two processes that start at once get the same one: a complete file is linked into place, and
    the second process reads the first one's. Raises `OSError`.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / name
    if not path.exists():
        _write_once(path, secrets.token_urlsafe(SECRET_BYTES))
    if path.stat().st_mode & 0o077:
        path.chmod(0o600)
    secret = path.read_text("ascii", errors="replace").strip()
    if len(secret) < SECRET_BYTES:
        raise OSError(errno.EINVAL, f"{path} is damaged, delete it")
    return secret


def _write_once(path: Path, secret: str) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name)  # mode 0600 from the start
    try:
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(secret)
        with contextlib.suppress(FileExistsError):
            os.link(name, path)
    finally:
        Path(name).unlink()
