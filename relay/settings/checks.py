"""Settings that contradict each other, are missing, unknown or not built yet; pure."""

import difflib
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from relay.settings.names import Settings

MIN_SECRET = 32  # bytes: RFC 7518 §3.2 wants an HS256 key as long as its hash
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
UNBUILT = ("workers", "redis_url")
"""Promised names that nothing listens to yet: set, they would be silently without effect."""
UNBUILT_ENGINES = ("cascade",)

Given = Mapping[str, str]
"""What the environment sets: names in lower case, values that are not empty."""


def not_built(given: Given) -> Iterator[str]:
    """Name what is promised and set, but not there yet."""
    for name in UNBUILT:
        if name in given:
            yield f"{name.upper()} is not built yet: unset it"
    if given.get("relay_engine") in UNBUILT_ENGINES:
        yield f"RELAY_ENGINE={given['relay_engine']} is not built yet: use openai, offline or echo"


def misspelt(given: Given) -> Iterator[str]:
    """Name each RELAY_ name that nobody reads."""
    known = [name for name in Settings.model_fields if name.startswith("relay_")]
    for name in given:
        if name.startswith("relay_") and name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f": did you mean {close[0].upper()}?" if close else ""
            yield f"{name.upper()} is not a setting of the relay{hint}"


def contradictions(settings: Settings) -> Iterator[str]:
    """Name what cannot be true at once, for whichever command."""
    if settings.port == settings.http_port != 0:
        yield f"PORT and HTTP_PORT are both {settings.port}: give HTTP_PORT another one"
    wanted = {
        "SUPABASE_URL": settings.supabase_url,
        "SUPABASE_SERVICE_ROLE_KEY": settings.supabase_service_role_key,
    }
    missing = " and ".join(name for name, value in wanted.items() if value is None)
    if settings.supabase_auth_check is not None and missing:
        yield f"SUPABASE_AUTH_CHECK=user needs {missing}: set them, or unset it"
    yield from _two_providers(settings)


def _two_providers(settings: Settings) -> Iterator[str]:
    """Name what is half of Azure, or Azure and OpenAI at once."""
    key, endpoint = settings.azure_openai_api_key, settings.azure_openai_endpoint
    azure = {
        "AZURE_OPENAI_ENDPOINT": endpoint,
        "AZURE_OPENAI_API_KEY": key,
        "AZURE_OPENAI_DEPLOYMENT": settings.azure_openai_deployment,
    }
    given = [name for name, value in azure.items() if value is not None]
    for name in ("AZURE_OPENAI_ENDPOINT", "AZURE_OPENAI_API_KEY"):
        if given and azure[name] is None:
            yield f"{' and '.join(given)} without {name}: set it too, or unset the rest"
    if key is not None and settings.openai_api_key is not None:
        yield "OPENAI_API_KEY and AZURE_OPENAI_API_KEY are both set: unset the one not to be used"
    if endpoint is not None and "openai_base_url" in settings.model_fields_set:
        yield "OPENAI_BASE_URL and AZURE_OPENAI_ENDPOINT are both set: unset the one not meant"


def not_servable(settings: Settings) -> Iterator[str]:
    """Name what `relay serve` cannot do without (S3-59)."""
    trusted = (settings.supabase_url, settings.supabase_jwt_secret, settings.supabase_jwks_url)
    if not any(trusted):
        yield (
            "nobody's token could be verified: set SUPABASE_URL, SUPABASE_JWT_SECRET or"
            " SUPABASE_JWKS_URL"
        )
    yield from storeless(settings)


def storeless(settings: Settings) -> Iterator[str]:
    """Name what the store needs, for whichever command."""
    project = (settings.supabase_url, settings.supabase_service_role_key)
    if settings.relay_store == "supabase" and None in project:
        yield (
            "RELAY_STORE=supabase, the default, needs SUPABASE_URL and"
            " SUPABASE_SERVICE_ROLE_KEY: set both, or RELAY_STORE=sqlite to keep words here"
        )


def doubts(settings: Settings) -> Iterator[str]:
    """Name what one can start with, but should know of."""
    azure = settings.azure_openai_endpoint is not None
    hosted = settings.relay_store == "supabase"  # and its vault may have the key
    key = settings.openai_api_key
    if settings.relay_engine == "openai" and not azure and key is None and not hosted:
        yield "OPENAI_API_KEY is not set: sessions will end with 1011"
    if azure and "openai_transcription_model" not in settings.model_fields_set:
        yield (
            "OPENAI_TRANSCRIPTION_MODEL is not set, and on Azure it is the name of a deployment:"
            f" without one called {settings.openai_transcription_model} users are not written down"
        )
    secret = settings.supabase_jwt_secret
    if secret is not None and len(secret.get_secret_value().encode()) < MIN_SECRET:
        yield f"SUPABASE_JWT_SECRET is shorter than {MIN_SECRET} bytes and could be guessed"
    for name in ("supabase_url", "supabase_jwks_url"):
        parts = urlsplit(getattr(settings, name) or "")
        if parts.scheme == "http" and parts.hostname not in LOOPBACK:
            yield f"{name.upper()} is not https: whoever is on the way can forge tokens"
