"""One coach's line."""

import asyncio

from relay.realtime.endings import CLIENT_LEFT, TOKEN_EXPIRED
from relay.session.coach_bridge import MAX_BURST_BYTES, MAX_BYTES_PER_SECOND, CoachStream
from tests.session.fakes import FakeClock, settle


class Desk:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.said: list[bytes] = []
        self.left: list[CoachStream] = []
        self.line = CoachStream(self.clock, self.said.append, self.left.append)


async def test_frames_say_who_speaks_as_they_come() -> None:
    desk = Desk()
    coming = asyncio.ensure_future(desk.line.next())
    await settle()
    assert not coming.done()
    desk.line.learner(b"abcd")
    assert await coming == b"\x00abcd"
    desk.line.model(b"efgh")
    assert await desk.line.next() == b"\x01efgh"


async def test_what_was_flushed_does_not_come() -> None:
    desk = Desk()
    desk.line.model(b"efgh")
    desk.line.flush()
    desk.line.learner(b"abcd")
    assert await desk.line.next() == b"\x00abcd"


async def test_a_closed_line_is_closed_once_and_takes_nothing_more() -> None:
    desk = Desk()
    coming = asyncio.ensure_future(desk.line.next())
    await settle()
    desk.line.close(TOKEN_EXPIRED)
    desk.line.close(CLIENT_LEFT)
    assert await coming is None
    assert desk.line.ending == TOKEN_EXPIRED
    assert desk.left == [desk.line]
    desk.line.hear(b"abcd")
    assert desk.said == []


async def test_sound_that_comes_much_faster_than_it_is_heard_is_dropped() -> None:
    desk = Desk()
    desk.line.hear(bytes(MAX_BURST_BYTES))
    desk.line.hear(b"abcd")
    assert len(desk.said) == 1
    desk.clock.now += 1.0
    desk.line.hear(bytes(MAX_BYTES_PER_SECOND))
    desk.line.hear(b"abcd")
    assert len(desk.said) == 2
