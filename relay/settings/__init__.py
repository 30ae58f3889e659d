"""What the environment and `.env` say, checked; nothing else in the relay reads them."""

from relay.settings.names import Described, Settings, describe, env_example
from relay.settings.start import (
    Loaded,
    SettingsError,
    dev_settings,
    local_settings,
    project_of,
    secrets_of,
    serve_settings,
    trust_of,
)

__all__ = [
    "Described",
    "Loaded",
    "Settings",
    "SettingsError",
    "describe",
    "dev_settings",
    "env_example",
    "local_settings",
    "project_of",
    "secrets_of",
    "serve_settings",
    "trust_of",
]
