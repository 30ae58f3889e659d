"""Only the doors that the settings name are open, and loaded."""

import subprocess
import sys


def test_a_relay_without_them_loads_nothing_of_the_older_doors() -> None:
    script = (
        "import relay.cli.main, relay.app, sys;"
        "print(*(name for name in sys.modules if name.startswith('relay.doors.')),"
        " *(name for name in ('socketio', 'soundfile', 'livekit', 'numpy', 'pynvml')"
        " if name in sys.modules))"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout.split()

    assert sorted(loaded) == [
        "relay.doors.browser",
        "relay.doors.closed",
        "relay.doors.openai",
    ]
