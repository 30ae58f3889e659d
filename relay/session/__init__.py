"""I/O of live sessions: admission, both directions, coaches, billing, teardown."""
