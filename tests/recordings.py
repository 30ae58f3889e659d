"""Recorded Realtime sessions, which lie beside the repository in a maintainer's checkout."""

from pathlib import Path
from typing import Final

RECORDINGS: Final = Path(__file__).parents[2] / "shared" / "recordings"
