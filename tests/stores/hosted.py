"""A store in a project of a test's own, with the users and agents of the records."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from relay.interfaces import SupabaseCredentials
from relay.stores.supabase.client import RestClient, RestTimeouts
from relay.stores.supabase.store import SupabaseStore
from tests.stores.words import AGENT, COACH, LEARNER, OTHER_AGENT, STRANGER
from tests.supabase.project import Project


def access(project: Project) -> SupabaseCredentials:
    return SupabaseCredentials(project.url, project.service_key)


async def peopled(project: Project) -> None:
    """Sign up all users of `words`, and create both agents, which have no owner."""
    for user in (LEARNER, STRANGER, COACH):
        await project.add_user(user)
    for agent in (AGENT, OTHER_AGENT):
        await project.add_agent(agent)


@asynccontextmanager
async def hosted(
    project: Project, patience: RestTimeouts | None = None
) -> AsyncIterator[SupabaseStore]:
    """A store in that project, peopled."""
    await peopled(project)
    store = SupabaseStore(RestClient(access(project), patience))
    try:
        yield store
    finally:
        await store.aclose()
