"""Agents: their configuration, and the grant that a caller gets of one."""
