"""What the journal keeps beside words."""

import msgspec

from relay.realtime.billing.usage import Usage, UsageLine
from relay.realtime.records import AnyRecord, SessionRecord, UsageRecord, usage_id
from tests.stores.words import SESSION, Call

HEAD = Call().user("Hello").head
LINE = UsageLine(model="gpt-realtime", day=20_778, usage=Usage(audio_in=10), seq=3)
USAGE = UsageRecord(id=usage_id(SESSION, LINE), head=HEAD, line=LINE, micro=320)
BEGUN = SessionRecord(id=SESSION, head=HEAD, seq=1, door="openai", engine="offline")


def test_every_kind_of_record_comes_back_from_its_bytes_as_what_it_was() -> None:
    decode = msgspec.json.Decoder(AnyRecord).decode
    for record in (Call().user("Hello"), USAGE, BEGUN):
        assert decode(msgspec.json.encode(record)) == record


def test_a_model_has_one_usage_record_a_session_and_day() -> None:
    later = msgspec.structs.replace(LINE, seq=4, usage=Usage(audio_in=20))
    tomorrow = msgspec.structs.replace(LINE, day=LINE.day + 1)
    assert usage_id(SESSION, later) == usage_id(SESSION, LINE)
    assert usage_id(SESSION, tomorrow) != usage_id(SESSION, LINE)


def test_every_kind_says_which_of_two_versions_is_the_newer() -> None:
    assert [record.seq for record in (Call().user("Hello"), USAGE, BEGUN)] == [1, 3, 1]
