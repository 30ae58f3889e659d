"""OpenAI's HTTP API on the parts of a simulator: speech, transcripts, chats, embeddings, models."""
