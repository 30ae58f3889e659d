"""Projects after the first check of `relay check`: whole, or broken by a test."""

import asyncio

from relay.check.runner import CheckResult
from relay.check.supabase import ProjectClient, check_project
from relay.interfaces import SupabaseCredentials
from tests.supabase.project import Project

AGENT = "33333333-3333-4333-8333-333333333333"
QUIET_POLLS = 5
SECRET = "88888888-8888-4888-8888-888888888888"


async def checked(project: Project, key: str | None = None) -> tuple[ProjectClient, CheckResult]:
    """A client after the first check, with the project's service key unless another is given."""
    client = ProjectClient(SupabaseCredentials(project.url, key or project.service_key))
    return client, await check_project(client)


async def client_of(project: Project) -> ProjectClient:
    """A client of a project that passed the first check."""
    client, result = await checked(project)
    assert result.state == "ok", result
    return client


async def api_at_rest(project: Project) -> None:
    """Wait until PostgREST has read the schema again, as it does once it listens for changes."""
    query = (
        "select count(*) filter (where query ilike 'listen%%'),"
        " count(*) filter (where state <> 'idle') from pg_stat_activity"
        " where datname = current_database() and usename = 'authenticator' and %s"
    )
    quiet = 0
    while quiet < QUIET_POLLS:
        listening, busy = (await project.sql(query, True))[0]
        quiet = quiet + 1 if listening and not busy else 0
        await asyncio.sleep(0.05)


async def store_key(project: Project, active: bool = True) -> None:
    """Put a provider's key into the vault, as the text chat's admins do."""
    await project.sql(
        "insert into vault.secrets (id, name, secret) values (%s, 'openai', 'sk-vault')", SECRET
    )
    await project.sql(
        "update system_api_keys set vault_secret_id = %s, is_active = %s"
        " where provider_name = 'openai'",
        *(SECRET, active),
    )
