"""The HTTP listener: health, readiness, metrics and pages."""
