"""Makes and verifies client secrets: tokens of the relay's own that open sessions for a minute."""

import base64
import json
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import jwt

from relay.auth.tokens import MAX_TOKEN, InvalidToken, Verifier, read_claims, read_header
from relay.realtime.endings import UNAUTHORIZED, SessionRefused
from relay.realtime.grant import Caller

PREFIX: Final = "ek_"
"""Before the JWT: OpenAI's own clients let a browser use a key that begins so, and no other."""
ISSUER: Final = "relay"
AUDIENCE: Final = "relay-client"
SECONDS: Final = 60
"""A secret is valid for so long; a session that it has opened lasts as long as the user's token."""
ALGORITHM: Final = "HS256"


class SettingsTooLarge(Exception):  # noqa: N818 - an outcome, not a fault
    """A token with these session settings would be longer than any listener accepts."""


@dataclass(frozen=True, slots=True)
class ClientSecret:
    """A token to give away, and when it expires, in Unix seconds."""

    value: str = field(repr=False)
    expires_at: int


class ClientSecrets:
    """Signs and reads client secrets with one `key`; `clock` returns Unix seconds."""

    def __init__(self, key: str, clock: Callable[[], float]) -> None:
        self._key = key
        self._clock = clock

    def make(
        self, caller: Caller, session: Mapping[str, Any], seconds: int = SECONDS
    ) -> ClientSecret:
        """Make a secret that opens sessions of this caller with these settings, all in GA form.

        It is valid for so many seconds, no longer than `SECONDS` or the caller's own token.
        Raises `SettingsTooLarge`.
        """
        now, most = int(self._clock()), min(seconds, SECONDS)
        expires_at = min(now + most, int(caller.expires_at))
        claims: dict[str, Any] = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "iat": now,
            "exp": expires_at,
            "sub": caller.sub,
            "user_role": caller.role,
            "user_exp": caller.expires_at,
            "session": _packed(session),
        }
        if caller.agent_id is not None:
            claims["agent_id"] = caller.agent_id
        value = PREFIX + jwt.encode(claims, self._key, algorithm=ALGORITHM)
        if len(value) > MAX_TOKEN:
            raise SettingsTooLarge(f"more than {MAX_TOKEN} characters")
        return ClientSecret(value, expires_at)

    def read(self, value: str) -> Caller:
        """The caller whose secret this is, with its settings; raises `InvalidToken`."""
        token = value.removeprefix(PREFIX)
        if read_header(token)["alg"] != ALGORITHM:
            raise InvalidToken("this algorithm is not accepted")
        claims = read_claims(token, self._key, ALGORITHM)
        # The key may sign other things: only what `make` wrote has these.
        if (claims.get("iss"), claims.get("aud")) != (ISSUER, AUDIENCE):
            raise InvalidToken("not a client secret")
        if self._clock() >= claims["exp"]:
            raise InvalidToken("expired")
        return Caller(
            sub=claims["sub"],
            role=claims["user_role"],
            expires_at=claims["user_exp"],
            agent_id=claims.get("agent_id"),
            session=_unpacked(claims["session"]),
        )


class SecretOrToken:
    """Verifies client secrets by `secrets`, and all other tokens by `users`: a `Verifier`."""

    def __init__(self, users: Verifier, secrets: ClientSecrets) -> None:
        self.users = users
        self.secrets = secrets

    async def verify(self, token: str) -> Caller:
        """See `Verifier`."""
        if not token.startswith(PREFIX):
            return await self.users.verify(token)
        try:
            return self.secrets.read(token)
        except InvalidToken as why:
            raise SessionRefused(UNAUTHORIZED) from why


def _packed(session: Mapping[str, Any]) -> str:
    """The settings as a claim; compressed, or long instructions would not fit into a header."""
    text = json.dumps(session, separators=(",", ":"), ensure_ascii=False)
    return base64.b64encode(zlib.compress(text.encode(errors="replace"))).decode()


def _unpacked(claim: str) -> dict[str, Any]:
    settings: dict[str, Any] = json.loads(zlib.decompress(base64.b64decode(claim)))
    return settings
