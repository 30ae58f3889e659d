"""What would work on this machine and what would not, part by part; nothing here prints."""
