"""Who is calling and what they may do: tokens become callers, callers get grants."""
