"""Ways in. A door knows its wire and who is calling; no door imports an engine."""
