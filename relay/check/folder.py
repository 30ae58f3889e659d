"""Whether words can be kept in a folder: it is there or can be made, and the disk has room."""

import os
import shutil
from pathlib import Path
from typing import Final

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
