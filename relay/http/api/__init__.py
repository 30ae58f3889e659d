"""The coach's API: live sessions, what was said, and feeds of what is being said."""
