"""Authentication: verifies tokens and reads their callers."""
