"""The provider's key from a project's vault."""

from typing import Any

import pytest

from relay.stores.supabase_keys import key_in


@pytest.mark.parametrize(
    "answer", [[{"key": "sk-vault"}], {"key": "sk-vault"}, "sk-vault", "sk-vault\n"]
)
def test_S3_15_each_shape_of_the_answer_is_understood(answer: Any) -> None:
    assert key_in(answer) == "sk-vault"


@pytest.mark.parametrize("answer", [None, [], {}, "", [None], [{"key": None}], {"key": 5}, 5, True])
def test_S3_16_what_holds_no_key_is_none(answer: Any) -> None:
    assert key_in(answer) == ""
