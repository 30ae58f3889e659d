"""Server-side tools: what the model called is carried out here."""
