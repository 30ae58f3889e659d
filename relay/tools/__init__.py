"""Server tools: functions the model calls that run here, over HTTP or in Python."""
