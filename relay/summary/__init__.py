"""Summaries of conversations: by a text model, or extracted from what was said."""
