"""`relay dev` and `relay serve`: run the relay itself."""

import argparse
import asyncio
import contextlib
import errno
import os
import signal
import socket
import sqlite3
import sys
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import replace
from typing import Any, Final

import structlog

from relay.admission.descriptors import raise_limit, share_descriptors, too_few
from relay.app import App, page_token, run
from relay.cli.console import CliCommand, fail, load_or_fail, say
from relay.cli.voice_install import BUNDLES, PipInstaller, is_installed
from relay.config import Loaded, Settings, dev_settings, secrets_of, serve_settings, setting_of
from relay.engines.pending import PendingEngine
from relay.logs import configure
from relay.open_doors import DoorNotInstalled
from relay.stores.journal.file import JournalDamaged, JournalInUse
from relay.tools.call import ToolMisconfigured

HOW_TO_INSTALL: Final = f"{sys.executable} -m pip install 'relay[voice]'"
"""For a relay that is not a checkout."""
PRIVATE_UMASK: Final = 0o027
"""What the relay writes, such as a log after a rotation, is not for everybody on the machine."""
USER_SIGNALS: Final = (signal.SIGUSR1, signal.SIGUSR2)
IGNORED_SIGNALS: Final = (*USER_SIGNALS, signal.SIGHUP)
"""They mean nothing to the relay, and would kill a program that says nothing about them."""

_HINTS: Final = {
    errno.EADDRINUSE: "stop what runs there, or choose others with --port and --http-port",
    errno.EADDRNOTAVAIL: "choose one of this machine with --host",
    socket.EAI_NONAME: "choose an address of this machine with --host",
    errno.EACCES: "choose ports above 1023 with --port and --http-port",
}
_PATH_HINT: Final = "let the relay's user own it, or set another"
START_FAILURES: Final = (
    *(OSError, sqlite3.Error, JournalInUse, JournalDamaged),
    *(ToolMisconfigured, DoorNotInstalled),
)
"""What ends a start with one line that says what to do."""
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


def _dev_options(parser: argparse.ArgumentParser) -> None:
    add_address_options(parser)
    parser.add_argument(
        "--install-voice",
        choices=BUNDLES,
        help="in a checkout: install the voice of this machine beside it, where it is missing;"
        " small is without the language model",
    )


def _run_dev(given: argparse.Namespace) -> int:
    """Run until Ctrl-C."""
    loaded = load_or_fail(lambda: dev_settings(**address_settings(given)))
    level = "log_level" in loaded.settings.model_fields_set
    quiet = loaded if level else replace(loaded, settings=_quiet(loaded.settings))
    installer = voice_installer(given.install_voice, loaded.settings)
    # A terminal that is closed hangs up: a relay that stayed would keep its ports.
    _ignore(USER_SIGNALS if os.isatty(0) else IGNORED_SIGNALS)
    return _start(quiet, lambda loaded: run(loaded, 0.0, announce_dev, installer))


def _run_serve(given: argparse.Namespace) -> int:
    """Run until SIGTERM, then drain."""
    loaded = load_or_fail(lambda: serve_settings(**address_settings(given)))
    drain = loaded.settings.drain_timeout
    _ignore(IGNORED_SIGNALS)
    return _start(loaded, lambda loaded: run(loaded, drain, announce_serve))


def _ignore(numbers: Iterable[signal.Signals]) -> None:
    """Ignore these signals in this process; programs that it starts do as they like."""
    for number in numbers:
        signal.signal(number, lambda *_: None)


def _quiet(settings: Settings) -> Settings:
    """The settings with a log that a newcomer's terminal shows only when something is wrong."""
    return settings.model_copy(update={"log_level": "warning"})


def voice_installer(bundle: str | None, settings: Settings) -> PipInstaller | None:
    """What brings the voice of this machine; None where none is asked for, wanted or missing."""
    if bundle is None or settings.relay_engine != "offline" or is_installed(BUNDLES[bundle]):
        return None
    return PipInstaller(BUNDLES[bundle], say)


DEV: Final = CliCommand(
    name="dev",
    help="run with everything embedded: no key, no account, no database",
    example="relay dev --port 8080",
    options=_dev_options,
    run=_run_dev,
)
SERVE: Final = CliCommand(
    name="serve",
    help="run in production, with settings from the environment",
    example="RELAY_STORE=sqlite SUPABASE_URL=https://ref.supabase.co relay serve",
    options=add_address_options,
    run=_run_serve,
)


def _start(loaded: Loaded, program: Callable[[Loaded], Coroutine[Any, Any, None]]) -> int:
    """Run until a signal; a problem is one line and exit code 1."""
    settings = loaded.settings
    os.umask(os.umask(PRIVATE_UMASK) | PRIVATE_UMASK)
    secrets = (*secrets_of(settings), *loaded.tool_secrets.values())
    with contextlib.closing(configure(settings.log_level, settings.log_dir, secrets=secrets)):
        limit = raise_limit()
        lacking = too_few(limit, settings.max_connections)
        for warning in (*loaded.warnings, *([lacking] if lacking else [])):
            log.warning(warning)
        loaded = replace(loaded, shares=share_descriptors(limit, settings.max_connections))
        try:
            with asyncio.Runner(loop_factory=_new_loop) as runner:
                runner.run(program(loaded))
        except START_FAILURES as error:
            fail(start_error(error, settings))
    return 0


def _new_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop  # noqa: PLC0415 - there is none for Windows
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def start_error(error: Exception, settings: Settings) -> str:
    """The reason a start failed, with the setting to change or a hint where there is one."""
    if isinstance(error, OSError) and error.filename is not None:
        setting = setting_of(error.filename, settings)
        if setting is not None:
            return f"{setting} cannot be used: {error.strerror}: {error.filename}; {_PATH_HINT}"
    elif isinstance(error, OSError) and error.errno in _HINTS:
        return f"{error.strerror}; {_HINTS[error.errno]}"
    elif isinstance(error, sqlite3.Error):
        return f"RELAY_DATA_DIR={settings.relay_data_dir} cannot be used: {error}; {_PATH_HINT}"
    return str(error)


def _run_livekit(given: argparse.Namespace) -> int:
    """Run until SIGTERM with the LiveKit door alone."""
    loaded = load_or_fail(lambda: serve_settings(relay_doors="livekit", **address_settings(given)))
    drain = loaded.settings.drain_timeout
    _ignore(IGNORED_SIGNALS)
    return _start(loaded, lambda loaded: run(loaded, drain, announce_serve))


LIVEKIT: Final = CliCommand(
    name="livekit",
    help="run in a LiveKit room: translate there, and let its participants talk with agents",
    example="LIVEKIT_URL=wss://example.livekit.cloud LIVEKIT_API_KEY=… relay livekit",
    options=add_address_options,
    run=_run_livekit,
)


def announce_dev(app: App) -> None:
    """Print what a newcomer needs: the pages, the socket, a token."""
    say(f"page    {app.page_address()}")
    say(f"coach   {app.page_address('coach')}")
    say(f"socket  {app.voice_url}")
    say(f"token   {page_token(app.settings)}")
    others = [name for name in app.settings.relay_doors if name not in ("openai", "browser")]
    if others:
        say(f"doors   {', '.join(others)}, at {app.page_url}")
    if not isinstance(app.engine, PendingEngine):
        say(f"voice   {app.engine.name}{_voice_note(app.engine.name, app.settings)}")
    say("Open the page, by its whole address, and talk. Stop with Ctrl-C.")


def _voice_note(engine: str, settings: Settings) -> str:
    if engine not in ("offline", "echo"):
        return ""
    if engine == "offline":
        return " (small models on this machine; set OPENAI_API_KEY or OPENAI_BASE_URL for others)"
    if settings.relay_engine != "echo":
        return f" (it says back what it hears; the voice comes with: {HOW_TO_INSTALL})"
    return " (it says back what it hears)"


def announce_serve(app: App) -> None:
    """Log that the relay is ready, with its ports."""
    log.info("ready", port=app.listener.port, http_port=app.http.port, engine=app.engine.name)
