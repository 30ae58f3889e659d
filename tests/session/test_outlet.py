"""The last step down: at once, or paced."""

from relay.realtime.playout import START_SECONDS, Playout
from relay.session.output import DirectOutput, MutedOutput, PacedOutput, client_output
from tests.fake_connection import FakePeer
from tests.session.fakes import FakeClock


def test_without_a_lead_everything_goes_out_at_once() -> None:
    client, playout = FakePeer(), Playout()
    outlet = client_output(client, playout, None, FakeClock())
    assert isinstance(outlet, DirectOutput)
    for _ in range(8):
        outlet.sound(b"sound", "A1", 250, 1000.0)
    outlet.other(b"done")
    outlet.flush()
    outlet.due(1001.0)
    assert client.sent == [b"sound"] * 8 + [b"done"]
    assert outlet.next() == float("inf")
    assert playout.heard("A1", 1000.0 + START_SECONDS + 1).ms == 1000


def test_with_a_lead_sound_goes_out_as_it_is_heard_and_a_flush_drops_it() -> None:
    client, playout, clock = FakePeer(), Playout(), FakeClock()
    outlet = client_output(client, playout, 200, clock)
    assert isinstance(outlet, PacedOutput)
    for _ in range(8):
        outlet.sound(b"sound", "A1", 250, clock.now)
    outlet.other(b"done")
    assert client.sent == [b"sound"]
    clock.now = outlet.next()
    outlet.due(clock.now)
    assert client.sent == [b"sound"] * 2
    outlet.flush()
    assert client.sent == [b"sound", b"sound", b"done"]
    outlet.other(b"speech_started")
    assert client.sent[-1] == b"speech_started"
    assert outlet.next() == float("inf")


def test_a_silenced_models_sound_is_dropped_and_the_rest_passes() -> None:
    client, playout = FakePeer(), Playout()
    outlet = MutedOutput(client_output(client, playout, None, lambda: 0.0))
    outlet.sound(b"sound", "A1", 100, 0.0)
    outlet.other(b"other")
    assert client.sent == [b"other"]
    assert playout.heard("A1", 9.0).ms == 0
