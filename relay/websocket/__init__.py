"""Frames over picows, both sides; nothing here knows what a frame says."""
