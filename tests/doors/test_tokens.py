"""Where a token may stand."""

import pytest

from relay.doors.tokens import find_token, select_subprotocol
from relay.websocket.handshake import Handshake
from tests.doors.knock import knock, knock_with

KEY = "openai-insecure-api-key."


@pytest.mark.parametrize(
    ("handshake", "token"),
    [
        (knock_with({"Authorization": "Bearer abc"}), "abc"),
        (knock_with({"authorization": "bearer  abc "}), "abc"),
        (knock_with({}, ("realtime", KEY + "abc")), "abc"),
        (knock(token="abc"), "abc"),
        (knock(access_token="abc"), "abc"),
        (knock_with({"Authorization": "Bearer one"}, (KEY + "two",)), "one"),
        (knock_with({}, (KEY + "two",), token="three"), "two"),
        (knock_with({"Authorization": "Basic abc"}, token="three"), "three"),
        (knock_with({"Authorization": "Bearer "}), None),
        (knock_with({}, (KEY,)), None),
        (knock(token=""), None),
        (knock(), None),
    ],
)
def test_the_first_place_that_has_one_counts(handshake: Handshake, token: str | None) -> None:
    assert find_token(handshake) == token


@pytest.mark.parametrize(
    ("offered", "selected"),
    [
        (("realtime", KEY + "abc"), "realtime"),
        ((KEY + "abc", "relay.v1", "realtime"), "realtime"),
        (("relay.v1", KEY + "abc"), "relay.v1"),
        ((KEY + "abc",), None),
        ((), None),
    ],
)
def test_the_token_is_never_selected(offered: tuple[str, ...], selected: str | None) -> None:
    assert select_subprotocol(offered) == selected
