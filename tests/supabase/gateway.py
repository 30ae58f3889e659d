"""A stand-in for a project's gateway and auth server, over the real database and its API.

It does what a Supabase project does (recorded in its clients' traffic): checks the API key, makes a
short-lived token of it, passes people's tokens on, strips `/rest/v1`, answers as GoTrue does, and
has Realtime (`realtime.py`) behind it. And it errs when it is told to (`misbehaviour.py`).
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from pathlib import Path
from typing import TypeVar

import aiohttp
import jwt
import psycopg
from aiohttp import web
from yarl import URL

from tests.supabase.browsers import open_to_browsers
from tests.supabase.misbehaviour import Fault, Misbehaviour
from tests.supabase.realtime import Realtime
from tests.supabase.signing import Keys

REST = "/rest/v1"
START_S = 30.0
_DROPPED = {"host", "apikey", "authorization", "content-length", "connection", "accept-encoding"}
_HOP = {"transfer-encoding", "connection", "content-length", "content-encoding", "keep-alive"}
T = TypeVar("T")

PLAIN_FAULTS: dict[str, tuple[int, str, str]] = {
    "500": (500, "application/json", '{"code":"XX000","message":"internal error"}'),
    "503": (
        503,
        "application/json",
        '{"code":"PGRST002","message":"Could not query the database for the schema cache. '
        'Retrying.","details":null,"hint":null}',
    ),
    "invalid_jwt": (401, "application/json", '{"code":"PGRST301","message":"JWT expired"}'),
    "issued_at_future": (
        401,
        "application/json",
        '{"code":"PGRST303","message":"JWT issued at future"}',
    ),
    "html": (
        502,
        "text/html",
        "<html><head><title>502 Bad Gateway</title></head><body>502</body></html>",
    ),
    "broken_json": (200, "application/json", '{"refused": {'),
    "empty": (200, "application/json", ""),
}
"""Faults that need neither the database nor the wire: status, type and body."""


class Gateway:
    """Its own thread and loop, so that a test that blocks is answered all the same."""

    def __init__(self, keys: Keys, api: Path, database: str) -> None:
        self.misbehave = Misbehaviour()
        self.realtime = Realtime(keys, database)
        self.url = ""
        self._keys = keys
        self._api = api
        self._database = database
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="gateway", daemon=True)

    def start(self) -> None:
        """Listen on a free port of the loopback."""
        self._thread.start()
        self._do(self._start)

    def stop(self) -> None:
        """Stop listening; what hangs is cut."""
        self._do(self._stop)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _do(self, act: Callable[[], Awaitable[T]]) -> T:
        async def run() -> T:
            return await act()

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(START_S)

    async def _start(self) -> None:
        connector = aiohttp.UnixConnector(str(self._api), limit=0)
        self._http = aiohttp.ClientSession(connector=connector, auto_decompress=True)
        app = web.Application(client_max_size=64 * 2**20, middlewares=[open_to_browsers])
        app.router.add_get("/auth/v1/.well-known/jwks.json", self._jwks)
        app.router.add_get("/auth/v1/user", self._user)
        app.router.add_get("/realtime/v1/websocket", self._realtime)
        app.router.add_route("*", REST + "/{rest:.*}", self._rest)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def _stop(self) -> None:
        await self.realtime.aclose()
        await self._runner.cleanup()
        await self._http.close()
        hanging = asyncio.all_tasks() - {asyncio.current_task()}  # their clients are long gone
        for task in hanging:
            task.cancel()
        if hanging:
            await asyncio.wait(hanging)

    # ------------------------------------------------------------------------------------ auth

    async def _jwks(self, request: web.Request) -> web.StreamResponse:
        return await self._failing(request) or web.json_response(self._keys.public())

    async def _realtime(self, request: web.Request) -> web.StreamResponse:
        return self._refused_key(request) or await self.realtime.serve(request)

    async def _user(self, request: web.Request) -> web.StreamResponse:
        failed = await self._failing(request) or self._refused_key(request)
        if failed is not None:
            return failed
        try:
            claims = self._keys.read(_bearer(request))
        except jwt.InvalidTokenError as error:
            return _bad_token("bad_jwt", f"invalid JWT: unable to parse or verify: {error}")
        query = "select email, raw_app_meta_data from auth.users where id = %s"
        async with await psycopg.AsyncConnection.connect(self._database) as connection:
            row = await (await connection.execute(query, [claims.get("sub")])).fetchone()
        if row is None:
            return _bad_token("user_not_found", "User from sub claim in JWT does not exist")
        user = {"id": claims["sub"], "aud": "authenticated", "role": "authenticated"}
        return web.json_response({**user, "email": row[0] or "", "app_metadata": row[1]})

    # ------------------------------------------------------------------------------------ rest

    async def _rest(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        fault = self.misbehave.of(request.path)
        if fault in PLAIN_FAULTS or fault in ("hang", "refused"):
            return await self._fail(request, fault)
        failed = self._refused_key(request)
        if failed is not None:
            return failed
        try:
            status, headers, answer = await self._forward(request, body)
        except (aiohttp.ClientError, OSError):
            away = {"message": "name resolution failed"}
            return web.json_response(away, status=HTTPStatus.SERVICE_UNAVAILABLE)
        return await self._answered(
            request, fault, web.Response(status=status, headers=headers, body=answer)
        )

    async def _answered(
        self, request: web.Request, fault: Fault | None, answer: web.Response
    ) -> web.StreamResponse:
        """The real answer on its way to the client, which not all of it may reach."""
        body = answer.body
        assert isinstance(body, bytes)
        if fault == "lost":
            return _cut(request)
        if fault == "half":
            answer.body = body[: len(body) // 2]
        if fault == "cut":
            return await _cut_in_the_middle(request, answer.status, body)
        return answer

    async def _forward(
        self, request: web.Request, body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        headers = {k: v for k, v in request.headers.items() if k.lower() not in _DROPPED}
        headers["Authorization"] = f"Bearer {self._token(request)}"
        target = "http://api" + request.raw_path.removeprefix(REST)
        asked = self._http.request(request.method, _as_it_is(target), headers=headers, data=body)
        async with asked as answer:
            kept = {k: v for k, v in answer.headers.items() if k.lower() not in _HOP}
            return answer.status, kept, await answer.read()

    def _token(self, request: web.Request) -> str:
        """Whose request this is: a person's token is passed on, a key becomes its role's token."""
        bearer, key = _bearer(request), _api_key(request)
        if bearer and bearer != key:
            return bearer
        if key in (self._keys.service_key, self._keys.anon_key):
            return self._keys.role_token(
                "service_role" if key == self._keys.service_key else "anon"
            )
        return key  # an old key is a token itself

    def _refused_key(self, request: web.Request) -> web.Response | None:
        key = _api_key(request)
        if not key:
            return _unauthorized("No API key found in request", "No `apikey` request header found.")
        if key in (self._keys.service_key, self._keys.anon_key):
            return None
        try:
            jwt.decode(key, self._keys.jwt_secret, ["HS256"], options={"verify_aud": False})
        except jwt.InvalidTokenError:
            return _unauthorized("Invalid API key", "Double check your API key.")
        return None

    # ---------------------------------------------------------------------------------- faults

    async def _failing(self, request: web.Request) -> web.StreamResponse | None:
        fault = self.misbehave.of(request.path)
        return await self._fail(request, fault) if fault else None

    async def _fail(self, request: web.Request, fault: Fault | None) -> web.StreamResponse:
        if fault == "hang":
            await asyncio.Event().wait()  # the client goes, or the gateway stops
        if fault in PLAIN_FAULTS:
            status, content_type, body = PLAIN_FAULTS[str(fault)]
            return web.Response(status=status, content_type=content_type, text=body)
        return _cut(request)


def _as_it_is(target: str) -> URL:
    return URL(target, encoded=True)


def _api_key(request: web.Request) -> str:
    return request.headers.get("apikey") or request.query.get("apikey", "")


def _bearer(request: web.Request) -> str:
    return request.headers.get("Authorization", "").removeprefix("Bearer ")


def _unauthorized(message: str, hint: str) -> web.Response:
    return web.json_response({"message": message, "hint": hint}, status=HTTPStatus.UNAUTHORIZED)


def _bad_token(code: str, message: str) -> web.Response:
    answer = {"code": 403, "error_code": code, "msg": message}
    return web.json_response(answer, status=HTTPStatus.FORBIDDEN)


def _cut(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()  # nobody is there to read it


async def _cut_in_the_middle(
    request: web.Request, status: int, answer: bytes
) -> web.StreamResponse:
    response = web.StreamResponse(status=status)
    response.content_type = "application/json"
    response.content_length = len(answer) + 1  # so that it is never whole
    await response.prepare(request)
    await response.write(answer[: len(answer) // 2 + 1])
    await asyncio.sleep(0)
    _cut(request)
    return response
