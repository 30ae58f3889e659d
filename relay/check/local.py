"""Whether words can be kept in a folder: it is there or can be made, and the disk has room."""

import asyncio
import errno
import fcntl
import os
import re
import shutil
import socket
import sqlite3
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Final

import aiohttp

from relay.auth.jwks import FetchFailed, fetch_json, read_keys
from relay.auth.tokens import FILE, SECRET_BYTES, AuthCheck, JwtConfig, mint, open_verifier
from relay.check.proxy import ProbeAnswer, ask_health, ask_voice
from relay.check.runner import CheckResult, fail, ok
from relay.realtime.endings import UNAUTHORIZED, SessionRefused
from relay.realtime.grant import Caller
from relay.stores.database import looking_at
from relay.stores.journal.file import FILE_NAME, LOCK_NAME, SCHEMA_VERSION

MIN_FREE_BYTES: Final = 100 * 1024 * 1024
"""What a hundred busy chats say in weeks; with less, something else is filling the disk."""

OWN = "let the relay's user own it, or set another RELAY_DATA_DIR"


def trouble(folder: Path, file: Path) -> tuple[str, str] | None:
    """Say what keeps this user from writing `file` in `folder` and how to mend it; None: nothing.

    A folder that is not there yet is judged by the one in which it would be made.
    """
    place = folder.absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    if not place.is_dir():
        return f"{place} is not a folder", "move that file away, or set another RELAY_DATA_DIR"
    for path, rights in ((place, os.W_OK | os.X_OK), (file, os.R_OK | os.W_OK)):
        if path.exists() and not os.access(path, rights):
            return f"{path} cannot be written", OWN
    free = shutil.disk_usage(place).free
    if free < MIN_FREE_BYTES:
        return f"{free >> 20} MiB are free on the disk of {place}", "make room there"
    return None


# ---- Whether the pages are whole: every file that their files ask for is there.

_ASKED = re.compile(r"""(?:\bsrc=|\bhref=|\bfrom\s+|\bimport\s+|\bnew URL\()["']([^"']+)["']""")
"""What HTML and ES modules name: scripts, styles, modules, and worklets by `new URL`."""


def page(folder: Path) -> CheckResult:
    """Follow the voice page and the coach's to every file that they lead to."""
    folder = folder.resolve()
    index = folder / "index.html"
    if not index.is_file():
        mend = "run from a checkout of the project, which has the page in web/"
        return fail(f"{index} is missing", mend)
    found, missing = _follow(index, folder / "coach.html")
    if missing:
        names = ", ".join(sorted(str(path.relative_to(folder)) for path in missing))
        return fail(f"{folder} lacks {names}", "bring them back, as with `git checkout web`")
    return ok(f"{len(found)} files in {folder}")


def _follow(*pages: Path) -> tuple[set[Path], set[Path]]:
    """The files that these pages lead to: those that are there, and those that are not."""
    found: set[Path] = set()
    missing: set[Path] = set()
    open_ends = list(pages)
    while open_ends:
        file = open_ends.pop()
        if not file.is_file():
            missing.add(file)
        elif file not in found:
            found.add(file)
            open_ends += _asked_for(file)
    return found, missing


def _asked_for(file: Path) -> Iterator[Path]:
    if file.suffix not in (".html", ".js"):
        return
    for address in _ASKED.findall(file.read_text(encoding="utf-8")):
        elsewhere = ":" in address or address.startswith("/") or address.endswith((".", "/"))
        if not elsewhere:
            yield (file.parent / address).resolve()


# ---- Whether a listener's address could be had, or a relay has it already.

_EVERYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104
_MENDS: Final = {
    errno.EADDRINUSE: "stop what runs there, or take another port",
    errno.EACCES: "take one above 1023, and leave those below to the proxy",
    errno.EADDRNOTAVAIL: "set HOST to an address of this machine, or to 0.0.0.0 for all of them",
}


async def voice_port(host: str, port: int) -> CheckResult:
    """Look at the voice listener's address."""
    refused = await port_trouble(host, port)
    if refused is None or refused.errno != errno.EADDRINUSE:
        return _untaken(host, port, refused)
    return _taken(port, await ask_voice(f"ws://{shown(host, port)}", "/"))


async def http_port(host: str, port: int) -> CheckResult:
    """Look at the HTTP listener's address."""
    refused = await port_trouble(host, port)
    if refused is None or refused.errno != errno.EADDRINUSE:
        return _untaken(host, port, refused)
    return _taken(port, await ask_health(f"http://{shown(host, port)}"))


async def port_trouble(host: str, port: int) -> OSError | None:
    """Why nobody could listen there, None when one could."""
    try:
        await asyncio.to_thread(_bind, host, port)
    except OSError as error:
        return error
    return None


def _bind(host: str, port: int) -> None:
    """Have every address that the name stands for, as a listener would, and let go of them."""
    for family, kind, protocol, _, address in socket.getaddrinfo(
        host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    ):
        with socket.socket(family, kind, protocol) as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                tried.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            tried.bind(address)


def shown(host: str, port: int) -> str:
    """The `host:port` at which this machine reaches a listener of its own."""
    name = _EVERYWHERE.get(host, host)
    return f"[{name}]:{port}" if ":" in name else f"{name}:{port}"


def _untaken(host: str, port: int, refused: OSError | None) -> CheckResult:
    if refused is None:
        return ok(f"{port} is free" if port else "any that is free")
    if isinstance(refused, socket.gaierror):
        return fail(f"{host} is no address: {refused.strerror}", _MENDS[errno.EADDRNOTAVAIL])
    mend = _MENDS.get(refused.errno or 0, "take another address")
    return fail(f"{shown(host, port)} cannot be had: {refused.strerror}", mend)


def _taken(port: int, answer: ProbeAnswer) -> CheckResult:
    if answer.is_relay:
        return ok(f"a relay answers at {port}")
    return fail(f"{port} is taken, and not by a relay: {answer.said}", _MENDS[errno.EADDRINUSE])


# ---- Whether the journal could be opened, and what waits in it.

_MOVE = "move the folder away; it may still hold words that were never stored"
IN_USE = "in use by a running relay, process "
_COUNT = "SELECT count(*) - count(aside), count(aside) FROM records"


def journal(folder: Path) -> CheckResult:
    """Look at the journal's folder; one that a running relay holds is left alone."""
    file = folder / FILE_NAME
    bad = trouble(folder, file)
    if bad is not None:
        return fail(*bad)
    holder = _holder(folder / LOCK_NAME)
    if holder is not None:
        return ok(f"{IN_USE}{holder}")
    return _content(file) if file.exists() else ok(f"will be made in {folder}")


async def own_journal(folder: Path, is_here: Callable[[], Awaitable[bool]]) -> CheckResult:
    """The same, and where a relay holds it, whether that one is the relay of these settings."""
    found = await asyncio.to_thread(journal, folder)
    if not found.what.startswith(IN_USE) or await is_here():
        return found
    what = f"{found.what}, and none listens at these ports: another relay has this journal"
    return fail(what, "stop that process, or give this relay a RELAY_DATA_DIR of its own")


def _content(file: Path) -> CheckResult:
    try:
        with looking_at(file) as connection:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version not in (0, SCHEMA_VERSION):
                return fail(f"{file} was written by another version of the relay", _MOVE)
            waiting, aside = connection.execute(_COUNT).fetchone() if version else (0, 0)
    except sqlite3.OperationalError as error:
        return fail(f"{file} cannot be opened: {error}", OWN)
    except sqlite3.DatabaseError:
        return fail(f"{file} is damaged", _MOVE)
    kept = f", {aside} are set aside that the store refused" if aside else ""
    return ok(f"{waiting} utterances wait for the store{kept}")


def _holder(lock: Path) -> str | None:
    """The process that holds the folder, None for nobody.

    The lock is tried for the shortest of moments, and shared, so that two checks do not see each
    other; only a relay that starts in this very moment would find the folder in use.
    """
    if not lock.exists():
        return None
    descriptor = os.open(lock, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return os.read(descriptor, 20).decode(errors="replace").strip() or "unknown"
    finally:
        os.close(descriptor)
    return None


# ---- Whether the embedded store could be opened, and how much it holds.

_TABLES = "SELECT count(*) FROM sqlite_master WHERE name = 'chat_messages_v2'"
_CALLS = "SELECT count(*) FROM conversation_sessions"
_WORDS = "SELECT count(*) FROM chat_messages_v2"


def store(file: Path) -> CheckResult:
    """Look at the file of a `SqliteStore`."""
    bad = trouble(file.parent, file)
    if bad is not None:
        return fail(*bad)
    try:
        counted = _count(file) if file.exists() else None
    except sqlite3.OperationalError as error:
        return fail(f"{file} cannot be read: {error}", OWN)
    except sqlite3.DatabaseError:
        return fail(f"{file} is damaged", "move it away, or bring its backup back")
    if counted is None:
        return ok(f"{file} will be made when the first words are said")
    calls, words = counted
    return ok(f"{file} holds {words} utterances of {calls} conversations")


def _count(file: Path) -> tuple[int, int] | None:
    """Conversations and utterances, None where no word was ever stored."""
    with looking_at(file) as connection:
        if connection.execute(_TABLES).fetchone() == (0,):
            return None
        (calls,) = connection.execute(_CALLS).fetchone()
        (words,) = connection.execute(_WORDS).fetchone()
    return calls, words


# ---- Whether tokens could be verified: by the shared secret, the issuer's key set, or its server.

NO_KEY: Final = " has no key for signatures"


async def secret(trust: JwtConfig, clock: Callable[[], float], name: str) -> CheckResult:
    """Sign a token with the shared secret and verify it; `name` is the secret's own."""
    now = clock()
    token = mint(Caller("relay-check", "learner", now + 60), trust.secret or "", now, trust.issuer)
    try:
        async with open_verifier(JwtConfig(trust.secret, issuer=trust.issuer), clock) as verifier:
            await verifier.verify(token)
    except SessionRefused as refused:
        return fail(f"a token signed with it is refused: {refused.__cause__}", f"see {name}")
    return ok(f"a token signed with {name} is believed")


def development_secret(folder: Path) -> CheckResult:
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


async def key_set(url: str, mend: str) -> CheckResult:
    """Fetch the issuer's public keys; `mend` says which settings lead to them."""
    try:
        async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http:
            keys = read_keys(await fetch_json(http, url))
    except FetchFailed as why:
        return fail(f"{url} gives no keys: {why}", mend)
    if not keys:
        return fail(f"{url}{NO_KEY}", mend)
    counted = Counter(algorithm for _, algorithm in keys)
    told = ", ".join(f"{count} for {name}" for name, count in sorted(counted.items()))
    return ok(f"{told} at {url}")


async def spare_key_set(url: str, mend: str) -> CheckResult:
    """The same where a shared secret verifies the tokens: old projects have an empty set."""
    found = await key_set(url, mend)
    if found.what.endswith(NO_KEY):
        return ok(f"{url}{NO_KEY}: the shared secret alone verifies")
    return found


async def token_server(url: str, api_key: str, mend: str) -> CheckResult:
    """Ask the authentication server about a token that is none: it must refuse it, and not us."""
    began = time.monotonic()
    try:
        async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http:
            await AuthCheck(url, api_key, http).confirm("relay-check", "nobody")
    except SessionRefused as refused:
        if refused.ending is UNAUTHORIZED:
            took = round((time.monotonic() - began) * 1000)
            return ok(f"{url} refuses what is no token, after {took} ms")
        return fail(f"{url} cannot be asked: {refused.__cause__}", mend)
    return fail(f"{url} believes what is no token", mend)
