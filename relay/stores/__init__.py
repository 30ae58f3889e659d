"""Persistence: the journal on this machine's disk first, then a store."""
