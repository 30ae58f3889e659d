"""Installs the voice of this machine with pip, beside a relay that already runs."""

import asyncio
import hashlib
import importlib
import re
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from relay.cli.console import plain
from relay.engines.pending import InstallProgress, Phase

LOG: Final = Path("build/voice-install.log")
"""pip's own output, in the folder where the relay runs."""
DOWNLOADS: Final = Path("build/voice-download")
"""pip's temporary folder: what is in it has been downloaded."""
POLL_SECONDS: Final = 0.5
STOP_SECONDS: Final = 5.0
"""What pip may take to clean up when it is told to stop."""
MOST_SHOWN: Final = 200
"""Characters of pip's reason in the line that tells of a failure."""
_PIP: Final = (
    *(sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--no-input"),
    *("--no-deps", "--require-hashes", "--only-binary=:all:", "--no-compile", "--progress-bar=off"),
)
_INSTALLING: Final = re.compile(rb"^Installing collected packages", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class VoiceBundle:
    """Lock files of a checkout, and what they download and fill, in megabytes at most."""

    locks: tuple[Path, ...]
    download: int
    disk: int


_VOICE: Final = Path("requirements-run.lock")
BUNDLES: Final = {
    "small": VoiceBundle((_VOICE,), 260, 500),
    "full": VoiceBundle((_VOICE, Path("requirements-voice-llm.lock")), 387, 710),
}
"""What may be installed: with or without the language model."""


class PipInstaller:
    """Fills `VoiceInstaller` for one bundle.

    `tell` gets a line for the terminal at each step.
    """

    def __init__(self, bundle: VoiceBundle, tell: Callable[[str], None]) -> None:
        self._bundle = bundle
        self._tell = tell
        self._phase: Phase = "downloading"
        self._downloaded = 0
        self._began = time.monotonic()
        self._reason = ""

    @property
    def progress(self) -> InstallProgress:
        """How far it is; the download is never shown as more than was announced."""
        most = self._bundle.download
        done = most if self._phase in ("starting", "ready") else self._downloaded // 1_000_000
        return InstallProgress(self._phase, min(done, most), most)

    async def install(self) -> bool:
        """Run pip, and tell whether it has installed everything."""
        if missing := [lock for lock in self._bundle.locks if not lock.is_file()]:
            self._reason = f"there is no {missing[0]} here"
            return False
        LOG.parent.mkdir(exist_ok=True)
        self.enter("downloading")
        shutil.rmtree(DOWNLOADS, ignore_errors=True)
        DOWNLOADS.mkdir(parents=True)
        try:
            done = await self._pip() == 0
        finally:
            shutil.rmtree(DOWNLOADS, ignore_errors=True)
        if done:
            importlib.invalidate_caches()
            _marker().write_text("\n".join(sorted(_digests(self._bundle) | _installed())))
        else:
            self._reason = _reason(LOG.read_text(errors="replace"))
        return done

    def enter(self, phase: Phase) -> None:
        """Set the phase and say it in a line."""
        self._phase = phase
        self._tell(f"voice   {self._line(phase)}")

    def _line(self, phase: Phase) -> str:
        match phase:
            case "downloading":
                sizes = f"{self._bundle.download} MB, {self._bundle.disk} MB on disk"
                return f"downloading, once: {sizes}; the page shows how far it is"
            case "installing":
                return "installing"
            case "starting":
                return "starting"
            case "ready":
                seconds = time.monotonic() - self._began
                return f"ready after {seconds:.0f} s: open the page and talk"
            case "failed":
                why = self._reason or "it was installed but cannot be loaded, see `relay check`"
                return f"not installed: {why}; the echo answers, and the next start goes on here"

    async def _pip(self) -> int:
        """Run pip with its output in the log; it is stopped when this is cancelled."""
        locks = (word for lock in self._bundle.locks for word in ("-r", str(lock)))
        temporary = f"TMPDIR={DOWNLOADS.absolute()}"
        with LOG.open("wb") as log:  # noqa: ASYNC230 - pip writes to it, nothing here waits
            process = await asyncio.create_subprocess_exec(
                *("env", temporary, *_PIP, *locks),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
            try:
                while process.returncode is None:
                    await self._watch(process)
            finally:
                if process.returncode is None:
                    await _stop(process)
        return process.returncode or 0

    async def _watch(self, process: asyncio.subprocess.Process) -> None:
        """Wait a moment for pip, then look how far it is."""
        try:
            async with asyncio.timeout(POLL_SECONDS):
                await process.wait()
        except TimeoutError:
            self._downloaded = max(self._downloaded, await asyncio.to_thread(_bytes_of_wheels))
            if self._phase == "downloading" and _INSTALLING.search(LOG.read_bytes()):
                self.enter("installing")


def is_installed(bundle: VoiceBundle) -> bool:
    """Tell whether an earlier run has installed exactly these locks, or more."""
    return all(lock.is_file() for lock in bundle.locks) and _digests(bundle) <= _installed()


def _marker() -> Path:
    """The file that says which locks this environment has; it goes away with it."""
    return Path(sys.prefix) / "relay-voice.installed"


def _installed() -> set[str]:
    marker = _marker()
    return set(marker.read_text().split()) if marker.is_file() else set()


def _digests(bundle: VoiceBundle) -> set[str]:
    return {hashlib.sha256(lock.read_bytes()).hexdigest() for lock in bundle.locks}


def _bytes_of_wheels() -> int:
    total = 0
    for path in DOWNLOADS.rglob("*.whl"):
        try:
            total += path.stat().st_size
        except FileNotFoundError:
            continue  # pip moves and removes them meanwhile
    return total


async def _stop(process: asyncio.subprocess.Process) -> None:
    process.terminate()
    try:
        async with asyncio.timeout(STOP_SECONDS):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


def _reason(output: str) -> str:
    """The last error in the log of pip, in a line; else where that log is."""
    errors = [line for line in output.splitlines() if line.startswith("ERROR: ")]
    where = f"see {LOG}"
    if not errors:
        return where
    return f"{plain(errors[-1].removeprefix('ERROR: '))[:MOST_SHOWN].rstrip('. ')} ({where})"
