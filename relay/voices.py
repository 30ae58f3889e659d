"""Which engine, and which text model, the settings ask for."""

from urllib.parse import urlsplit

import aiohttp
import structlog

from relay.engines.cascade.engine import OfflineVoice
from relay.engines.cascade.offline import VoiceNotInstalled, offline_parts
from relay.engines.openai import FixedKey, KeySource, OpenAIEngine, OpenAIOptions, azure_options
from relay.interfaces import Engine
from relay.parts.interfaces import Parts
from relay.parts.simple import echo_parts
from relay.settings import Settings
from relay.summary.model import Chat, Writer

log = structlog.get_logger(__name__)


def make_engine(settings: Settings, vault: KeySource | None = None) -> Engine:
    """The engine of RELAY_ENGINE; OpenAI's key is the vault's, where there is one."""
    if settings.relay_engine == "openai":
        return OpenAIEngine(_provider(settings, vault))
    parts = offline_or_echo() if settings.relay_engine == "offline" else echo_parts()
    return OfflineVoice(parts)


def own_key(settings: Settings) -> str:
    """The provider's key in the environment, "" where there is none."""
    return settings.openai_api_key.get_secret_value() if settings.openai_api_key else ""


def summary_writer(settings: Settings, http: aiohttp.ClientSession) -> Writer | None:
    """The text model of RELAY_SUMMARY_MODEL; the provider's key goes to the provider alone."""
    if settings.relay_summary_model is None:
        return None
    url, own = settings.relay_summary_url, settings.relay_summary_key
    key = "" if own is None else own.get_secret_value()
    if own is None and urlsplit(url).netloc == urlsplit(settings.openai_base_url).netloc:
        key = own_key(settings)
    return Writer(http, Chat(url, settings.relay_summary_model, key))


def _provider(settings: Settings, vault: KeySource | None) -> OpenAIOptions:
    """OpenAI, a server like it, or Azure's resource in its place."""
    endpoint, azure_key = settings.azure_openai_endpoint, settings.azure_openai_api_key
    if endpoint is not None and azure_key is not None:
        key, deployment = azure_key.get_secret_value(), settings.azure_openai_deployment
        return azure_options(endpoint, key, deployment, settings.engine_timeout)
    return OpenAIOptions(
        key=vault or FixedKey(own_key(settings)),
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
