import asyncio

import pytest

from relay.feed.subscriber import FINISHED, EncodedMessage, Subscriber
from relay.http.api import feeds as stream
from relay.http.api.auth import Authorizer
from relay.http.api.feeds import QUIET_SECONDS, FeedPermission, pump
from relay.realtime import endings
from relay.realtime.grant import Caller
from tests.http.api.desk import Assignments
from tests.http.api.test_rates import Clock
from tests.stores.words import LEARNER


class Line:
    """Takes what it is sent."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.signs = 0
        self.stuck = False

    async def send(self, shown: EncodedMessage) -> None:
        if self.stuck:
            await asyncio.Event().wait()
        self.sent.append(shown.text)

    async def live(self) -> None:
        self.signs += 1


def watching(
    clock: Clock, ttl: float = 1000.0, learners: Assignments | None = None
) -> FeedPermission:
    caller = Caller(sub="kim", role="coach", expires_at=clock.now + ttl)
    return FeedPermission(caller, LEARNER, Authorizer(learners or Assignments(), clock), clock)


async def test_everything_is_sent_and_the_reason_told() -> None:
    watcher, line = Subscriber(0), Line()
    watcher.begin([], 0)
    watcher.finish(EncodedMessage("the end"))
    assert await pump(line, watcher, watching(Clock())) == FINISHED
    assert line.sent == ['{"type":"caught_up","seq":0}', "the end"]


async def test_a_line_that_takes_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "SEND_SECONDS", 0.01)
    watcher, line = Subscriber(0), Line()
    watcher.begin([], 0)
    line.stuck = True
    with pytest.raises(TimeoutError):
        await pump(line, watcher, watching(Clock()))


async def test_a_token_that_has_run_out_ends_it() -> None:
    assert await pump(Line(), Subscriber(0), watching(Clock(), ttl=0.0)) == endings.TOKEN_EXPIRED


async def test_rights_are_looked_at_while_nothing_is_said() -> None:
    clock, learners = Clock(), Assignments()
    learners.of.clear()
    watch = watching(clock, learners=learners)
    assert await watch.may_go_on() == endings.FORBIDDEN
    assert await watching(clock).may_go_on() is None
    assert await watching(clock, learners=Assignments(broken=True)).may_go_on() is None


def test_the_next_look_is_soon_enough() -> None:
    clock = Clock()
    assert watching(clock).patience(clock.now) == QUIET_SECONDS
    assert watching(clock).patience(clock.now - QUIET_SECONDS - 1) == 0.0
    assert watching(clock, ttl=2.0).patience(clock.now) == 2.0
