"""Where a token may stand."""

import pytest

from relay.auth.tokens import find_token, select_subprotocol
from relay.interfaces import ConnectRequest
from tests.doors.requests import asking, asking_with

KEY = "openai-insecure-api-key."


@pytest.mark.parametrize(
    ("connect", "token"),
    [
        (asking_with({"Authorization": "Bearer abc"}), "abc"),
        (asking_with({"authorization": "bearer  abc "}), "abc"),
        (asking_with({}, ("realtime", KEY + "abc")), "abc"),
        (asking_with({"api-key": "abc"}), "abc"),
        (asking_with({"X-API-Key": "abc"}, (KEY + "two",)), "abc"),
        (asking_with({"Authorization": "Bearer one", "api-key": "two"}), "one"),
        (asking(token="abc"), "abc"),
        (asking(**{"api-key": "abc"}), "abc"),
        (asking(access_token="abc"), "abc"),
        (asking_with({"Authorization": "Bearer one"}, (KEY + "two",)), "one"),
        (asking_with({}, (KEY + "two",), token="three"), "two"),
        (asking_with({"Authorization": "Basic abc"}, token="three"), "three"),
        (asking_with({"Authorization": "Bearer "}), None),
        (asking_with({}, (KEY,)), None),
        (asking(token=""), None),
        (asking(), None),
    ],
)
def test_the_first_place_that_has_one_counts(connect: ConnectRequest, token: str | None) -> None:
    assert find_token(connect) == token


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
