"""The coach's API: live sessions, transcripts, feeds, and commands to a live session."""
