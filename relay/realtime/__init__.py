"""The rules, pure: nothing here awaits, reads a clock, opens a socket or writes a log."""
