"""Voices. An engine knows how to reach or be one, and speaks GA Realtime frames."""
