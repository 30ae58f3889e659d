"""The write-ahead journal: records wait on disk until the store has them."""
