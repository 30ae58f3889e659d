import asyncio

import pytest

from relay.clock import MachineClock
from relay.feed.subscriber import FINISHED, EncodedMessage, Subscriber
from relay.http.api import feeds
from relay.http.api.auth import Authorizer
from relay.http.api.feeds import QUIET_SECONDS, FeedPermission, pump
from relay.realtime import endings
from relay.realtime.grant import Caller
from tests.http.api.running_api import FakeAssignments
from tests.http.api.test_rate_limits import Clock
from tests.stores.words import LEARNER


class FakeWriter:
    """Keeps what it is sent."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.keep_alives = 0
        self.stuck = False

    async def send(self, message: EncodedMessage) -> None:
        if self.stuck:
            await asyncio.Event().wait()
        self.sent.append(message.text)

    async def keep_alive(self) -> None:
        self.keep_alives += 1


def permission(
    clock: Clock,
    ttl: float = 1000.0,
    assignments: FakeAssignments | None = None,
    unix: Clock | None = None,
) -> FeedPermission:
    machine = MachineClock(unix or clock, clock)
    caller = Caller(sub="kim", role="coach", expires_at=clock.now + ttl)
    return FeedPermission(
        caller, LEARNER, Authorizer(assignments or FakeAssignments(), clock), machine
    )


async def test_every_message_is_sent_and_the_ending_returned() -> None:
    subscriber, writer = Subscriber(0), FakeWriter()
    subscriber.start([], 0)
    subscriber.finish(EncodedMessage("the end"))
    assert await pump(writer, subscriber, permission(Clock())) == FINISHED
    assert writer.sent == ['{"type":"caught_up","seq":0}', "the end"]


async def test_a_writer_that_is_stuck_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "SEND_SECONDS", 0.01)
    subscriber, writer = Subscriber(0), FakeWriter()
    subscriber.start([], 0)
    writer.stuck = True
    with pytest.raises(TimeoutError):
        await pump(writer, subscriber, permission(Clock()))


async def test_an_expired_token_ends_the_feed() -> None:
    assert (
        await pump(FakeWriter(), Subscriber(0), permission(Clock(), ttl=0.0))
        == endings.TOKEN_EXPIRED
    )


async def test_the_permission_is_checked_again() -> None:
    clock, assignments = Clock(), FakeAssignments()
    assignments.of.clear()
    permitted = permission(clock, assignments=assignments)
    assert await permitted.revoked() == endings.FORBIDDEN
    assert await permission(clock).revoked() is None
    assert await permission(clock, assignments=FakeAssignments(broken=True)).revoked() is None


def test_the_next_check_is_due_before_the_token_expires() -> None:
    clock = Clock()
    assert permission(clock).next_check_in(clock.now) == QUIET_SECONDS
    assert permission(clock).next_check_in(clock.now - QUIET_SECONDS - 1) == 0.0
    assert permission(clock, ttl=2.0).next_check_in(clock.now) == 2.0


async def test_an_hour_either_way_delays_no_check_and_counts_for_the_token() -> None:
    clock, unix = Clock(), Clock()
    permitted = permission(clock, unix=unix)
    unix.now -= 3600
    assert permitted.next_check_in(clock.now) == QUIET_SECONDS
    assert await permitted.revoked() is None
    unix.now += 7200
    assert permitted.next_check_in(clock.now) == 0.0
    assert await permitted.revoked() == endings.TOKEN_EXPIRED
