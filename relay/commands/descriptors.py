"""Room for as many sockets as sessions are allowed: each has two."""

import resource
from typing import Final

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
