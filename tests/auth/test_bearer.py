import pytest

from relay.auth.tokens import find_bearer, select_subprotocol

KEY = "openai-insecure-api-key."


@pytest.mark.parametrize(
    ("authorization", "offered", "query", "found"),
    [
        ("Bearer a", [KEY + "b"], {"token": "c"}, "a"),
        ("bearer  a ", [], {}, "a"),
        ("Basic a", ["realtime", KEY + "b"], {"token": "c"}, "b"),
        ("Bearer ", [KEY], {"token": "c"}, "c"),
        ("", [], {"access_token": "d"}, "d"),
        ("", [], {"token": "", "access_token": ""}, None),
    ],
)
def test_the_first_place_that_has_a_token(
    authorization: str, offered: list[str], query: dict[str, str], found: str | None
) -> None:
    assert find_bearer(authorization, offered, query.get) == found


def test_the_token_is_never_selected() -> None:
    assert select_subprotocol([KEY + "b", "relay.v1", "realtime"]) == "realtime"
    assert select_subprotocol([KEY + "b", "relay.v1"]) == "relay.v1"
    assert select_subprotocol([KEY + "b"]) is None
