"""`relay talk`: a command-line client of the relay, on the plain `websockets` library."""
