"""Supabase's authentication server as a program that answers 200 requests a second at most.

`python -m tests.hostile.auth_server PORT`. It believes every token: whose it is stands in it.
"""

import asyncio
import sys
from typing import Final

import jwt
from aiohttp import web

AT_ONCE: Final = 4
SECONDS: Final = 0.02


def application() -> web.Application:
    """`GET /auth/v1/user`, four requests at a time for 20 ms each, as a small database would."""
    places = asyncio.Semaphore(AT_ONCE)

    async def user(request: web.Request) -> web.Response:
        async with places:
            await asyncio.sleep(SECONDS)
        token = request.headers["Authorization"].removeprefix("Bearer ")
        try:
            claims = jwt.decode(token, options={"verify_signature": False})
        except jwt.PyJWTError:
            return web.json_response({"code": 403, "error_code": "bad_jwt"}, status=403)
        return web.json_response({"id": claims["sub"]})

    app = web.Application()
    app.router.add_get("/auth/v1/user", user)
    return app


if __name__ == "__main__":
    web.run_app(application(), host="127.0.0.1", port=int(sys.argv[1]), print=None)
