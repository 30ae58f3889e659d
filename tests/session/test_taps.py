"""Listening along."""

from relay.realtime.playout import Playout
from relay.session.output import MonitoredOutput, client_output, monitored_send
from tests.fake_connection import FakePeer


class Tap:
    def __init__(self) -> None:
        self.heard: list[tuple[str, bytes]] = []

    def learner(self, frame: bytes | bytearray | memoryview) -> None:
        self.heard.append(("learner", bytes(frame)))

    def model(self, frame: bytes | bytearray | memoryview) -> None:
        self.heard.append(("model", bytes(frame)))

    def flush(self) -> None:
        self.heard.append(("flush", b""))


def test_the_client_gets_all_and_the_tap_the_sound() -> None:
    client, tap = FakePeer(), Tap()
    outlet = MonitoredOutput(client_output(client, Playout(), None, lambda: 0.0), tap)
    outlet.other(b"other")
    outlet.sound(b"sound", "A1", 100, 0.0)
    outlet.flush()
    outlet.due(1.0)
    assert client.sent == [b"other", b"sound"]
    assert tap.heard == [("model", b"sound"), ("flush", b"")]
    assert outlet.next() == float("inf")


def test_the_engine_gets_what_the_tap_hears() -> None:
    engine, tap = FakePeer(), Tap()
    monitored_send(engine.send, tap)(b"append")
    assert engine.sent == [b"append"]
    assert tap.heard == [("learner", b"append")]
