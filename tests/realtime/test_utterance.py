"""Ids of what was said."""

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.realtime.records import record_id

SESSION = "6f9f0c3e-0000-4000-8000-000000000001"


def test_the_id_is_the_uuid5_of_session_and_item() -> None:
    assert record_id(SESSION, "item_1") == str(uuid.uuid5(uuid.UUID(SESSION), "item_1"))
    assert record_id(SESSION, "item_1") == record_id(SESSION, "item_1", 0)


@given(st.tuples(st.text("ab/01", max_size=6), st.integers(0, 11)), st.data())
def test_no_two_parts_share_an_id(one: tuple[str, int], data: st.DataObject) -> None:
    other = data.draw(st.tuples(st.text("ab/01", max_size=6), st.integers(0, 11)))
    assert (record_id(SESSION, *one) == record_id(SESSION, *other)) == (one == other)


def test_a_session_is_a_uuid() -> None:
    with pytest.raises(ValueError, match="UUID"):
        record_id("s1", "item_1")
