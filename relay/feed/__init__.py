"""Live feeds of what is said: a final only after the journal's commit, and never with a gap."""
