"""The secret that signs development tokens on one machine."""

import contextlib
import errno
import os
import secrets
import tempfile
from pathlib import Path

FILE = "development-secret"  # in the data folder, readable by its owner alone
SECRET_BYTES = 48  # of randomness; 64 characters


def development_secret(folder: Path) -> str:
    """Return the folder's secret, made on first use; raises `OSError` when that cannot be.

    Two processes that start at once get the same one: a whole file is linked into place, and
    whoever comes second reads the first one's.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / FILE
    if not path.exists():
        _write_once(path, secrets.token_urlsafe(SECRET_BYTES))
    if path.stat().st_mode & 0o077:
        path.chmod(0o600)
    secret = path.read_text("ascii", errors="replace").strip()
    if len(secret) < SECRET_BYTES:
        raise OSError(errno.EINVAL, f"{path} is damaged, delete it")
    return secret


def _write_once(path: Path, secret: str) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=FILE)  # mode 0600 from the start
    try:
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(secret)
        with contextlib.suppress(FileExistsError):
            os.link(name, path)
    finally:
        Path(name).unlink()
