"""`relay dev` and `relay serve`: the relay itself."""

import argparse
import asyncio
import contextlib
import errno
import resource
import socket
import sqlite3
from collections.abc import Callable
from typing import Final

import structlog

from relay.app import App, page_token, run
from relay.cli.console import fail, say
from relay.config import Loaded, SettingsError, secrets_of
from relay.logs import configure
from relay.stores.journal.file import JournalDamaged, JournalInUse
from relay.tools.call import ToolMisconfigured

# ---- Room for as many sockets as sessions are allowed: each has two.

A_SESSION: Final = 2
BESIDE: Final = 256
"""Listeners, files, feeds and the database's connections."""


def make_room(sessions: int) -> str | None:
    """Raise this process' own limit as far as that is ours to do; what is missing, in one line."""
    wanted = A_SESSION * sessions + BESIDE
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    if most < wanted:
        return (
            f"MAX_CONNECTIONS={sessions} needs {wanted} open files and this process may have"
            f" {most}: raise LimitNOFILE (ulimit -n), or lower MAX_CONNECTIONS"
        )
    return None


_MENDS: Final = {
    errno.EADDRINUSE: "stop what runs there, or choose others with --port and --http-port",
    errno.EADDRNOTAVAIL: "choose one of this machine with --host",
    socket.EAI_NONAME: "choose an address of this machine with --host",
    errno.EACCES: "choose ports above 1023 with --port and --http-port",
}
log = structlog.get_logger(__name__)


def start(load: Callable[[], Loaded], told: Callable[[App], None], *, drains: bool) -> int:
    """Load the settings, run until a signal; each problem is one line and exit code 1."""
    try:
        loaded = load()
    except SettingsError as error:
        fail(*error.problems)
    settings = loaded.settings
    secrets = (*secrets_of(settings), *loaded.tool_secrets.values())
    logs = configure(settings.log_level, settings.log_dir, secrets=secrets)
    with contextlib.closing(logs):
        cramped = make_room(settings.max_connections)
        for warning in (*loaded.warnings, *([cramped] if cramped else [])):
            log.warning(warning)
        seconds = settings.drain_timeout if drains else 0.0
        try:
            with asyncio.Runner(loop_factory=_new_loop) as runner:
                runner.run(run(loaded, seconds, told))
        except (OSError, sqlite3.Error, JournalInUse, JournalDamaged, ToolMisconfigured) as error:
            fail(why(error))
    return 0


def why(error: Exception) -> str:
    """Why it did not start, and what to do where that can be said."""
    if isinstance(error, OSError) and error.errno in _MENDS and error.filename is None:
        return f"{error.strerror}; {_MENDS[error.errno]}"
    return str(error)


def _new_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop  # noqa: PLC0415 - it knows no Windows
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def address_options(parser: argparse.ArgumentParser) -> None:
    """The addresses, which a second relay on one machine must change."""
    parser.add_argument("--host", help="address of both listeners")
    parser.add_argument("--port", type=int, help="port of the voice listener")
    parser.add_argument("--http-port", type=int, help="port of the HTTP listener")


def addresses(given: argparse.Namespace) -> dict[str, object]:
    """The options that were given, as settings."""
    names = ("host", "port", "http_port")
    return {name: getattr(given, name) for name in names if getattr(given, name) is not None}


def show_dev(app: App) -> None:
    """What a newcomer needs: the page, the socket, a token."""
    say(f"page    {app.page_url}")
    say(f"socket  {app.voice_url}")
    say(f"token   {page_token(app.settings)}")
    say(f"voice   {app.engine.name}{_voice_note(app.engine.name)}")
    say("Open the page and talk. Stop with Ctrl-C.")


def _voice_note(engine: str) -> str:
    if engine == "openai":
        return ""
    what = "the demonstration voice" if engine == "offline" else "it says back what it hears"
    return f" ({what}; set OPENAI_API_KEY or OPENAI_BASE_URL for a real one)"


def show_serve(app: App) -> None:
    """One line for the log."""
    log.info("ready", port=app.listener.port, http_port=app.http.port, engine=app.engine.name)
