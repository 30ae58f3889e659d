"""What is told of a fault."""

import pytest

from relay.tasks import where


def fail(text: str) -> None:
    raise ValueError(text)


def test_a_fault_is_told_by_kind_and_place_without_its_text() -> None:
    with pytest.raises(ValueError, match="secret") as caught:
        fail("secret")
    told = where(caught.value)
    assert told.startswith("ValueError in fail (")
    assert "secret" not in told
    assert where(KeyError("secret")) == "KeyError"
