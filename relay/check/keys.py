"""Whether tokens could be verified: by the shared secret, the issuer's key set, or its server."""

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Final

import aiohttp

from relay.auth.jwks import Unreachable, fetch_json, read_keys
from relay.auth.tokens import FILE, SECRET_BYTES, AuthCheck, Trust, mint, open_verifier
from relay.check.finding import Finding, fail, ok
from relay.check.folder import trouble
from relay.realtime.endings import UNAUTHORIZED, Refused
from relay.realtime.grant import Caller

NO_KEY: Final = " has no key for signatures"


async def secret(trust: Trust, clock: Callable[[], float], name: str) -> Finding:
    """Sign a token with the shared secret and verify it; `name` is the secret's own."""
    now = clock()
    token = mint(Caller("relay-check", "learner", now + 60), trust.secret or "", now, trust.issuer)
    try:
        async with open_verifier(Trust(trust.secret, issuer=trust.issuer), clock) as verifier:
            await verifier.verify(token)
    except Refused as refused:
        return fail(f"a token signed with it is refused: {refused.__cause__}", f"see {name}")
    return ok(f"a token signed with {name} is believed")


def development_secret(folder: Path) -> Finding:
    """Look at the secret that `relay dev` signs with when no other is set."""
    file = folder / FILE
    if (bad := trouble(folder, file)) is not None:
        return fail(*bad)
    if not file.exists():
        return ok(f"{file} will be made by `relay dev`")
    try:
        whole = len(file.read_text("ascii", errors="replace").strip()) >= SECRET_BYTES
    except OSError as error:
        return fail(f"{file} cannot be read: {error.strerror}", "let its user own it")
    if not whole:
        return fail(f"{file} is damaged", "delete it; a new one is made at the next start")
    return ok(f"tokens are signed with {file}")


async def key_set(url: str, mend: str) -> Finding:
    """Fetch the issuer's public keys; `mend` says which settings lead to them."""
    try:
        async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http:
            keys = read_keys(await fetch_json(http, url))
    except Unreachable as why:
        return fail(f"{url} gives no keys: {why}", mend)
    if not keys:
        return fail(f"{url}{NO_KEY}", mend)
    counted = Counter(algorithm for _, algorithm in keys)
    told = ", ".join(f"{count} for {name}" for name, count in sorted(counted.items()))
    return ok(f"{told} at {url}")


async def spare_key_set(url: str, mend: str) -> Finding:
    """The same where a shared secret verifies the tokens: old projects have an empty set."""
    found = await key_set(url, mend)
    if found.what.endswith(NO_KEY):
        return ok(f"{url}{NO_KEY}: the shared secret alone verifies")
    return found


async def token_server(url: str, api_key: str, mend: str) -> Finding:
    """Ask the authentication server about a token that is none: it must refuse it, and not us."""
    began = time.monotonic()
    try:
        async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http:
            await AuthCheck(url, api_key, http).confirm("relay-check", "nobody")
    except Refused as refused:
        if refused.ending is UNAUTHORIZED:
            took = round((time.monotonic() - began) * 1000)
            return ok(f"{url} refuses what is no token, after {took} ms")
        return fail(f"{url} cannot be asked: {refused.__cause__}", mend)
    return fail(f"{url} believes what is no token", mend)
