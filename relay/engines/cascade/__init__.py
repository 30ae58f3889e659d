"""The cascade: a GA Realtime server within the process, over four parts."""
