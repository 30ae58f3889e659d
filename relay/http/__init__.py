"""The HTTP listener: health, readiness, metrics, the coach's API and, in development, the pages."""
