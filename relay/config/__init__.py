"""The settings, from the environment and `.env`; nothing else in the relay reads either."""

from relay.config.loading import (
    Loaded,
    SettingsError,
    client_secret_key,
    dev_settings,
    local_settings,
    project_of,
    secrets_of,
    serve_settings,
    served_settings,
    trust_of,
    way_out_of,
)
from relay.config.paths import setting_of
from relay.config.settings import Described, Settings, describe, env_example

__all__ = [
    "Described",
    "Loaded",
    "Settings",
    "SettingsError",
    "client_secret_key",
    "describe",
    "dev_settings",
    "env_example",
    "local_settings",
    "project_of",
    "secrets_of",
    "serve_settings",
    "served_settings",
    "setting_of",
    "trust_of",
    "way_out_of",
]
