"""Engines: each connects a session to a voice, or is one, in frames of GA Realtime."""
