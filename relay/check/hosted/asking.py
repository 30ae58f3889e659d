"""A project as it answers its service key: one bounded question at a time."""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import aiohttp

from relay.check.finding import Finding, fail, skip
from relay.check.probe import reason
from relay.interfaces import ProjectAccess

SECONDS: Final = 5.0
"""For one question, connecting included; `probe.reason` tells the same number."""
MAX_ANSWER: Final = 8 * 1024 * 1024
"""Bytes of an answer: a description of some hundred tables has one or two million."""
CHECK: Final = "voice_check"
"""The function of `supabase/migrations` that says how the database stands."""


class NoAnswer(Exception):  # noqa: N818 - it is an outcome, not a fault
    """Nothing came back; the text says why in few words."""


@dataclass(frozen=True, slots=True)
class Said:
    """What came back: HTTP's status and date, and the JSON document, None where it was none."""

    status: int
    date: str
    document: Any

    @property
    def code(self) -> str:
        """PostgreSQL's or PostgREST's, "" where there is none."""
        return self._text("code")

    @property
    def message(self) -> str:
        """The error's text: for looking at, not for telling, since it may quote what was asked."""
        return self._text("message")

    def _text(self, name: str) -> str:
        found = self.document.get(name) if isinstance(self.document, Mapping) else None
        return found if isinstance(found, str) else ""


class Hosted:
    """One project during one check.

    `description` is what its API says of itself (OpenAPI), None until the first look has it: then
    the looks that come after it have nobody to ask. `live` is `voice_check`'s answer.
    """

    def __init__(self, access: ProjectAccess) -> None:
        self.access = access
        self.description: Said | None = None
        self.live: Mapping[str, Any] | None = None

    async def ask(
        self, path: str, *, token: str | None = None, body: Mapping[str, Any] | None = None
    ) -> Said:
        """GET a path, or POST to it where there is a body; raises NoAnswer.

        `token` is somebody else's, in whose name the project is asked.
        """
        key = self.access.service_key
        headers = {"apikey": key, "Authorization": f"Bearer {token or key}"}
        limit = aiohttp.ClientTimeout(total=SECONDS)
        method = "GET" if body is None else "POST"
        options: dict[str, Any] = {"headers": headers, "json": body, "allow_redirects": False}
        try:
            async with (
                aiohttp.ClientSession(timeout=limit, cookie_jar=aiohttp.DummyCookieJar()) as http,
                http.request(method, self.access.url + path, **options) as answer,
            ):
                document = _read(await _body(answer))
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise NoAnswer(reason(error)) from None
        return Said(answer.status, answer.headers.get("Date", ""), document)

    async def call(self, function: str, arguments: Mapping[str, Any]) -> Said:
        """What an SQL function answers; raises NoAnswer."""
        return await self.ask(f"/rest/v1/rpc/{function}", body=arguments)


async def of(hosted: Hosted, look: Callable[[Hosted], Awaitable[Finding]]) -> Finding:
    """One more look at a project that answered the first one."""
    if hosted.description is None:
        return skip("the project cannot be asked")
    try:
        return await look(hosted)
    except NoAnswer as why:
        return fail(f"the project does not answer: {why}", "try again")


async def _body(answer: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in answer.content.iter_chunked(64 * 1024):
        body += chunk
        if len(body) > MAX_ANSWER:
            raise NoAnswer(f"more than {MAX_ANSWER >> 20} MiB came")
    return bytes(body)


def _read(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None
