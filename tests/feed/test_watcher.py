import asyncio
import json

from relay.feed.subscriber import FINISHED, QUEUE, EncodedMessage, Subscriber, shown_final
from relay.realtime.endings import CLIENT_LEFT, CLIENT_TOO_SLOW
from tests.feed.calls import again, said

KEY = ("item_1", 0)


async def kinds(watcher: Subscriber, count: int) -> list[str]:
    return [
        json.loads(told.text)["type"]
        for told in [await watcher.next() for _ in range(count)]
        if told
    ]


async def test_before_the_past_is_known_the_state_alone_is_shown() -> None:
    watcher = Subscriber(0)
    watcher.state(EncodedMessage("state"))
    watcher.finish(EncodedMessage("the end"))
    assert await watcher.next() == EncodedMessage("state")
    waiting = asyncio.create_task(watcher.next())
    await asyncio.sleep(0)
    assert not waiting.done()
    watcher.begin([said(1)], 1)
    assert await waiting == shown_final(said(1))
    assert (await kinds(watcher, 1)) == ["caught_up"]
    assert await watcher.next() == EncodedMessage("the end")
    assert await watcher.next() is None
    assert watcher.ending == FINISHED


async def test_what_was_read_and_what_came_are_one_past() -> None:
    watcher = Subscriber(1)
    for record in (said(3), again(said(2), 4)):
        watcher.early(record)
    watcher.begin([said(1), said(2), said(3), said(9)], 4)
    assert [await watcher.next() for _ in range(2)] == [
        shown_final(said(3)),
        shown_final(again(said(2), 4)),
    ]
    assert await watcher.next() == EncodedMessage('{"type":"caught_up","seq":4}', 4)


async def test_of_states_and_of_words_so_far_the_latest_alone_waits() -> None:
    watcher = Subscriber(0)
    watcher.begin([], 0)
    await watcher.next()
    for number in range(5):
        watcher.state(EncodedMessage(f"state {number}"))
        watcher.partial(KEY, EncodedMessage(f"words {number}"))
        watcher.partial(("item_2", 0), EncodedMessage(f"others {number}"))
    told = [(await watcher.next() or EncodedMessage("")).text for _ in range(3)]
    assert told == ["state 4", "words 4", "others 4"]


async def test_a_final_replaces_the_words_so_far_and_comes_before_others() -> None:
    watcher = Subscriber(0)
    watcher.begin([], 0)
    await watcher.next()
    watcher.partial(KEY, EncodedMessage("old news"))
    watcher.partial(("item_2", 0), EncodedMessage("others"))
    watcher.final(KEY, EncodedMessage("final", 1))
    assert await watcher.next() == EncodedMessage("final", 1)
    assert await watcher.next() == EncodedMessage("others")


async def test_a_long_past_does_not_count_as_slowness() -> None:
    watcher = Subscriber(0)
    watcher.begin([said(seq) for seq in range(1, 2 * QUEUE)], 2 * QUEUE)
    for seq in range(QUEUE):
        watcher.final(KEY, EncodedMessage("", 2 * QUEUE + seq + 1))
    assert watcher.ending is None
    watcher.final(KEY, EncodedMessage("", 3 * QUEUE + 1))
    assert watcher.ending == CLIENT_TOO_SLOW
    assert await watcher.next() is None


async def test_more_than_fits_while_the_past_is_read_is_too_slow() -> None:
    watcher = Subscriber(0)
    for seq in range(1, QUEUE + 2):
        watcher.early(said(seq))
    assert watcher.ending == CLIENT_TOO_SLOW
    watcher.begin([], QUEUE + 1)
    assert await watcher.next() is None


async def test_the_first_ending_wins_and_wakes_who_waits() -> None:
    watcher = Subscriber(0)
    waiting = asyncio.create_task(watcher.next())
    await asyncio.sleep(0)
    watcher.close(CLIENT_LEFT)
    watcher.close(CLIENT_TOO_SLOW)
    assert await waiting is None
    assert watcher.ending == CLIENT_LEFT
