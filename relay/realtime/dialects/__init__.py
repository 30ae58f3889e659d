"""Dialects of the Realtime API that clients use: GA and beta."""
