"""A module that cannot be imported."""

raise ValueError("sk-secret")
