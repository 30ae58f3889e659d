"""Agents: their configuration and the grants of their callers."""
