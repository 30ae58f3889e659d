"""What happens to a connection before its session."""

import pytest

from relay.simulator.faults import InBandRefusal
from relay.simulator.faults.sessions import turned_away


@pytest.mark.parametrize(
    ("code", "close"),
    [
        ("invalid_api_key", 3000),
        ("missing_model", 4000),
        ("invalid_model", 4000),
        ("beta_api_shape_disabled", 4000),
        ("model_not_found", 4000),
    ],
)
def test_codes_close_as_openai_closes_them(code: str, close: int):
    away = turned_away(InBandRefusal(code=code))

    assert (away.refusal.code, away.code) == (code, close)
    assert away.refusal.message


def test_a_script_may_say_otherwise():
    away = turned_away(InBandRefusal(code="model_not_found", message="No such model.", close=4004))

    assert (away.code, away.refusal.message) == (4004, "No such model.")
