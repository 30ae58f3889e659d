"""Coaching of a session: commands, the coach's speech, the muted model."""
