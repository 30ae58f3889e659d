"""Journal records and their ids."""

import uuid

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.realtime.billing.usage import Usage, UsageLine
from relay.realtime.records import AnyRecord, SessionRecord, UsageRecord, record_id, usage_id
from tests.stores.words import SESSION, Call

HEAD = Call().user("Hello").head
LINE = UsageLine(model="gpt-realtime", day=20_778, usage=Usage(audio_in=10), seq=3)
USAGE = UsageRecord(id=usage_id(SESSION, LINE), head=HEAD, line=LINE, micro=320)
BEGUN = SessionRecord(id=SESSION, head=HEAD, seq=1, door="openai", engine="offline")


def test_every_kind_of_record_survives_encoding() -> None:
    decode = msgspec.json.Decoder(AnyRecord).decode
    for record in (Call().user("Hello"), USAGE, BEGUN):
        assert decode(msgspec.json.encode(record)) == record


def test_a_model_has_one_usage_record_per_session_and_day() -> None:
    later = msgspec.structs.replace(LINE, seq=4, usage=Usage(audio_in=20))
    tomorrow = msgspec.structs.replace(LINE, day=LINE.day + 1)
    assert usage_id(SESSION, later) == usage_id(SESSION, LINE)
    assert usage_id(SESSION, tomorrow) != usage_id(SESSION, LINE)


def test_the_higher_seq_is_the_newer_version() -> None:
    assert [record.seq for record in (Call().user("Hello"), USAGE, BEGUN)] == [1, 3, 1]


def test_a_record_id_is_the_uuid5_of_session_and_item() -> None:
    assert record_id(SESSION, "item_1") == str(uuid.uuid5(uuid.UUID(SESSION), "item_1"))
    assert record_id(SESSION, "item_1") == record_id(SESSION, "item_1", 0)


@given(st.tuples(st.text("ab/01", max_size=6), st.integers(0, 11)), st.data())
def test_no_two_parts_share_an_id(one: tuple[str, int], data: st.DataObject) -> None:
    other = data.draw(st.tuples(st.text("ab/01", max_size=6), st.integers(0, 11)))
    assert (record_id(SESSION, *one) == record_id(SESSION, *other)) == (one == other)


def test_a_session_id_must_be_a_uuid() -> None:
    with pytest.raises(ValueError, match="UUID"):
        record_id("s1", "item_1")
