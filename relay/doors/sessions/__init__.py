"""Sessions door: the session API for hybrid coaching (S0), over HTTP and two WebSockets."""

from relay.doors.sessions.door import SessionsDoor, SessionsOptions, SessionsServices

__all__ = ["SessionsDoor", "SessionsOptions", "SessionsServices"]
