"""Structured logs: JSON lines with a session id, and never a token, a key or a spoken word."""

from relay.logs.setup import Logs, configure

__all__ = ["Logs", "configure"]
