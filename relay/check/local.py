"""Checks of this machine: folders, files, ports, pages, and keys that verify tokens."""

import asyncio
import errno
import fcntl
import importlib.util
import os
import re
import shutil
import socket
import sqlite3
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from relay.auth.jwks import FetchFailed, fetch_json, read_keys
from relay.auth.tokens import FILE, SECRET_BYTES, VERIFY_SECONDS
from relay.auth.user_check import AuthCheck
from relay.check.proxy import ProbeAnswer, probe_health, probe_voice
from relay.check.runner import CheckResult, fail, ok
from relay.egress import way_out
from relay.realtime.endings import UNAUTHORIZED, SessionRefused
from relay.stores.database import open_readonly
from relay.stores.journal.file import FILE_NAME, LOCK_NAME, SCHEMA_VERSION

MIN_FREE_BYTES: Final = 100 * 1024 * 1024
"""A hundred busy sessions write less in weeks; with less, something else is filling the disk."""
OWNER_HINT: Final = "let the relay's user own it, or set another RELAY_DATA_DIR"
IN_USE: Final = "in use by a running relay, process "
NO_KEY: Final = " has no key for signatures"
_KEEP_HINT: Final = "move the folder away; it may hold utterances that were never stored"

_WILDCARDS: Final = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104
_BIND_HINTS: Final = {
    errno.EADDRINUSE: "stop what runs there, or take another port",
    errno.EACCES: "take one above 1023, and leave those below to the proxy",
    errno.EADDRNOTAVAIL: "set HOST to an address of this machine, or to 0.0.0.0 for all of them",
}
_REFERENCE: Final = re.compile(
    r"""(?:\bsrc=|\bhref=|\bfrom\s+|\bimport\s+|\bnew URL\()["']([^"']+)["']"""
)
"""References of HTML and ES modules: scripts, styles, modules, and worklets by `new URL`."""

_COUNT_RECORDS: Final = "SELECT count(*) - count(aside), count(aside) FROM records"
_COUNT_TABLES: Final = "SELECT count(*) FROM sqlite_master WHERE name = 'chat_messages_v2'"
_COUNT_CONVERSATIONS: Final = "SELECT count(*) FROM conversation_sessions"
_COUNT_UTTERANCES: Final = "SELECT count(*) FROM chat_messages_v2"


def check_journal(folder: Path) -> CheckResult:
    """Check that the journal could be opened; one that a running relay holds is not read."""
    file = folder / FILE_NAME
    problem = write_problem(folder, file)
    if problem is not None:
        return fail(*problem)
    holder = _lock_holder(folder / LOCK_NAME)
    if holder is not None:
        return ok(f"{IN_USE}{holder}")
    return _journal_content(file) if file.exists() else ok(f"will be created in {folder}")


async def check_own_journal(folder: Path, listens: Callable[[], Awaitable[bool]]) -> CheckResult:
    """Check the journal, and that a relay which holds it is the one of these settings."""
    found = await asyncio.to_thread(check_journal, folder)
    if not found.what.startswith(IN_USE) or await listens():
        return found
    what = f"{found.what}, and none listens at these ports: another relay has this journal"
    return fail(what, "stop that process, or give this relay a RELAY_DATA_DIR of its own")


def _journal_content(file: Path) -> CheckResult:
    try:
        with open_readonly(file) as connection:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version not in (0, SCHEMA_VERSION):
                return fail(f"{file} was written by another version of the relay", _KEEP_HINT)
            waiting, aside = connection.execute(_COUNT_RECORDS).fetchone() if version else (0, 0)
    except sqlite3.OperationalError as error:
        return fail(f"{file} cannot be opened: {error}", OWNER_HINT)
    except sqlite3.DatabaseError:
        return fail(f"{file} is damaged", _KEEP_HINT)
    refused = f", {aside} that it refused are set aside" if aside else ""
    return ok(f"{waiting} utterances wait for the store{refused}")


def _lock_holder(lock: Path) -> str | None:
    """The id of the process that holds the folder, None if none does.

    The lock is tried for an instant only, and shared, so that two checks do not see each other. A
    relay that starts at that very instant would find the folder in use.
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


def check_store(file: Path) -> CheckResult:
    """Check that the file of a `SqliteStore` could be opened, and count what it holds."""
    problem = write_problem(file.parent, file)
    if problem is not None:
        return fail(*problem)
    try:
        counts = _count_stored(file) if file.exists() else None
    except sqlite3.OperationalError as error:
        return fail(f"{file} cannot be read: {error}", OWNER_HINT)
    except sqlite3.DatabaseError:
        return fail(f"{file} is damaged", "move it away, or restore it from a backup")
    if counts is None:
        return ok(f"{file} will be created with the first utterance")
    conversations, utterances = counts
    return ok(f"{file} holds {utterances} utterances of {conversations} conversations")


def _count_stored(file: Path) -> tuple[int, int] | None:
    """Conversations and utterances, None where nothing was ever stored."""
    with open_readonly(file) as connection:
        if connection.execute(_COUNT_TABLES).fetchone() == (0,):
            return None
        (conversations,) = connection.execute(_COUNT_CONVERSATIONS).fetchone()
        (utterances,) = connection.execute(_COUNT_UTTERANCES).fetchone()
    return conversations, utterances


def write_problem(folder: Path, file: Path) -> tuple[str, str] | None:
    """Say what keeps this user from writing `file` in `folder`, and a hint; None if nothing does.

    A folder that does not exist yet is judged by the one in which it would be created.
    """
    place = folder.absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    if not place.is_dir():
        return f"{place} is not a folder", "move that file away, or set another RELAY_DATA_DIR"
    for path, rights in ((place, os.W_OK | os.X_OK), (file, os.R_OK | os.W_OK)):
        if path.exists() and not os.access(path, rights):
            return f"{path} cannot be written", OWNER_HINT
    free = shutil.disk_usage(place).free
    if free < MIN_FREE_BYTES:
        return f"{free >> 20} MiB are free on the disk of {place}", "free some space there"
    return None


async def check_voice_port(host: str, port: int) -> CheckResult:
    """Check that the voice listener's address is free, or that a relay answers there."""
    error = await bind_error(host, port)
    if error is None or error.errno != errno.EADDRINUSE:
        return _not_in_use(host, port, error)
    return _in_use(port, await probe_voice(f"ws://{own_address(host, port)}", "/"))


async def check_http_port(host: str, port: int) -> CheckResult:
    """Check that the HTTP listener's address is free, or that a relay answers there."""
    error = await bind_error(host, port)
    if error is None or error.errno != errno.EADDRINUSE:
        return _not_in_use(host, port, error)
    return _in_use(port, await probe_health(f"http://{own_address(host, port)}"))


async def check_door(
    modules: Sequence[str], extra: str, host: str, port: int | None
) -> CheckResult:
    """Check that a door's libraries are installed, and its own port free where it has one."""
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if missing:
        return fail(f"{missing[0]} is not installed", f"pip install 'relay[{extra}]'")
    if port is None:
        return ok("on the HTTP listener")
    error = await bind_error(host, port)
    if error is not None and error.errno == errno.EADDRINUSE:
        return ok(f"port {port} is in use, by a running relay unless something else has it")
    return _not_in_use(host, port, error)


async def bind_error(host: str, port: int) -> OSError | None:
    """The error of listening at an address, None where a relay could listen."""
    try:
        await asyncio.to_thread(_bind, host, port)
    except OSError as error:
        return error
    return None


def _bind(host: str, port: int) -> None:
    """Bind every address that the name stands for, as a listener would, and release them."""
    for family, kind, protocol, _, address in socket.getaddrinfo(
        host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    ):
        with socket.socket(family, kind, protocol) as bound:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            bound.bind(address)


def own_address(host: str, port: int) -> str:
    """The `host:port` at which this machine reaches its own listener."""
    name = _WILDCARDS.get(host, host)
    return f"[{name}]:{port}" if ":" in name else f"{name}:{port}"


def _not_in_use(host: str, port: int, error: OSError | None) -> CheckResult:
    if error is None:
        return ok(f"{port} is free" if port else "any free port")
    if isinstance(error, socket.gaierror):
        return fail(f"{host} is not an address: {error.strerror}", _BIND_HINTS[errno.EADDRNOTAVAIL])
    hint = _BIND_HINTS.get(error.errno or 0, "take another address")
    return fail(f"{own_address(host, port)} cannot be used: {error.strerror}", hint)


def _in_use(port: int, answer: ProbeAnswer) -> CheckResult:
    if answer.is_relay:
        return ok(f"a relay answers at {port}")
    return fail(
        f"{port} is taken, and not by a relay: {answer.text}", _BIND_HINTS[errno.EADDRINUSE]
    )


def check_pages(folder: Path) -> CheckResult:
    """Check that every file exists to which the voice page and the coach's page lead."""
    folder = folder.resolve()
    index = folder / "index.html"
    if not index.is_file():
        hint = "run from a checkout of the project, which has the page in web/"
        return fail(f"{index} is missing", hint)
    found, missing = _follow(index, folder / "coach.html")
    if missing:
        names = ", ".join(sorted(str(path.relative_to(folder)) for path in missing))
        return fail(f"{folder} lacks {names}", "restore them, as with `git checkout web`")
    return ok(f"{len(found)} files in {folder}")


def _follow(*pages: Path) -> tuple[set[Path], set[Path]]:
    """The existing and the missing files among all to which these pages lead."""
    found: set[Path] = set()
    missing: set[Path] = set()
    to_visit = list(pages)
    while to_visit:
        file = to_visit.pop()
        if not file.is_file():
            missing.add(file)
        elif file not in found:
            found.add(file)
            to_visit += _references(file)
    return found, missing


def _references(file: Path) -> Iterator[Path]:
    if file.suffix not in (".html", ".js"):
        return
    for address in _REFERENCE.findall(file.read_text(encoding="utf-8")):
        elsewhere = ":" in address or address.startswith("/") or address.endswith((".", "/"))
        if not elsewhere:
            yield (file.parent / address).resolve()


def check_development_secret(folder: Path) -> CheckResult:
    """Check the file of the secret with which `relay dev` signs when no other is set."""
    file = folder / FILE
    if (problem := write_problem(folder, file)) is not None:
        return fail(*problem)
    if not file.exists():
        return ok(f"{file} will be created by `relay dev`")
    try:
        is_whole = len(file.read_text("ascii", errors="replace").strip()) >= SECRET_BYTES
    except OSError as error:
        return fail(f"{file} cannot be read: {error.strerror}", "let the relay's user own it")
    if not is_whole:
        return fail(f"{file} is damaged", "delete it; the next start creates a new one")
    return ok(f"tokens are signed with {file}")


async def check_key_set(url: str, hint: str) -> CheckResult:
    """Fetch the issuer's public keys; `hint` names the settings that lead to them."""
    try:
        async with way_out().http_session() as http:
            keys = read_keys(await fetch_json(http, url))
    except FetchFailed as why:
        return fail(f"{url} gives no keys: {why}", hint)
    if not keys:
        return fail(f"{url}{NO_KEY}", hint)
    counts = Counter(algorithm for _, algorithm in keys)
    listed = ", ".join(f"{count} for {name}" for name, count in sorted(counts.items()))
    return ok(f"{listed} at {url}")


async def check_optional_key_set(url: str, hint: str) -> CheckResult:
    """Check a key set beside a shared secret: older projects have an empty set."""
    found = await check_key_set(url, hint)
    if found.what.endswith(NO_KEY):
        return ok(f"{url}{NO_KEY}: the shared secret alone verifies")
    return found


async def check_auth_server(url: str, api_key: str, hint: str) -> CheckResult:
    """Ask the authentication server about an invalid token: it must reject it, and not our key."""
    began = time.monotonic()
    until = asyncio.get_running_loop().time() + VERIFY_SECONDS
    try:
        async with way_out().http_session() as http:
            await AuthCheck(url, api_key, http).confirm("relay-check", "nobody", until)
    except SessionRefused as refused:
        if refused.ending is UNAUTHORIZED:
            took = round((time.monotonic() - began) * 1000)
            return ok(f"{url} rejects an invalid token, after {took} ms")
        return fail(f"{url} cannot be asked: {refused.__cause__}", hint)
    return fail(f"{url} accepts an invalid token", hint)
