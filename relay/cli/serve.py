"""`relay dev` and `relay serve`: run the relay itself."""

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
from relay.cli.console import CliCommand, fail, load_or_fail, say
from relay.config import Loaded, dev_settings, secrets_of, serve_settings
from relay.logs import configure
from relay.stores.journal.file import JournalDamaged, JournalInUse
from relay.tools.call import ToolMisconfigured

SOCKETS_PER_SESSION: Final = 2
OTHER_FILES: Final = 256
"""Listeners, files, feeds and the database's connections."""

_HINTS: Final = {
    errno.EADDRINUSE: "stop what runs there, or choose others with --port and --http-port",
    errno.EADDRNOTAVAIL: "choose one of this machine with --host",
    socket.EAI_NONAME: "choose an address of this machine with --host",
    errno.EACCES: "choose ports above 1023 with --port and --http-port",
}
log = structlog.get_logger(__name__)


def add_address_options(parser: argparse.ArgumentParser) -> None:
    """Add the addresses, which a second relay on one machine must change."""
    parser.add_argument("--host", help="address of both listeners")
    parser.add_argument("--port", type=int, help="port of the voice listener")
    parser.add_argument("--http-port", type=int, help="port of the HTTP listener")


def address_settings(given: argparse.Namespace) -> dict[str, object]:
    """The addresses that were given, as settings."""
    names = ("host", "port", "http_port")
    return {name: getattr(given, name) for name in names if getattr(given, name) is not None}


def _run_dev(given: argparse.Namespace) -> int:
    """Run until Ctrl-C."""
    overrides = address_settings(given)
    return _start(lambda: dev_settings(**overrides), announce_dev, drains=False)


def _run_serve(given: argparse.Namespace) -> int:
    """Run until SIGTERM, then drain."""
    overrides = address_settings(given)
    return _start(lambda: serve_settings(**overrides), announce_serve, drains=True)


DEV: Final = CliCommand(
    name="dev",
    help="run with everything embedded: no key, no account, no database",
    example="relay dev --port 8080",
    options=add_address_options,
    run=_run_dev,
)
SERVE: Final = CliCommand(
    name="serve",
    help="run in production, with settings from the environment",
    example="RELAY_STORE=sqlite SUPABASE_URL=https://ref.supabase.co relay serve",
    options=add_address_options,
    run=_run_serve,
)


def _start(load: Callable[[], Loaded], announce: Callable[[App], None], *, drains: bool) -> int:
    """Load the settings and run until a signal; a problem is one line and exit code 1."""
    loaded = load_or_fail(load)
    settings = loaded.settings
    secrets = (*secrets_of(settings), *loaded.tool_secrets.values())
    with contextlib.closing(configure(settings.log_level, settings.log_dir, secrets=secrets)):
        too_few = raise_fd_limit(settings.max_connections)
        for warning in (*loaded.warnings, *([too_few] if too_few else [])):
            log.warning(warning)
        drain_seconds = settings.drain_timeout if drains else 0.0
        try:
            with asyncio.Runner(loop_factory=_new_loop) as runner:
                runner.run(run(loaded, drain_seconds, announce))
        except (OSError, sqlite3.Error, JournalInUse, JournalDamaged, ToolMisconfigured) as error:
            fail(start_error(error))
    return 0


def raise_fd_limit(sessions: int) -> str | None:
    """Raise this process's limit of open files to what so many sessions need.

    Returns a warning where the hard limit does not allow it, None where there are enough.
    """
    wanted = SOCKETS_PER_SESSION * sessions + OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    if allowed < wanted:
        return (
            f"MAX_CONNECTIONS={sessions} needs {wanted} open files and this process may have"
            f" {allowed}: raise LimitNOFILE (ulimit -n), or lower MAX_CONNECTIONS"
        )
    return None


def _new_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop  # noqa: PLC0415 - there is none for Windows
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def start_error(error: Exception) -> str:
    """The reason a start failed, with a hint where there is one."""
    if isinstance(error, OSError) and error.errno in _HINTS and error.filename is None:
        return f"{error.strerror}; {_HINTS[error.errno]}"
    return str(error)


def announce_dev(app: App) -> None:
    """Print what a newcomer needs: the page, the socket, a token."""
    say(f"page    {app.page_url}")
    say(f"socket  {app.voice_url}")
    say(f"token   {page_token(app.settings)}")
    say(f"voice   {app.engine.name}{_voice_note(app.engine.name)}")
    say("Open the page and talk. Stop with Ctrl-C.")


def _voice_note(engine: str) -> str:
    match engine:
        case "openai":
            return ""
        case "offline":
            what = "the demonstration voice"
        case "echo":
            what = "it says back what it hears"
        case _:
            raise ValueError(f"unknown engine {engine!r}")
    return f" ({what}; set OPENAI_API_KEY or OPENAI_BASE_URL for a real one)"


def announce_serve(app: App) -> None:
    """Log that the relay is ready, with its ports."""
    log.info("ready", port=app.listener.port, http_port=app.http.port, engine=app.engine.name)
