"""Live transcripts for coaches: finals only after the journal's commit, and without gaps."""
