"""The last step down: direct or paced, monitored or not, the model muted or not."""

from relay.interfaces import Frame
from relay.realtime.playout import START_SECONDS, Playout
from relay.session.output import (
    ClientOutput,
    DirectOutput,
    MonitoredOutput,
    MutedOutput,
    OutputSwitch,
    PacedOutput,
    discard,
    monitored_send,
    plain_output,
)
from tests.fake_connection import FakePeer
from tests.session.fakes import FakeClock


class FakeMonitor:
    """An `AudioMonitor` that notes what it hears."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, bytes]] = []

    def learner(self, frame: Frame) -> None:
        self.heard.append(("learner", bytes(frame)))

    def model(self, frame: Frame) -> None:
        self.heard.append(("model", bytes(frame)))

    def flush(self) -> None:
        self.heard.append(("flush", b""))


DONE = b'{"type":"response.done"}'


def direct(client: FakePeer, playout: Playout | None = None) -> DirectOutput:
    output = plain_output(playout or Playout(), None, FakeClock())
    assert isinstance(output, DirectOutput)
    output.connect(client.send)
    return output


def test_without_a_lead_everything_is_sent_at_once() -> None:
    client, playout = FakePeer(), Playout()
    output = direct(client, playout)
    for _ in range(8):
        output.audio(b"sound", "A1", 250, 1000.0)
    output.other(b"done")
    output.flush()
    output.due(1001.0)
    assert client.sent == [b"sound"] * 8 + [b"done"]
    assert output.next() == float("inf")
    assert playout.heard("A1", 1000.0 + START_SECONDS + 1).ms == 1000


def test_with_a_lead_audio_is_sent_as_it_is_heard_and_a_flush_drops_it() -> None:
    client, playout, clock = FakePeer(), Playout(), FakeClock()
    output = plain_output(playout, 200, clock)
    assert isinstance(output, PacedOutput)
    output.connect(client.send)
    for _ in range(8):
        output.audio(b"sound", "A1", 250, clock.now)
    output.other(DONE)
    assert client.sent == [b"sound"]
    clock.now = output.next()
    output.due(clock.now)
    assert client.sent == [b"sound"] * 2
    output.flush()
    assert client.sent == [b"sound", b"sound", DONE]
    output.other(b"speech_started")
    assert client.sent[-1] == b"speech_started"
    assert output.next() == float("inf")


def test_a_muted_models_audio_is_dropped_and_the_rest_passes() -> None:
    client, playout = FakePeer(), Playout()
    output = MutedOutput(direct(client, playout))
    output.audio(b"sound", "A1", 100, 0.0)
    output.other(b"other")
    assert client.sent == [b"other"]
    assert playout.heard("A1", 9.0).ms == 0


def test_the_client_gets_everything_and_the_monitor_the_audio() -> None:
    client, monitor = FakePeer(), FakeMonitor()
    output = MonitoredOutput(direct(client), monitor)
    output.other(b"other")
    output.audio(b"sound", "A1", 100, 0.0)
    output.flush()
    output.due(1.0)
    assert client.sent == [b"other", b"sound"]
    assert monitor.heard == [("model", b"sound"), ("flush", b"")]
    assert output.next() == float("inf")


def test_the_engine_gets_what_the_monitor_hears() -> None:
    engine, monitor = FakePeer(), FakeMonitor()
    monitored_send(engine.send, monitor)(b"append")
    assert engine.sent == [b"append"]
    assert monitor.heard == [("learner", b"append")]


def chain(output: ClientOutput) -> list[str]:
    """The names of the outputs that audio passes."""
    inner = getattr(output, "_output", None)
    return [type(output).__name__, *(chain(inner) if inner is not None else [])]


def test_mutes_and_monitors_come_and_go_in_any_order() -> None:
    client, monitor = FakePeer(), FakeMonitor()
    switch = OutputSwitch(direct(client))
    assert switch.model is switch.current is switch.plain

    switch.mute(True)
    switch.monitor(monitor)
    switch.model.audio(b"unheard", "A1", 100, 0.0)
    assert (client.sent, monitor.heard) == ([], [])
    assert chain(switch.current) == ["MonitoredOutput", "DirectOutput"]

    switch.mute(False)
    switch.model.audio(b"heard", "A1", 100, 0.0)
    assert (client.sent, monitor.heard) == ([b"heard"], [("model", b"heard")])

    switch.monitor(None)
    assert switch.model is switch.current is switch.plain


def test_another_connection_gets_everything_from_then_on_whatever_is_selected() -> None:
    first, second, monitor = FakePeer(), FakePeer(), FakeMonitor()
    switch = OutputSwitch(direct(first))
    switch.monitor(monitor)
    switch.other(b"1")
    switch.connect(discard)
    switch.other(b"to nobody")
    switch.model.audio(b"to nobody", "A1", 100, 0.0)
    switch.connect(second.send)
    switch.other(b"2")
    switch.current.other(b"3")
    switch.model.audio(b"4", "A1", 100, 0.0)
    assert (first.sent, second.sent) == ([b"1"], [b"2", b"3", b"4"])


async def test_a_paced_one_sends_what_waits_to_the_connection_of_that_time() -> None:
    first, second, clock = FakePeer(), FakePeer(), FakeClock()
    switch = OutputSwitch(plain_output(Playout(), 200, clock))
    switch.connect(first.send)
    for _ in range(2):
        switch.model.audio(b"sound", "A1", 250, clock.now)
    switch.connect(second.send)
    clock.now = switch.current.next()
    switch.current.due(clock.now)
    assert (first.sent, second.sent) == ([b"sound"], [b"sound"])


def test_it_says_how_much_waits() -> None:
    client, clock = FakePeer(), FakeClock()
    paced = plain_output(Playout(), 200, clock)
    paced.connect(client.send)
    for _ in range(8):
        paced.audio(b"sound", "A1", 250, clock.now)
    assert paced.waiting == 7 * len(b"sound")
    paced.flush()
    assert paced.waiting == direct(client).waiting == 0
