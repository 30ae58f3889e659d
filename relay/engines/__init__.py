"""Engines: connections to a voice model, or a local voice, that speak GA Realtime."""
