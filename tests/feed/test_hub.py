"""Feeds as coaches see them: nothing before it is on disk, no gap and no double, whatever comes."""

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
from relay.feed.hub import ENDED_KNOWN, ENDED_WITH_WORDS, FINISH_SECONDS, WATCHERS
from relay.feed.subscriber import QUEUE, Subscriber
from relay.realtime.endings import AT_CAPACITY, SERVICE_RESTART, SessionRefused
from relay.realtime.records import Record, SessionRecord
from relay.realtime.transcript import InterimTranscript
from tests.feed.calls import HEAD, FakeCall, House, again, said
from tests.stores.words import STRANGER, Call


@dataclass
class Coach:
    """Reads a feed, leaves it, comes back with the cursor it had."""

    house: House
    cursor: int = 0
    seen: list[dict[str, Any]] = field(default_factory=list)
    watcher: Subscriber | None = None
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def come(self) -> "Coach":
        watching = self.house.hub.watch(self.house.feed, self.cursor)
        self.watcher = await self._stack.enter_async_context(watching)
        return self

    async def leave(self) -> None:
        await self._stack.aclose()
        self.watcher = None

    def take(self, most: int = 10_000) -> "Coach":
        """Read what waits, without waiting."""
        assert self.watcher is not None
        for _ in range(most):
            if self.watcher.ending is not None or (news := self.watcher._first()) is None:
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


async def test_what_was_said_before_then_what_is_said_now() -> None:
    house = House()
    with house.hub.live(FakeCall()):
        house.commit(said(1), said(2))
        coach = (await Coach(house).come()).take()
        assert coach.types() == ["session", "final", "final", "caught_up"]
        house.commit(said(3))
        coach.take()
        assert coach.finals() == [1, 2, 3]
        assert coach.seen[3] == {"type": "caught_up", "seq": 2}
        await coach.leave()


async def test_a_correction_keeps_its_id_and_takes_a_new_seq() -> None:
    house = House()
    with house.hub.live(FakeCall()):
        coach = await Coach(house).come()
        house.commit(said(1))
        house.commit(again(said(1), 2))
        first, second = [m["utterance"] for m in coach.take().seen if m["type"] == "final"]
        assert first["id"] == second["id"]
        assert (first["seq"], second["seq"]) == (1, 2)
        later = (await Coach(house).come()).take()
        assert later.finals() == [2], "of two versions the newer one alone"
        await coach.leave()
        await later.leave()


async def test_a_commit_that_is_told_twice_is_shown_once() -> None:
    house = House()
    with house.hub.live(FakeCall()):
        coach = await Coach(house).come()
        house.commit(said(1))
        house.commit(said(1), said(2))
        assert coach.take().finals() == [1, 2]
        await coach.leave()


async def test_what_memory_has_forgotten_is_read_from_the_disk() -> None:
    house = House()
    with house.hub.live(FakeCall()):
        house.feed.log = UtteranceLog(records=2)
        for seq in range(1, 9):
            house.commit(said(seq))
        house.disk.put()
        house.disk.mark()
        coach = (await Coach(house, cursor=3).come()).take()
        assert coach.finals() == [4, 5, 6, 7, 8]
        assert house.disk.reads == 1
        await coach.leave()
        await (await Coach(house, cursor=7).come()).take().leave()
        assert house.disk.reads == 1, "what memory has needs no disk"


async def test_where_the_disk_cannot_be_read_a_coach_is_told_so_and_not_shown_a_gap() -> None:
    house = House()
    with house.hub.live(FakeCall()):
        house.feed.log = UtteranceLog(records=1)
        house.commit(said(1), said(2))
        house.disk.broken = True
        with pytest.raises(OSError, match="away"):
            await Coach(house).come()
        assert (house.hub.watchers, house.feed.watchers) == (0, set())


async def test_a_coach_who_does_not_read_is_closed_and_comes_back_without_a_gap() -> None:
    house = House()
    with house.hub.live(FakeCall()):
        coach = (await Coach(house).come()).take()
        for seq in range(1, QUEUE + 2):
            house.commit(said(seq))
        assert coach.watcher is not None
        assert coach.watcher.ending is not None
        assert coach.watcher.ending.name == "client_too_slow"
        assert await coach.watcher.next() is None
        await coach.leave()
        coach = (await coach.come()).take()
        assert coach.finals() == list(range(1, QUEUE + 2))
        await coach.leave()


async def test_what_the_disk_has_before_the_hub_is_told_is_shown_once() -> None:
    house = House()
    with house.hub.live(FakeCall()):
        house.feed.log = UtteranceLog(records=1)
        house.commit(said(1), said(2))
        house.disk.commit(said(3))
        coach = (await Coach(house).come()).take()
        assert coach.finals() == [1, 2]
        house.hub.committed([said(3)])
        assert coach.take().finals() == [1, 2, 3]
        await coach.leave()


async def test_what_comes_and_is_forgotten_while_the_past_is_read_is_shown() -> None:
    house = House()
    with house.hub.live(FakeCall()):
        house.feed.log = UtteranceLog(records=1)
        house.commit(said(1), said(2))
        coach = Coach(house)
        coming = asyncio.create_task(coach.come())
        while not house.disk.reads:
            await asyncio.sleep(0)
        for _ in range(house.disk.turns + 1):  # the journal has been looked at
            await asyncio.sleep(0)
        house.commit(said(3), said(4), said(5))
        await coming
        assert coach.take().finals() == [1, 2, 3, 4, 5]
        await coach.leave()


@pytest.mark.parametrize("turns", range(12))
async def test_what_moves_on_to_the_store_while_it_is_read_is_shown(turns: int) -> None:
    house = House()
    with house.hub.live(FakeCall()):
        house.feed.log = UtteranceLog(records=1)
        house.commit(said(1), said(2), said(3))
        coach = Coach(house)
        coming = asyncio.create_task(coach.come())
        for _ in range(turns):
            await asyncio.sleep(0)
        house.disk.put()
        house.disk.mark()
        await coming
        assert coach.take().finals() == [1, 2, 3]
        await coach.leave()


# ------------------------------------------------------------------------------------- endings


async def test_the_end_is_shown_after_the_last_words() -> None:
    house, call = House(), FakeCall()
    coach = Coach(house)
    with house.hub.live(call):
        await coach.come()
        house.commit(said(1))
        coach.take()
        call.seq, call.why = 2, "client_left"
    coach.take()
    assert coach.types()[-1] == "session"
    assert coach.seen[-1]["session"]["state"] == "ended"
    house.commit(said(2))
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
    assert coach.watcher is not None
    assert await coach.watcher.next() is None
    await coach.leave()


async def test_words_that_never_reach_the_disk_do_not_keep_a_feed_open() -> None:
    house, call = House(), FakeCall(seq=0)
    coach = Coach(house)
    with house.hub.live(call):
        await coach.come()
        call.seq = 1
    house.hub.beat(with_state=False)
    assert "ended" not in coach.take().types()
    house.now += FINISH_SECONDS
    house.hub.beat(with_state=False)
    assert coach.take().types()[-1] == "ended"
    assert coach.seen[-1]["complete"] is False
    await coach.leave()


async def test_a_hole_in_what_was_committed_is_said_at_the_end() -> None:
    house, call = House(), FakeCall()
    with house.hub.live(call):
        house.commit(said(1), said(3))
        call.seq = 3
    coach = (await Coach(house).come()).take()
    assert coach.seen[-1]["complete"] is False
    await coach.leave()


async def test_who_comes_after_the_end_sees_all_of_it_and_the_end() -> None:
    house, call = House(), FakeCall()
    with house.hub.live(call):
        house.commit(said(1), said(2))
        call.seq = 2
    coach = (await Coach(house, cursor=1).come()).take()
    assert coach.types() == ["session", "final", "caught_up", "ended"]
    await coach.leave()


async def test_ended_sessions_leave_memory_in_two_steps() -> None:
    house = House()
    ids = []
    for number in range(ENDED_KNOWN + 1):
        record = Call(session_id=f"{number:08}-0000-4000-8000-000000000000").user("Hello.", 1.0)
        ids.append(record.head.session_id)
        with house.hub.live(FakeCall(head=record.head, seq=1)):
            house.commit(record)
    assert house.hub.find(ids[0]) is None
    assert house.hub.sessions() == []
    logs = [feed.log for id_ in ids if (feed := house.hub.find(id_))]
    assert len(logs) == ENDED_KNOWN
    assert sum(map(len, logs)) == ENDED_WITH_WORDS
    early = house.hub.find(ids[1])
    assert early is not None
    said_early, cursor = await early.utterances(0)
    assert ([record.utterance.text for record in said_early], cursor) == (["Hello."], 1)


async def test_records_that_are_no_words_and_sessions_of_others_are_none_of_its() -> None:
    house = House()
    record = SessionRecord(id=HEAD.session_id, head=HEAD, seq=1, door="openai", engine="offline")
    house.commit(record, said(1))
    with house.hub.live(FakeCall()):
        assert house.feed.log.top == 0


async def test_a_server_that_stops_says_so_and_takes_nobody_more() -> None:
    house = House()
    with house.hub.live(FakeCall()):
        coach = await Coach(house).come()
        house.hub.close()
        assert coach.watcher is not None
        assert await coach.watcher.next() is None
        assert coach.watcher.ending == SERVICE_RESTART
        await coach.leave()
        with pytest.raises(SessionRefused) as refused:
            await Coach(house).come()
        assert refused.value.ending == SERVICE_RESTART


async def test_the_number_of_feeds_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_module, "WATCHERS", 1)
    assert WATCHERS > 1
    house = House()
    with house.hub.live(FakeCall()):
        coach = await Coach(house).come()
        with pytest.raises(SessionRefused) as refused:
            await Coach(house).come()
        assert refused.value.ending == AT_CAPACITY
        await coach.leave()
        await (await Coach(house).come()).leave()


async def test_a_conversation_is_all_its_sessions_in_order() -> None:
    house = House()
    later = Call(session_id="77777777-7777-4777-8777-777777777777", started_at=1_760_000_090.0)
    with house.hub.live(FakeCall()), house.hub.live(FakeCall(head=later.user("x").head)):
        house.commit(later.user("Third.", 1.0), said(2, "Second."), again(said(1, "First"), 3))
        house.disk.put()
        house.disk.mark()
        house.commit(later.assistant("Fourth.", 2.0))
        earlier = await house.hub.conversation(HEAD.conversation_id)
    texts = [record.utterance.text for record in earlier.said]
    assert texts == ["First, no: 3", "Second.", "Third.", "Fourth."]
    assert earlier.owner == HEAD.user_id
    nobody = await house.hub.conversation("88888888-8888-4888-8888-888888888888")
    assert (nobody.owner, list(nobody.said)) == (None, [])


async def test_a_strangers_words_are_no_part_of_somebodys_conversation() -> None:
    house = House()
    theirs = Call(session_id="77777777-7777-4777-8777-777777777777", user_id=STRANGER)
    with house.hub.live(FakeCall()), house.hub.live(FakeCall(head=theirs.user("x").head)):
        house.commit(said(1, "Mine."))
        house.disk.put()
        house.disk.mark()
        house.commit(theirs.user("Not mine.", 0.5, seq=1))
        earlier = await house.hub.conversation(HEAD.conversation_id)
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
    """One house, what was said in it, and coaches who come and go."""

    house: House
    everything: list[Record] = field(default_factory=list)
    others: list[Coach] = field(default_factory=list)
    coming: dict[int, asyncio.Task[Coach]] = field(default_factory=dict)

    async def act(self, op: str, number: int) -> None:
        await getattr(self, op)(number)

    def tell_soon(self) -> None:
        """The hub is told of a commit a turn after it."""
        asyncio.get_running_loop().call_soon(self.house.hub.committed, self.everything[-1:])

    async def commit(self, item: int) -> None:
        self.everything.append(again(said(item), len(self.everything) + 1))
        self.house.disk.commit(self.everything[-1])
        self.tell_soon()

    async def tell_twice(self, _: int) -> None:
        self.tell_soon()

    async def put(self, _: int) -> None:
        self.house.disk.put()

    async def mark(self, _: int) -> None:
        self.house.disk.mark()

    async def turn(self, count: int) -> None:
        for _ in range(count):
            await asyncio.sleep(0)

    async def come(self, number: int) -> None:
        if self.others[number].watcher is None and number not in self.coming:
            self.coming[number] = asyncio.create_task(self.others[number].come())

    async def arrived(self, number: int) -> Coach:
        if number in self.coming:
            await self.coming.pop(number)
        return self.others[number]

    async def leave(self, number: int) -> None:
        await (await self.arrived(number)).leave()

    async def read(self, number: int) -> None:
        coach = await self.arrived(number)
        if coach.watcher is not None:
            coach.take(2)


async def play(ops: list[tuple[str, int]], bound: int, turns: int) -> None:
    """One stays; three come and go; the disk is slow and moves words while it is read."""
    house, call = House(), FakeCall()
    house.disk.turns = turns
    stays, play = Coach(house), Play(house, others=[Coach(house) for _ in range(3)])
    with house.hub.live(call):
        house.feed.log = UtteranceLog(records=bound)
        await stays.come()
        for op, number in ops:
            await play.act(op, number)
        await asyncio.sleep(0)  # the hub is told of the last one
        call.seq = len(play.everything)
    check(stays.take(), truth_of(play.everything), left=False)
    for number in range(3):
        coach = await play.arrived(number)
        if coach.watcher is None:
            await coach.come()
        check(coach.take(), truth_of(play.everything), left=True)
        assert coach.types()[-1] == "ended"
        await coach.leave()
    await stays.leave()


@settings(max_examples=300, deadline=None)
@given(st.lists(OPS, max_size=60), st.integers(1, 6), st.integers(0, 4))
def test_whatever_the_moment_of_coming_back(
    ops: list[tuple[str, int]], bound: int, turns: int
) -> None:
    """Any order of commits, deliveries, arrivals and departures ends with the same list."""
    asyncio.run(play(ops, bound, turns))


async def test_a_hundred_reconnects_at_random_moments_end_with_the_same_list() -> None:
    chance, house, call = random.Random(24), House(), FakeCall()
    house.disk.turns = 3
    stays, comes, play = Coach(house), Coach(house), Play(house)
    with house.hub.live(call):
        house.feed.log = UtteranceLog(records=5)
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
    assert house.disk.reads > 20
    await stays.leave()
    await comes.leave()


# --------------------------------------------------------------------------------- live session


async def test_the_beat_runs_only_while_somebody_watches() -> None:
    house, call = House(), FakeCall()
    running = asyncio.create_task(house.hub.run())
    with house.hub.live(call):
        await asyncio.sleep(0)
        await asyncio.sleep(2 * hub_module.BEAT_SECONDS)
        assert call.asked == 0
        coach = await Coach(house).come()
        while not call.asked:
            await asyncio.sleep(0.001)
        await coach.leave()
        assert house.hub._watched == set[SessionFeed]()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_a_session_that_cannot_be_looked_at_harms_no_other() -> None:
    class Broken(FakeCall):
        def partials(self) -> list[InterimTranscript]:
            raise RuntimeError

    house = House()
    other = Call(session_id="77777777-7777-4777-8777-777777777777").user("x").head
    well = FakeCall(head=other, open=[InterimTranscript("item_1", 0, "user", "Hel")])
    with house.hub.live(Broken()), house.hub.live(well):
        broken, fine = house.hub.sessions()
        async with house.hub.watch(broken, 0), house.hub.watch(fine, 0) as watcher:
            house.hub.beat(with_state=False)
            assert [json.loads(watcher._first().text)["type"] for _ in range(3)][-1] == "partial"  # type: ignore[union-attr]
