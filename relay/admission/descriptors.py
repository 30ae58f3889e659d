"""Divides the process's file descriptors between sessions, newcomers and the HTTP listener."""

import resource
from dataclasses import dataclass
from typing import Final

SOCKETS_PER_SESSION: Final = 2
"""The client's and the engine's."""

MAX_NEWCOMERS: Final = 200
"""Connections of the voice listener that have not shown a valid token yet."""

MAX_HTTP: Final = 1200
"""Connections of the HTTP listener: a thousand feeds, and 200 that wait for a request."""

OTHER_FILES: Final = 256
"""Listeners, files, parts, coaches' transcribers, and connections to databases and tools."""

_FEWEST_OTHER: Final = 32  # what an idle relay has open, with some to spare
_FEWEST: Final = 8  # newcomers, and HTTP connections: health must be told, callers let in


@dataclass(frozen=True, slots=True)
class DescriptorShares:
    """How many sessions, newcomers and HTTP connections may be open at once."""

    sessions: int
    newcomers: int = MAX_NEWCOMERS
    http: int = MAX_HTTP


def descriptors_for(sessions: int) -> int:
    """The descriptors that so many sessions need, with everything beside them."""
    return SOCKETS_PER_SESSION * sessions + MAX_NEWCOMERS + MAX_HTTP + OTHER_FILES


def share_descriptors(limit: int | None, sessions: int) -> DescriptorShares:
    """Divide `limit` descriptors (None: endless); where they are too few, everybody gets less.

    The listeners' shares shrink first, to an eighth each; then there are fewer than `sessions`.
    """
    if limit is None or limit >= descriptors_for(sessions):
        return DescriptorShares(sessions)
    left = limit - min(OTHER_FILES, max(_FEWEST_OTHER, limit // 4))
    newcomers = min(MAX_NEWCOMERS, max(_FEWEST, left // 8))
    http = min(MAX_HTTP, max(_FEWEST, left // 8))
    affordable = (left - newcomers - http) // SOCKETS_PER_SESSION
    return DescriptorShares(max(1, min(sessions, affordable)), newcomers, http)


def too_few(limit: int | None, sessions: int) -> str | None:
    """A warning that says what to do where `limit` is too low for so many sessions, else None."""
    affordable = share_descriptors(limit, sessions).sessions
    if affordable == sessions:
        return None
    return (
        f"MAX_CONNECTIONS={sessions} needs {descriptors_for(sessions)} open files and this process"
        f" may have {limit}: it takes {affordable} sessions at most. Raise LimitNOFILE (ulimit -n),"
        " or lower MAX_CONNECTIONS"
    )


def raise_limit() -> int | None:
    """Raise this process's limit of open files to its hard limit, where that is allowed.

    Returns the limit that it has then, None for none.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (OSError, ValueError):  # a sandbox, or a system whose "infinite" is not to be had
            hard = soft
    return None if hard == resource.RLIM_INFINITY else hard
