"""What every test may use: components that are skipped where absent, and human speech."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.components import require
from tests.websocket import sansio_ends

pytest_plugins = ["tests.recordings", "tests.supabase.fixtures"]

# A busy machine takes longer over an example; what hangs, faulthandler_timeout tells.
settings.register_profile(
    "any machine", settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
)
settings.load_profile("any machine")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--sansio",
        action="store_true",
        help="relays in this process talk over the sans-I/O protocol of `websockets`",
    )
    parser.addoption("--full", action="store_true", help="slow checks use every recording there is")


@pytest.fixture
def full(request: pytest.FixtureRequest) -> bool:
    """Whether this is the long form, which is run by hand."""
    return bool(request.config.getoption("--full"))


@pytest.fixture(autouse=True)
def wire_library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With --sansio, put the way out of the wire library in its place."""
    if request.config.getoption("--sansio"):
        # A line of a request may be as long as the relay's own library takes it.
        monkeypatch.setattr("websockets.http11.MAX_LINE_LENGTH", 16 * 1024)
        monkeypatch.setattr("relay.app.listen", sansio_ends.listen)
        monkeypatch.setattr("relay.engines.openai.connect", sansio_ends.connect)


@pytest.hookimpl(tryfirst=True)  # before any fixture starts what is not there
def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark in item.iter_markers("needs"):
        for name in mark.args:
            require(name)


@pytest.fixture(scope="session")
def human_wav(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Give a recorded prompt by its name as a WAV file: 24 kHz, mono, PCM16, a human voice.

    `human_wav("conf-onlyperson")` says "you are currently the only person in this conference".
    """
    folder = tmp_path_factory.mktemp("human")

    def decode(name: str) -> Path:
        source = require("human_recordings") / f"{name}.g722"
        wav = folder / f"{name}.wav"
        if not wav.exists():
            decoder = [str(require("ffmpeg")), "-v", "error", "-f", "g722", "-i", str(source)]
            wanted = ["-ar", "24000", "-ac", "1", "-c:a", "pcm_s16le", str(wav)]
            subprocess.run(decoder + wanted, check=True)
        return wav

    return decode
