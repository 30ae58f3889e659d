"""Enters the development pages as a browser does: by the printed address, with its code."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import ClientSession, CookieJar


@asynccontextmanager
async def entered(address: str) -> AsyncIterator[tuple[ClientSession, str]]:
    """A client that holds this run's cookie, and the page's address without the code."""
    page, _, code = address.partition("#code=")
    # By default aiohttp keeps no cookies of a host that is an address, as browsers do.
    async with ClientSession(cookie_jar=CookieJar(unsafe=True)) as http:
        async with http.post(f"{page.removesuffix('coach')}code", json={"code": code}) as answer:
            assert answer.status == 204
        yield http, page
