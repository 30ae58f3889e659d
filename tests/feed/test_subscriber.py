"""What waits for one subscriber: in which order, and how much of it."""

import asyncio
import json

from relay.feed.subscriber import FINISHED, MAX_QUEUED, EncodedMessage, Subscriber, encode_final
from relay.realtime.endings import CLIENT_LEFT, CLIENT_TOO_SLOW
from tests.feed.calls import again, said

KEY = ("item_1", 0)


async def kinds(subscriber: Subscriber, count: int) -> list[str]:
    return [
        json.loads(told.text)["type"]
        for told in [await subscriber.next() for _ in range(count)]
        if told
    ]


async def test_only_the_state_is_sent_before_the_past_is_known() -> None:
    subscriber = Subscriber(0)
    subscriber.set_state(EncodedMessage("state"))
    subscriber.finish(EncodedMessage("the end"))
    assert await subscriber.next() == EncodedMessage("state")
    waiting = asyncio.create_task(subscriber.next())
    await asyncio.sleep(0)
    assert not waiting.done()
    subscriber.start([said(1)], 1)
    assert await waiting == encode_final(said(1))
    assert (await kinds(subscriber, 1)) == ["caught_up"]
    assert await subscriber.next() == EncodedMessage("the end")
    assert await subscriber.next() is None
    assert subscriber.ending == FINISHED


async def test_the_past_is_what_was_read_and_what_came_meanwhile() -> None:
    subscriber = Subscriber(1)
    for record in (said(3), again(said(2), 4)):
        subscriber.hold(record)
    subscriber.start([said(1), said(2), said(3), said(9)], 4)
    assert [await subscriber.next() for _ in range(2)] == [
        encode_final(said(3)),
        encode_final(again(said(2), 4)),
    ]
    assert await subscriber.next() == EncodedMessage('{"type":"caught_up","seq":4}', 4)


async def test_only_the_latest_state_and_partials_wait() -> None:
    subscriber = Subscriber(0)
    subscriber.start([], 0)
    await subscriber.next()
    for number in range(5):
        subscriber.set_state(EncodedMessage(f"state {number}"))
        subscriber.set_partial(KEY, EncodedMessage(f"words {number}"))
        subscriber.set_partial(("item_2", 0), EncodedMessage(f"others {number}"))
    told = [(await subscriber.next() or EncodedMessage("")).text for _ in range(3)]
    assert told == ["state 4", "words 4", "others 4"]


async def test_a_final_replaces_its_partial_and_goes_before_others() -> None:
    subscriber = Subscriber(0)
    subscriber.start([], 0)
    await subscriber.next()
    subscriber.set_partial(KEY, EncodedMessage("old news"))
    subscriber.set_partial(("item_2", 0), EncodedMessage("others"))
    subscriber.add_final(KEY, EncodedMessage("final", 1))
    assert await subscriber.next() == EncodedMessage("final", 1)
    assert await subscriber.next() == EncodedMessage("others")


async def test_a_long_past_does_not_count_as_slowness() -> None:
    subscriber = Subscriber(0)
    subscriber.start([said(seq) for seq in range(1, 2 * MAX_QUEUED)], 2 * MAX_QUEUED)
    for seq in range(MAX_QUEUED):
        subscriber.add_final(KEY, EncodedMessage("", 2 * MAX_QUEUED + seq + 1))
    assert subscriber.ending is None
    subscriber.add_final(KEY, EncodedMessage("", 3 * MAX_QUEUED + 1))
    assert subscriber.ending == CLIENT_TOO_SLOW
    assert await subscriber.next() is None


async def test_more_finals_than_fit_during_the_read_are_too_slow() -> None:
    subscriber = Subscriber(0)
    for seq in range(1, MAX_QUEUED + 2):
        subscriber.hold(said(seq))
    assert subscriber.ending == CLIENT_TOO_SLOW
    subscriber.start([], MAX_QUEUED + 1)
    assert await subscriber.next() is None


async def test_the_first_ending_wins_and_wakes_the_waiting_reader() -> None:
    subscriber = Subscriber(0)
    waiting = asyncio.create_task(subscriber.next())
    await asyncio.sleep(0)
    subscriber.close(CLIENT_LEFT)
    subscriber.close(CLIENT_TOO_SLOW)
    assert await waiting is None
    assert subscriber.ending == CLIENT_LEFT
