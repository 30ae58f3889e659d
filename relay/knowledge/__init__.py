"""Knowledge bases: documents in chunks, found by words (BM25) and, where there are, by vectors."""
