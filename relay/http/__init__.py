"""The HTTP listener: health, readiness, metrics and, in development, the page. No audio."""
