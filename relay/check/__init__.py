"""Checks that each part of a relay would work on this machine. Nothing here prints."""
