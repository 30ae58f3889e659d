"""WebSocket connections over picows, accepted and opened; no module here reads an event."""
