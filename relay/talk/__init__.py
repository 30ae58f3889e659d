"""`relay talk`: a client of the relay on the command line, on the plain `websockets` library."""
