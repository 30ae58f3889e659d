"""Calls at doors without a Realtime socket: who may call, HTTP in the door's shape, and turns."""
