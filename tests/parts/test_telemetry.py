"""No library of the local voice reports to its maker."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.components import needs


@needs("voice")
@pytest.mark.parametrize("part", ["silero", "whisper_worker", "piper_worker"])
def test_onnx_runtime_reports_nothing(tmp_path: Path, part: str) -> None:
    """Where it reports, it keeps a session file in the temporary folder from its import on."""
    given = {name: value for name, value in os.environ.items() if not name.startswith("ORT_")}
    load = f"import relay.parts.{part}, onnxruntime, faster_whisper, piper"
    here = {**given, "TMPDIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", load], check=True, env=here, timeout=60)
    assert list(tmp_path.iterdir()) == []
