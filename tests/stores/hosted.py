"""A store in a project of a test's own, with the users and agents of the records."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from relay.interfaces import SupabaseCredentials
from relay.stores.supabase.client import RestClient, RestTimeouts
from relay.stores.supabase.store import SupabaseStore
from tests.stores.words import AGENT, COACH, LEARNER, OTHER_AGENT, STRANGER
from tests.supabase.project import Project

GIVE_UP_SOON = RestTimeouts(answer=0.5, write=0.5)


@contextmanager
def waiting_for(rest: RestClient, fault: str) -> Iterator[None]:
    """Give up soon where nothing will be answered; whatever answers has the product's time."""
    before = rest._timeouts
    if fault == "hang":
        rest._timeouts = GIVE_UP_SOON
    yield
    rest._timeouts = before


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
    project: Project,
) -> AsyncIterator[SupabaseStore]:
    """A store in that project, peopled."""
    await peopled(project)
    store = SupabaseStore(RestClient(access(project)))
    try:
        yield store
    finally:
        await store.aclose()
