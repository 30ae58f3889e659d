"""Which parts of a Supabase project `relay check` looks at."""

from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Final

from relay.app import own_key
from relay.check.examination import Part
from relay.check.finding import Finding, skip
from relay.check.hosted.asking import Hosted, of
from relay.check.hosted.clock import clock
from relay.check.hosted.default_agent import default_agent
from relay.check.hosted.project import project
from relay.check.hosted.readers import readers
from relay.check.hosted.schema import cache, call_tables, chat_tables, schema
from relay.check.hosted.shared_secret import shared_secret
from relay.check.hosted.vault import provider_key
from relay.config import Settings, project_of, trust_of
from relay.tasks import unix_clock

Look = Callable[[Hosted], Awaitable[Finding]]
NO_DEFAULT: Final = "DEFAULT_AGENT is not set: callers who name no agent are refused"


def project_parts(settings: Settings) -> Iterator[Part]:
    """The project where words end up, from its address to its agents; none without a project."""
    access = project_of(settings)
    if access is None:
        return
    hosted = Hosted(access)
    yield Part("project", partial(project, hosted))
    for name, look in _looks(settings):
        yield Part(f"project, {name}", partial(of, hosted, look))


def _looks(settings: Settings) -> Iterator[tuple[str, Look]]:
    trust = trust_of(settings)
    yield "clock", partial(clock, unix_clock())
    if trust.secret is not None:
        yield "token secret", partial(shared_secret, trust, unix_clock())
    yield "API cache", cache
    yield "chat tables", chat_tables
    yield "call tables", call_tables
    yield "schema", schema
    yield "readers", readers
    if settings.relay_engine == "openai" and settings.azure_openai_endpoint is None:
        yield "provider key", partial(provider_key, own_key(settings))
    if settings.relay_agents is None:
        yield "default agent", _agent(settings)


def _agent(settings: Settings) -> Look:
    if "default_agent" in settings.model_fields_set:
        return partial(default_agent, settings.default_agent)

    async def unset(_: Hosted) -> Finding:
        return skip(NO_DEFAULT)

    return unset
