"""The table of endings."""

from collections import Counter

import pytest

from relay.realtime import endings
from relay.realtime.endings import Ending, SessionRefused


@pytest.mark.parametrize("ending", endings.ALL, ids=lambda ending: ending.name)
def test_every_ending_fits_a_close_frame_and_says_what_to_do(ending: Ending) -> None:
    assert len(ending.reason.encode()) <= 123
    assert 1000 <= ending.code < 5000
    assert ending.name.isidentifier()
    if ending not in (endings.CLIENT_LEFT, endings.CLIENT_LOST):
        assert ending.advice.endswith(".")


def test_only_three_names_have_two_endings() -> None:
    names = Counter(ending.name for ending in endings.ALL)
    assert {name for name, count in names.items() if count > 1} == {
        *("at_capacity", "idle", "engine_closed")
    }


def test_a_refusal_carries_only_its_ending() -> None:
    refused = SessionRefused(endings.FORBIDDEN)
    assert refused.ending is endings.FORBIDDEN
    assert str(refused) == "forbidden"


@pytest.mark.parametrize("code", sorted(endings.FINAL_CODES))
def test_an_engine_that_refuses_for_good_ends_the_session_with_its_code(code: str) -> None:
    ending = endings.engine_refused(code)
    assert (ending.name, ending.code, ending.final) == ("engine_closed", 1011, code)


@pytest.mark.parametrize("code", ["rate_limit_exceeded", "server_error", "unreadable", ""])
def test_an_engine_that_refuses_for_now_may_be_asked_again(code: str) -> None:
    assert endings.engine_refused(code) == endings.ENGINE_CLOSED
