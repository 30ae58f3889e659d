"""Which way frames go down: mutes and taps come and go in any order."""

from relay.session.links import OutputSwitch
from relay.session.output import MonitoredOutput, MutedOutput
from tests.session.fakes import CREATED, Stage, settle
from tests.session.test_session import DELTA
from tests.session.test_taps import Tap

APPEND = b'{"type":"input_audio_buffer.append","audio":"AAAA"}'


async def live() -> tuple[Stage, OutputSwitch, Tap]:
    stage = Stage()
    session, _running = stage.start()
    await settle()
    stage.engine.arrive(CREATED)
    return stage, session._output, Tap()


async def test_while_nobody_listens_nothing_is_in_the_way() -> None:
    stage, spout, tap = await live()
    assert spout.outlet is spout.plain
    spout.listen(tap)
    assert isinstance(spout.outlet, MonitoredOutput)
    stage.engine.arrive(DELTA)
    stage.client.arrive(APPEND)
    assert [who for who, _ in tap.heard] == ["model", "learner"]
    assert bytes(stage.engine.sent[-1]) == APPEND
    spout.listen(None)
    assert spout.outlet is spout.plain
    stage.engine.arrive(DELTA)
    stage.client.arrive(APPEND)
    assert len(tap.heard) == 2
    stage.client.leave(1000)
    await settle()


async def test_what_the_learner_does_not_hear_nobody_hears() -> None:
    stage, spout, tap = await live()
    spout.silence(True)
    spout.listen(tap)
    stage.engine.arrive(DELTA)
    assert tap.heard == []
    spout.silence(False)
    stage.engine.arrive(DELTA)
    assert len(tap.heard) == 1
    stage.client.leave(1000)
    await settle()


def test_a_mute_from_before_the_engine_waits_for_it() -> None:
    class Up:
        def listen(self, tap: object) -> None:
            """Nobody is there."""

    class Down:
        outlet: object = None

    plain, down = MutedOutput.__new__(MutedOutput), Down()
    plain.other = plain.flush = plain.due = plain.next = lambda *_: None  # type: ignore[assignment]
    spout = OutputSwitch(plain, Up())  # type: ignore[arg-type]
    spout.silence(True)
    spout.lead(down)  # type: ignore[arg-type]
    assert isinstance(down.outlet, MutedOutput)
    assert down.outlet is not plain
