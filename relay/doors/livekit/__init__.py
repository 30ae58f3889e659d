"""LiveKit door: a worker that translates in a room, and through which its participants talk."""

from relay.doors.livekit.door import LivekitDoor, LivekitOptions, LivekitServices

__all__ = ["LivekitDoor", "LivekitOptions", "LivekitServices"]
