"""Cost of sessions: usage, prices and budgets."""
