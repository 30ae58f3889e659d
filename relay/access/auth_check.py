"""Asking Supabase's authentication server whether a token's user still exists (S3-6)."""

from collections.abc import Mapping

import aiohttp

from relay.access.claims import Unverified
from relay.access.fetch import Answer, Unreachable, fetch_json
from relay.realtime.endings import INTERNAL_ERROR, UNAUTHORIZED, Refused

REFUSALS = frozenset({401, 403, 404})  # what the server says of a bad token or a deleted user


class AuthCheck:
    """`GET /auth/v1/user` in the caller's name."""

    def __init__(self, supabase_url: str, api_key: str, http: aiohttp.ClientSession) -> None:
        self._url = f"{supabase_url.rstrip('/')}/auth/v1/user"
        self._api_key = api_key
        self._http = http

    async def confirm(self, token: str, sub: str) -> None:
        """Return when the server knows the user `sub` by this token.

        Raises `Refused`: UNAUTHORIZED when it does not, INTERNAL_ERROR when it cannot be asked.
        """
        headers = {"apikey": self._api_key, "Authorization": f"Bearer {token}"}
        try:
            answer = await fetch_json(self._http, self._url, headers)
        except Unreachable as error:
            raise Refused(INTERNAL_ERROR) from error
        document = answer.document if isinstance(answer.document, Mapping) else {}
        if answer.status in REFUSALS and not _our_key_is_refused(document):
            raise Refused(UNAUTHORIZED) from Unverified("the authentication server refused it")
        if answer.status != 200 or "id" not in document:
            raise Refused(INTERNAL_ERROR) from Unreachable(_strange(answer))
        if document["id"] != sub:
            raise Refused(UNAUTHORIZED) from Unverified("the token is another user's")


def _our_key_is_refused(document: Mapping[str, object]) -> bool:
    # The gateway before the server says so with a 401 of its own; the caller is not to blame.
    return "api key" in str(document.get("message", "")).lower()


def _strange(answer: Answer) -> str:
    return f"the authentication server answered HTTP {answer.status}"
