"""Realtime's stand-in serves Supabase's own Python client, as the service does."""

import asyncio
from typing import Any, cast

import pytest

from supabase import AsyncClient, acreate_client
from tests.components import needs
from tests.stores.words import LEARNER, SESSION
from tests.supabase.api import Api
from tests.supabase.people import CALL, COACH, OTHER_COACH, settle
from tests.supabase.project import Project

pytestmark = needs("postgresql", "postgrest")
TOPIC = f"voice:{SESSION}"
PATIENCE = 30.0


class Follower:
    """One client of one topic; what it was told of joining, and what was broadcast to it."""

    def __init__(self, client: AsyncClient) -> None:
        self.client = client
        self.states: asyncio.Queue[str] = asyncio.Queue()
        self.told: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def join(self, token: str, private: bool = True) -> str:
        await self.client.realtime.set_auth(token)
        options = cast("Any", {"config": {"private": private}})
        channel = self.client.channel(TOPIC, options)
        channel.on_broadcast("utterance", lambda told: self.told.put_nowait(dict(told)))
        await channel.subscribe(lambda state, _error: self.states.put_nowait(state.value))
        return await asyncio.wait_for(self.states.get(), PATIENCE)

    async def hears(self) -> tuple[int, str]:
        said = (await asyncio.wait_for(self.told.get(), PATIENCE))["payload"]
        return said["seq"], said["text"]


@pytest.fixture
async def followers(project: Project) -> Any:
    await settle(project)
    clients = [await acreate_client(project.url, project.anon_key) for _ in range(3)]
    yield [Follower(client) for client in clients]
    for client in clients:
        await client.realtime.close()
        await client.auth.close()


async def test_S3_84_every_row_reaches_only_the_learner_and_the_coach(
    project: Project, followers: list[Follower]
) -> None:
    learner, coach, other = followers
    assert await learner.join(project.mint(LEARNER)) == "SUBSCRIBED"
    assert await coach.join(project.mint_es256(COACH)) == "SUBSCRIBED"
    assert await other.join(project.mint(OTHER_COACH)) == "CHANNEL_ERROR"
    await Api(project).put(CALL.user("Still here?", 3.0), CALL.assistant("Yes.", 4.0))
    for follower in (learner, coach):
        assert [await follower.hears(), await follower.hears()] == [
            (3, "Still here?"),
            (4, "Yes."),
        ]
    assert other.told.empty()


async def test_a_public_topic_of_that_name_carries_nothing(
    project: Project, followers: list[Follower]
) -> None:
    eavesdropper, learner, _ = followers
    assert await eavesdropper.join(project.mint(OTHER_COACH), private=False) == "SUBSCRIBED"
    assert await learner.join(project.mint(LEARNER)) == "SUBSCRIBED"
    await Api(project).put(CALL.user("Still here?", 3.0))
    assert await learner.hears() == (3, "Still here?")
    assert eavesdropper.told.empty()


@pytest.mark.filterwarnings("ignore:ConnectionClosed[.]:DeprecationWarning")  # the client's own
async def test_a_client_that_was_cut_off_comes_back(
    project: Project, followers: list[Follower]
) -> None:
    coach = followers[0]
    assert await coach.join(project.mint(COACH)) == "SUBSCRIBED"
    project.realtime.cut()
    seen = [await asyncio.wait_for(coach.states.get(), PATIENCE) for _ in range(2)]
    assert seen == ["CHANNEL_ERROR", "SUBSCRIBED"]
    await Api(project).put(CALL.user("Still here?", 3.0))
    assert await coach.hears() == (3, "Still here?")


@pytest.mark.filterwarnings("ignore:ConnectionClosed[.]:DeprecationWarning")  # the client's own
async def test_clients_are_cut_off_when_the_database_dies_and_admitted_when_it_is_back(
    project: Project, followers: list[Follower]
) -> None:
    coach, learner, _ = followers
    assert await coach.join(project.mint(COACH)) == "SUBSCRIBED"
    await project.stop_database()
    assert await asyncio.wait_for(coach.states.get(), PATIENCE) == "CHANNEL_ERROR"
    assert await learner.join(project.mint(LEARNER)) == "CHANNEL_ERROR"
    assert project.realtime.refused[-1].startswith("UnableToConnectToProject")
    await project.start_database()
    again = Follower(await acreate_client(project.url, project.anon_key))
    assert await again.join(project.mint(LEARNER)) == "SUBSCRIBED"
    await again.client.realtime.close()
    await again.client.auth.close()
