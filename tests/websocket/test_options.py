"""The bounds that the outside promises."""

from relay.websocket.client import ConnectOptions
from relay.websocket.closing import ConnectionOptions


def test_a_client_may_send_ten_mebibytes_and_an_upstream_sixteen() -> None:
    assert ConnectionOptions().max_message_bytes == 10 * 1024 * 1024
    assert ConnectOptions().peer.max_message_bytes == 16 * 1024 * 1024


def test_every_bound_is_finite_and_binary_is_refused_unless_it_is_asked_for() -> None:
    options = ConnectionOptions()
    assert 0 < options.write_low < options.write_high <= options.max_message_bytes
    assert options.fail_grace + options.close_grace <= 1.0, "one side after the other"
    assert options.binary is None
