import json
from dataclasses import replace

from relay.feed.feed import FeedHistory, SessionFeed
from relay.feed.subscriber import Subscriber
from relay.realtime.transcript import InterimTranscript
from tests.feed.calls import Disk, FakeCall, said

HELLO = InterimTranscript("item_1", 0, "user", "Hel")


def feed_of(call: FakeCall) -> SessionFeed:
    disk = Disk()
    return SessionFeed(call, FeedHistory(disk, disk))


def told(watcher: Subscriber) -> list[dict]:
    """Everything that waits, without waiting."""
    messages = []
    while watcher.ending is None and (news := watcher._first()) is not None:
        messages.append(json.loads(news.text))
    return messages


def texts(watcher: Subscriber) -> list[str]:
    return [message["text"] for message in told(watcher) if message["type"] == "partial"]


async def test_words_so_far_are_told_when_they_changed_and_all_of_them_to_a_newcomer() -> None:
    call = FakeCall(open=[HELLO])
    feed = feed_of(call)
    one = await feed.join(0)
    feed.beat()
    assert texts(one) == ["Hel"]
    feed.beat()
    assert texts(one) == []
    two = await feed.join(0)
    feed.beat()
    assert (texts(one), texts(two)) == ([], ["Hel"])
    call.open = [HELLO._replace(text="Hello"), InterimTranscript("item_2", 0, "assistant", "Hi")]
    feed.beat()
    assert texts(one) == texts(two) == ["Hello", "Hi"]


async def test_who_comes_when_nobody_was_there_is_told_everything() -> None:
    feed = feed_of(FakeCall(open=[HELLO]))
    first = await feed.join(0)
    feed.beat()
    feed.leave(first)
    second = await feed.join(0)
    feed.beat()
    assert texts(second) == ["Hel"]


async def test_how_it_stands_is_told_when_that_changed() -> None:
    call = FakeCall()
    feed = feed_of(call)
    watcher = await feed.join(0)
    assert [m["type"] for m in told(watcher)] == ["session", "caught_up"]
    feed.beat(with_state=True)
    told(watcher)
    feed.beat(with_state=True)
    assert told(watcher) == []
    call.cost, call.seq = 1_500_000, 7
    feed.beat(with_state=True)
    (state,) = told(watcher)
    assert state["session"]["cost_dollars"] == 1.5
    assert state["session"]["tokens"] == {"text_out": 7}


async def test_an_ended_feed_keeps_the_facts_and_lets_the_call_go() -> None:
    call = FakeCall(seq=1, cost=12, why="idle", open=[HELLO])
    feed = feed_of(call)
    feed.commit(said(1))
    feed.over(1_760_000_200.0)
    assert feed.is_finished
    assert feed._session == replace(call.status(), is_paused=False)
    session = feed.session()
    assert (session.ending, session.cost_dollars, session.seq) == ("idle", 0.000012, 1)
    assert session.state == "ended"
    assert session.ended_at == "2025-10-09T08:56:40.000000+00:00"
    feed.beat()
    assert call.asked == 0
    feed.finish()  # once is enough
    assert [m["type"] for m in told(await feed.join(1))] == ["session", "caught_up", "ended"]
