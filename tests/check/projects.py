"""Projects as `relay check` meets them: looked at for the first time, whole or broken by a test."""

import asyncio

from relay.check.runner import CheckResult
from relay.check.supabase import ProjectClient
from relay.check.supabase import project as look_at
from relay.interfaces import SupabaseCredentials
from tests.supabase.project import Project

AGENT = "33333333-3333-4333-8333-333333333333"
QUIET_LOOKS = 5
SECRET = "88888888-8888-4888-8888-888888888888"


async def first_look(project: Project, key: str | None = None) -> tuple[ProjectClient, CheckResult]:
    """The project after the first look, with its own service key unless another is given."""
    hosted = ProjectClient(SupabaseCredentials(project.url, key or project.service_key))
    return hosted, await look_at(hosted)


async def asked(project: Project) -> ProjectClient:
    """A project that answers."""
    hosted, found = await first_look(project)
    assert found.state == "ok", found
    return hosted


async def api_at_rest(project: Project) -> None:
    """PostgREST reads the schema a second time when it listens for changes; wait for the end."""
    query = (
        "select count(*) filter (where query ilike 'listen%%'),"
        " count(*) filter (where state <> 'idle') from pg_stat_activity"
        " where datname = current_database() and usename = 'authenticator' and %s"
    )
    quiet = 0
    while quiet < QUIET_LOOKS:
        listening, busy = (await project.sql(query, True))[0]
        quiet = quiet + 1 if listening and not busy else 0
        await asyncio.sleep(0.05)


async def has_key(project: Project, active: bool = True) -> None:
    """Put a provider's key where the text chat's admins do."""
    await project.sql(
        "insert into vault.secrets (id, name, secret) values (%s, 'openai', 'sk-vault')", SECRET
    )
    await project.sql(
        "update system_api_keys set vault_secret_id = %s, is_active = %s"
        " where provider_name = 'openai'",
        *(SECRET, active),
    )
