"""Which engine the settings ask for."""

import structlog

from relay.engines.offline import VoiceNotInstalled, offline_parts
from relay.engines.offline.echo import echo_parts
from relay.engines.offline.parts import Parts
from relay.engines.offline.voice import OfflineVoice
from relay.engines.openai import OpenAIEngine, OpenAIOptions, azure_options
from relay.interfaces import Engine
from relay.settings import Settings

log = structlog.get_logger(__name__)


def make_engine(settings: Settings) -> Engine:
    """The engine of RELAY_ENGINE."""
    if settings.relay_engine == "openai":
        return OpenAIEngine(_provider(settings))
    parts = offline_or_echo() if settings.relay_engine == "offline" else echo_parts()
    return OfflineVoice(parts)


def _provider(settings: Settings) -> OpenAIOptions:
    """OpenAI, a server like it, or Azure's resource in its place."""
    endpoint, azure_key = settings.azure_openai_endpoint, settings.azure_openai_api_key
    if endpoint is not None and azure_key is not None:
        key, deployment = azure_key.get_secret_value(), settings.azure_openai_deployment
        return azure_options(endpoint, key, deployment, settings.engine_timeout)
    own_key = settings.openai_api_key
    return OpenAIOptions(
        api_key=own_key.get_secret_value() if own_key else "",
        base_url=settings.openai_base_url,
        timeout=settings.engine_timeout,
    )


def offline_or_echo() -> Parts:
    """The demonstration voice, or the echo where it is not installed."""
    try:
        return offline_parts()
    except VoiceNotInstalled as missing:
        log.warning("the echo answers instead of the offline voice", reason=str(missing))
        return echo_parts()
