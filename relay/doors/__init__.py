"""Ways in: each door authenticates its clients and grants them a session."""
