"""The offline voice: an engine that really listens and really speaks, without a key."""
