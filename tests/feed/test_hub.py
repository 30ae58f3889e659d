"""Feeds as coaches see them: finals only from the disk, without gaps and without doubles."""

import asyncio
import json
import random
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.feed import hub as hub_module
from relay.feed.feed import SessionFeed, UtteranceLog
from relay.feed.hub import ENDED_KEPT, ENDED_WITH_LOG, FINISH_SECONDS, MAX_SUBSCRIBERS
from relay.feed.subscriber import MAX_QUEUED, Subscriber
from relay.realtime.endings import AT_CAPACITY, SERVICE_RESTART, SessionRefused
from relay.realtime.records import Record, SessionRecord
from relay.realtime.transcript import InterimTranscript
from tests.feed.calls import HEAD, FakeCall, HubWithDisk, again, said
from tests.stores.words import STRANGER, Call


@dataclass
class Coach:
    """Reads a feed, leaves it, comes back with the cursor it had."""

    here: HubWithDisk
    cursor: int = 0
    seen: list[dict[str, Any]] = field(default_factory=list)
    subscriber: Subscriber | None = None
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def come(self) -> "Coach":
        watching = self.here.hub.subscribe(self.here.feed, self.cursor)
        self.subscriber = await self._stack.enter_async_context(watching)
        return self

    async def leave(self) -> None:
        await self._stack.aclose()
        self.subscriber = None

    def take(self, most: int = 10_000) -> "Coach":
        """Read what waits, without waiting."""
        assert self.subscriber is not None
        for _ in range(most):
            if self.subscriber.ending is not None or (news := self.subscriber._first()) is None:
                break
            self.seen.append(json.loads(news.text))
            self.cursor = self.cursor if news.cursor is None else news.cursor
        return self

    def types(self) -> list[str]:
        return [message["type"] for message in self.seen]

    def finals(self) -> list[int]:
        return [message["seq"] for message in self.seen if message["type"] == "final"]

    def screen(self) -> dict[str, str]:
        """What stands on the coach's screen: by utterance, in conversation order."""
        shown = {m["utterance"]["id"]: m["utterance"] for m in self.seen if m["type"] == "final"}
        rows = sorted(shown.values(), key=lambda u: (u["position"], u["content_index"]))
        return {row["id"]: row["text"] for row in rows}


async def test_a_feed_has_what_was_said_before_then_what_is_said_now() -> None:
    here = HubWithDisk()
    with here.hub.track(FakeCall()):
        here.commit(said(1), said(2))
        coach = (await Coach(here).come()).take()
        assert coach.types() == ["session", "final", "final", "caught_up"]
        here.commit(said(3))
        coach.take()
        assert coach.finals() == [1, 2, 3]
        assert coach.seen[3] == {"type": "caught_up", "seq": 2}
        await coach.leave()


async def test_a_correction_keeps_its_id_and_takes_a_new_seq() -> None:
    here = HubWithDisk()
    with here.hub.track(FakeCall()):
        coach = await Coach(here).come()
        here.commit(said(1))
        here.commit(again(said(1), 2))
        first, second = [m["utterance"] for m in coach.take().seen if m["type"] == "final"]
        assert first["id"] == second["id"]
        assert (first["seq"], second["seq"]) == (1, 2)
        later = (await Coach(here).come()).take()
        assert later.finals() == [2], "of two versions the newer one alone"
        await coach.leave()
        await later.leave()


async def test_a_commit_announced_twice_is_sent_once() -> None:
    here = HubWithDisk()
    with here.hub.track(FakeCall()):
        coach = await Coach(here).come()
        here.commit(said(1))
        here.commit(said(1), said(2))
        assert coach.take().finals() == [1, 2]
        await coach.leave()


async def test_older_utterances_are_read_from_the_disk() -> None:
    here = HubWithDisk()
    with here.hub.track(FakeCall()):
        here.feed.log = UtteranceLog(records=2)
        for seq in range(1, 9):
            here.commit(said(seq))
        here.disk.put()
        here.disk.mark()
        coach = (await Coach(here, cursor=3).come()).take()
        assert coach.finals() == [4, 5, 6, 7, 8]
        assert here.disk.reads == 1
        await coach.leave()
        await (await Coach(here, cursor=7).come()).take().leave()
        assert here.disk.reads == 1, "what memory has needs no disk"


async def test_a_coach_gets_an_error_rather_than_a_gap_when_the_disk_cannot_be_read() -> None:
    here = HubWithDisk()
    with here.hub.track(FakeCall()):
        here.feed.log = UtteranceLog(records=1)
        here.commit(said(1), said(2))
        here.disk.broken = True
        with pytest.raises(OSError, match="away"):
            await Coach(here).come()
        assert (here.hub.subscriber_count, here.feed.subscribers) == (0, set())


async def test_a_coach_who_does_not_read_is_closed_and_comes_back_without_a_gap() -> None:
    here = HubWithDisk()
    with here.hub.track(FakeCall()):
        coach = (await Coach(here).come()).take()
        for seq in range(1, MAX_QUEUED + 2):
            here.commit(said(seq))
        assert coach.subscriber is not None
        assert coach.subscriber.ending is not None
        assert coach.subscriber.ending.name == "client_too_slow"
        assert await coach.subscriber.next() is None
        await coach.leave()
        coach = (await coach.come()).take()
        assert coach.finals() == list(range(1, MAX_QUEUED + 2))
        await coach.leave()


async def test_a_record_on_disk_before_its_commit_is_announced_is_sent_once() -> None:
    here = HubWithDisk()
    with here.hub.track(FakeCall()):
        here.feed.log = UtteranceLog(records=1)
        here.commit(said(1), said(2))
        here.disk.commit(said(3))
        coach = (await Coach(here).come()).take()
        assert coach.finals() == [1, 2]
        here.hub.on_commit([said(3)])
        assert coach.take().finals() == [1, 2, 3]
        await coach.leave()


async def test_an_utterance_committed_and_dropped_during_the_read_is_sent() -> None:
    here = HubWithDisk()
    with here.hub.track(FakeCall()):
        here.feed.log = UtteranceLog(records=1)
        here.commit(said(1), said(2))
        coach = Coach(here)
        coming = asyncio.create_task(coach.come())
        while not here.disk.reads:
            await asyncio.sleep(0)
        for _ in range(here.disk.turns + 1):  # the journal has been looked at
            await asyncio.sleep(0)
        here.commit(said(3), said(4), said(5))
        await coming
        assert coach.take().finals() == [1, 2, 3, 4, 5]
        await coach.leave()


@pytest.mark.parametrize("turns", range(12))
async def test_a_record_delivered_during_the_read_is_sent(turns: int) -> None:
    here = HubWithDisk()
    with here.hub.track(FakeCall()):
        here.feed.log = UtteranceLog(records=1)
        here.commit(said(1), said(2), said(3))
        coach = Coach(here)
        coming = asyncio.create_task(coach.come())
        for _ in range(turns):
            await asyncio.sleep(0)
        here.disk.put()
        here.disk.mark()
        await coming
        assert coach.take().finals() == [1, 2, 3]
        await coach.leave()


# ------------------------------------------------------------------------------------- endings


async def test_the_end_is_shown_after_the_last_words() -> None:
    here, call = HubWithDisk(), FakeCall()
    coach = Coach(here)
    with here.hub.track(call):
        await coach.come()
        here.commit(said(1))
        coach.take()
        call.seq, call.why = 2, "client_left"
    coach.take()
    assert coach.types()[-1] == "session"
    assert coach.seen[-1]["session"]["state"] == "ended"
    here.commit(said(2))
    coach.take()
    assert coach.types()[-2:] == ["final", "ended"]
    assert coach.seen[-1] | {"ended_at": ""} == {
        "type": "ended",
        "session_id": HEAD.session_id,
        "ending": "client_left",
        "ended_at": "",
        "seq": 2,
        "complete": True,
    }
    assert coach.subscriber is not None
    assert await coach.subscriber.next() is None
    await coach.leave()


async def test_words_that_never_reach_the_disk_do_not_keep_a_feed_open() -> None:
    here, call = HubWithDisk(), FakeCall(seq=0)
    coach = Coach(here)
    with here.hub.track(call):
        await coach.come()
        call.seq = 1
    here.hub.tick(with_state=False)
    assert "ended" not in coach.take().types()
    here.now += FINISH_SECONDS
    here.hub.tick(with_state=False)
    assert coach.take().types()[-1] == "ended"
    assert coach.seen[-1]["complete"] is False
    await coach.leave()


async def test_a_gap_in_the_commits_is_reported_at_the_end() -> None:
    here, call = HubWithDisk(), FakeCall()
    with here.hub.track(call):
        here.commit(said(1), said(3))
        call.seq = 3
    coach = (await Coach(here).come()).take()
    assert coach.seen[-1]["complete"] is False
    await coach.leave()


async def test_a_subscriber_after_the_end_gets_everything_and_the_end() -> None:
    here, call = HubWithDisk(), FakeCall()
    with here.hub.track(call):
        here.commit(said(1), said(2))
        call.seq = 2
    coach = (await Coach(here, cursor=1).come()).take()
    assert coach.types() == ["session", "final", "caught_up", "ended"]
    await coach.leave()


async def test_ended_sessions_leave_memory_in_two_steps() -> None:
    here = HubWithDisk()
    ids = []
    for number in range(ENDED_KEPT + 1):
        record = Call(session_id=f"{number:08}-0000-4000-8000-000000000000").user("Hello.", 1.0)
        ids.append(record.head.session_id)
        with here.hub.track(FakeCall(head=record.head, seq=1)):
            here.commit(record)
    assert here.hub.find(ids[0]) is None
    assert here.hub.live_feeds() == []
    logs = [feed.log for id_ in ids if (feed := here.hub.find(id_))]
    assert len(logs) == ENDED_KEPT
    assert sum(map(len, logs)) == ENDED_WITH_LOG
    early = here.hub.find(ids[1])
    assert early is not None
    said_early, cursor = await early.utterances(0)
    assert ([record.utterance.text for record in said_early], cursor) == (["Hello."], 1)


async def test_records_of_other_kinds_and_sessions_are_ignored() -> None:
    here = HubWithDisk()
    record = SessionRecord(id=HEAD.session_id, head=HEAD, seq=1, door="openai", engine="offline")
    here.commit(record, said(1))
    with here.hub.track(FakeCall()):
        assert here.feed.log.top == 0


async def test_a_stopping_server_says_so_and_accepts_no_more_subscribers() -> None:
    here = HubWithDisk()
    with here.hub.track(FakeCall()):
        coach = await Coach(here).come()
        here.hub.close()
        assert coach.subscriber is not None
        assert await coach.subscriber.next() is None
        assert coach.subscriber.ending == SERVICE_RESTART
        await coach.leave()
        with pytest.raises(SessionRefused) as refused:
            await Coach(here).come()
        assert refused.value.ending == SERVICE_RESTART


async def test_the_number_of_feeds_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_module, "MAX_SUBSCRIBERS", 1)
    assert MAX_SUBSCRIBERS > 1
    here = HubWithDisk()
    with here.hub.track(FakeCall()):
        coach = await Coach(here).come()
        with pytest.raises(SessionRefused) as refused:
            await Coach(here).come()
        assert refused.value.ending == AT_CAPACITY
        await coach.leave()
        await (await Coach(here).come()).leave()


async def test_a_conversation_is_all_its_sessions_in_order() -> None:
    here = HubWithDisk()
    later = Call(session_id="77777777-7777-4777-8777-777777777777", started_at=1_760_000_090.0)
    with here.hub.track(FakeCall()), here.hub.track(FakeCall(head=later.user("x").head)):
        here.commit(later.user("Third.", 1.0), said(2, "Second."), again(said(1, "First"), 3))
        here.disk.put()
        here.disk.mark()
        here.commit(later.assistant("Fourth.", 2.0))
        earlier = await here.hub.conversation(HEAD.conversation_id)
    texts = [record.utterance.text for record in earlier.said]
    assert texts == ["First, no: 3", "Second.", "Third.", "Fourth."]
    assert earlier.owner == HEAD.user_id
    nobody = await here.hub.conversation("88888888-8888-4888-8888-888888888888")
    assert (nobody.owner, list(nobody.said)) == (None, [])


async def test_another_users_utterances_are_not_part_of_a_conversation() -> None:
    here = HubWithDisk()
    theirs = Call(session_id="77777777-7777-4777-8777-777777777777", user_id=STRANGER)
    with here.hub.track(FakeCall()), here.hub.track(FakeCall(head=theirs.user("x").head)):
        here.commit(said(1, "Mine."))
        here.disk.put()
        here.disk.mark()
        here.commit(theirs.user("Not mine.", 0.5, seq=1))
        earlier = await here.hub.conversation(HEAD.conversation_id)
    assert [record.utterance.text for record in earlier.said] == ["Mine."]
    assert earlier.owner == HEAD.user_id


# ------------------------------------------------------------------- never a gap, never a double


def check(coach: Coach, truth: dict[str, str], left: bool) -> None:
    finals = coach.finals()
    assert finals == sorted(set(finals)), "no double, and in order"
    assert coach.screen() == truth
    if not left:
        assert finals == list(range(1, len(finals) + 1)), "who never left saw every version"


def truth_of(records: list[Record]) -> dict[str, str]:
    newest = {record.id: record for record in records}
    rows = sorted(newest.values(), key=lambda record: record.utterance.position)
    return {record.id: record.utterance.text for record in rows}


OPS = st.one_of(
    st.tuples(st.just("commit"), st.integers(1, 8)),
    st.tuples(st.just("tell_twice"), st.just(0)),
    st.tuples(st.just("put"), st.just(0)),
    st.tuples(st.just("mark"), st.just(0)),
    st.tuples(st.just("come"), st.integers(0, 2)),
    st.tuples(st.just("leave"), st.integers(0, 2)),
    st.tuples(st.just("read"), st.integers(0, 2)),
    st.tuples(st.just("turn"), st.integers(1, 4)),
)


@dataclass
class Play:
    """One here, what was said in it, and coaches who come and go."""

    here: HubWithDisk
    everything: list[Record] = field(default_factory=list)
    others: list[Coach] = field(default_factory=list)
    coming: dict[int, asyncio.Task[Coach]] = field(default_factory=dict)

    async def act(self, op: str, number: int) -> None:
        await getattr(self, op)(number)

    def tell_soon(self) -> None:
        """The hub is told of a commit a turn after it."""
        asyncio.get_running_loop().call_soon(self.here.hub.on_commit, self.everything[-1:])

    async def commit(self, item: int) -> None:
        self.everything.append(again(said(item), len(self.everything) + 1))
        self.here.disk.commit(self.everything[-1])
        self.tell_soon()

    async def tell_twice(self, _: int) -> None:
        self.tell_soon()

    async def put(self, _: int) -> None:
        self.here.disk.put()

    async def mark(self, _: int) -> None:
        self.here.disk.mark()

    async def turn(self, count: int) -> None:
        for _ in range(count):
            await asyncio.sleep(0)

    async def come(self, number: int) -> None:
        if self.others[number].subscriber is None and number not in self.coming:
            self.coming[number] = asyncio.create_task(self.others[number].come())

    async def arrived(self, number: int) -> Coach:
        if number in self.coming:
            await self.coming.pop(number)
        return self.others[number]

    async def leave(self, number: int) -> None:
        await (await self.arrived(number)).leave()

    async def read(self, number: int) -> None:
        coach = await self.arrived(number)
        if coach.subscriber is not None:
            coach.take(2)


async def play(ops: list[tuple[str, int]], bound: int, turns: int) -> None:
    """One stays; three come and go; the disk is slow and moves words while it is read."""
    here, call = HubWithDisk(), FakeCall()
    here.disk.turns = turns
    stays, play = Coach(here), Play(here, others=[Coach(here) for _ in range(3)])
    with here.hub.track(call):
        here.feed.log = UtteranceLog(records=bound)
        await stays.come()
        for op, number in ops:
            await play.act(op, number)
        await asyncio.sleep(0)  # the hub is told of the last one
        call.seq = len(play.everything)
    check(stays.take(), truth_of(play.everything), left=False)
    for number in range(3):
        coach = await play.arrived(number)
        if coach.subscriber is None:
            await coach.come()
        check(coach.take(), truth_of(play.everything), left=True)
        assert coach.types()[-1] == "ended"
        await coach.leave()
    await stays.leave()


@settings(max_examples=300, deadline=None)
@given(st.lists(OPS, max_size=60), st.integers(1, 6), st.integers(0, 4))
def test_a_coach_may_come_back_at_any_moment(
    ops: list[tuple[str, int]], bound: int, turns: int
) -> None:
    """Any order of commits, deliveries, arrivals and departures ends with the same list."""
    asyncio.run(play(ops, bound, turns))


async def test_a_hundred_reconnects_at_random_moments_end_with_the_same_list() -> None:
    chance, here, call = random.Random(24), HubWithDisk(), FakeCall()
    here.disk.turns = 3
    stays, comes, play = Coach(here), Coach(here), Play(here)
    with here.hub.track(call):
        here.feed.log = UtteranceLog(records=5)
        await stays.come()
        for _ in range(100):
            coming = asyncio.create_task(comes.come())
            for _ in range(chance.randrange(12)):
                await play.commit(chance.randrange(1, 400))
                await play.act(chance.choice(["put", "mark", "turn"]), 1)
            await coming
            comes.take(chance.randrange(20))
            await comes.leave()
            stays.take()
        await asyncio.sleep(0)
        call.seq = len(play.everything)
    await comes.come()
    check(stays.take(), truth_of(play.everything), left=False)
    check(comes.take(), truth_of(play.everything), left=True)
    assert len(play.everything) > 400
    assert here.disk.reads > 20
    await stays.leave()
    await comes.leave()


# --------------------------------------------------------------------------------- live session


async def test_the_hub_ticks_only_while_a_feed_has_subscribers() -> None:
    here, call = HubWithDisk(), FakeCall()
    running = asyncio.create_task(here.hub.run())
    with here.hub.track(call):
        await asyncio.sleep(0)
        await asyncio.sleep(2 * hub_module.TICK_SECONDS)
        assert call.asked == 0
        coach = await Coach(here).come()
        while not call.asked:
            await asyncio.sleep(0.001)
        await coach.leave()
        assert here.hub._subscribed == set[SessionFeed]()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_a_session_that_fails_does_not_stop_the_others() -> None:
    class Broken(FakeCall):
        def partials(self) -> list[InterimTranscript]:
            raise RuntimeError

    here = HubWithDisk()
    other = Call(session_id="77777777-7777-4777-8777-777777777777").user("x").head
    well = FakeCall(head=other, open=[InterimTranscript("item_1", 0, "user", "Hel")])
    with here.hub.track(Broken()), here.hub.track(well):
        broken, fine = here.hub.live_feeds()
        async with here.hub.subscribe(broken, 0), here.hub.subscribe(fine, 0) as subscriber:
            here.hub.tick(with_state=False)
            assert [json.loads(subscriber._first().text)["type"] for _ in range(3)][-1] == "partial"  # type: ignore[union-attr]
