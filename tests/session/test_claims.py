"""A conversation has one user, and the newest of their sessions replaces the others."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from relay.realtime.endings import FORBIDDEN, REPLACED, Ending, SessionRefused
from relay.session import claims
from relay.session.claims import Claim, ConversationClaims
from tests.session.fakes import settle

TALK = "6f9f0c3e-0000-4000-8000-00000000000c"
OTHER_TALK = "6f9f0c3e-0000-4000-8000-00000000000d"


class Live:
    """A session that is under way, from its claim to the end of its context."""

    def __init__(self, claim: Claim) -> None:
        self.claim = claim
        self.endings: list[Ending] = []
        claim.begin(self.endings.append)


@asynccontextmanager
async def live(here: ConversationClaims, sub: str, talk: str = TALK) -> AsyncIterator[Live]:
    async with here.claim(talk, sub, "s1") as claim:
        await here.settled(claim)
        here.own(claim)
        yield Live(claim)


@asynccontextmanager
async def place(freed: list[str], name: str) -> AsyncIterator[None]:
    try:
        yield
    finally:
        freed.append(name)


async def test_a_newer_session_gets_the_place_at_once_and_waits_for_the_last_words() -> None:
    here, freed = ConversationClaims(), list[str]()
    async with live(here, "ada") as old, AsyncExitStack() as stack:
        await old.claim.place.enter_async_context(place(freed, "old"))
        newer = asyncio.ensure_future(stack.enter_async_context(live(here, "ada")))
        await settle()
        assert old.endings == [REPLACED]
        assert freed == ["old"], "though its sockets are not closed yet"
        assert not newer.done(), "its last words are not in the journal yet"
        old.claim.settle()
        assert (await newer).endings == []
    assert freed == ["old"], "once"


async def test_the_wait_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "REPLACE_SECONDS", 0.01)
    here, freed = ConversationClaims(), list[str]()
    async with live(here, "ada") as old:
        await old.claim.place.enter_async_context(place(freed, "old"))
        async with live(here, "ada") as newer:
            assert (old.endings, newer.endings, freed) == ([REPLACED], [], ["old"])


async def test_another_conversation_and_another_user_replace_nothing() -> None:
    here = ConversationClaims()
    async with live(here, "ada") as first, live(here, "ada", OTHER_TALK) as second:
        assert (first.endings, second.endings) == ([], [])
        with pytest.raises(SessionRefused) as refused:
            async with live(here, "eve"):
                pass
        assert refused.value.ending == FORBIDDEN
        assert first.endings == []


async def test_who_said_nothing_leaves_a_new_conversation_to_others() -> None:
    here = ConversationClaims()
    async with live(here, "ada") as first:
        first.claim.settle()  # the history knows the owner from here on, if a word was said
        async with live(here, "eve"):
            pass
    async with live(here, "eve"):
        pass


async def test_a_claim_that_is_not_owned_keeps_nobody_out() -> None:
    here = ConversationClaims()
    async with here.claim(TALK, "eve", "s2"), live(here, "ada") as ada:
        assert ada.endings == []


async def test_who_reads_the_past_while_another_ends_does_not_get_what_they_said() -> None:
    """The history that was read meanwhile does not know the owner yet."""
    here = ConversationClaims()
    async with live(here, "ada") as ada, here.claim(TALK, "eve", "s2") as eve:
        with pytest.raises(SessionRefused) as refused:
            await here.settled(eve)
        assert refused.value.ending == FORBIDDEN
        ada.claim.settle()
        await here.settled(eve)  # from now on the history tells


async def test_a_conversation_is_held_from_the_claim_to_its_end() -> None:
    here = ConversationClaims()
    assert not here.is_held(TALK)
    async with here.claim(TALK, "ada", "s1"):
        assert here.is_held(TALK)
        assert not here.is_held(OTHER_TALK)
    assert not here.is_held(TALK)


async def test_one_that_is_still_being_set_up_is_refused() -> None:
    here = ConversationClaims()
    async with here.claim(TALK, "ada", "s2") as slow, live(here, "ada") as newer:
        with pytest.raises(SessionRefused) as refused:
            slow.begin(lambda _: None)
        assert refused.value.ending == REPLACED
        assert newer.endings == []


async def test_of_three_in_a_row_the_last_remains_and_waits_for_the_first() -> None:
    here = ConversationClaims()
    async with live(here, "ada") as first, AsyncExitStack() as stack:

        async def second() -> None:
            async with live(here, "ada"):
                pass

        waiting = asyncio.ensure_future(second())
        await settle()
        third = asyncio.ensure_future(stack.enter_async_context(live(here, "ada")))
        await settle()
        assert not third.done()
        first.claim.settle()
        assert (await third).endings == []
        with pytest.raises(SessionRefused) as refused:
            await waiting
        assert refused.value.ending == REPLACED


async def test_nothing_is_kept_of_a_claim_that_ended() -> None:
    here = ConversationClaims()
    async with live(here, "ada"), live(here, "bo", OTHER_TALK):
        pass
    assert here._claims == {}
