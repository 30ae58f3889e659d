"""Reads the audio that clients send in whatever format, and writes MP3, in processes of its own."""
