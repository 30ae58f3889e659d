"""What the client deleted was said and heard, and the model of the next session is not told it."""

from dataclasses import replace

import msgspec
import pytest

from relay.realtime.dialects.client import BrowserDialect
from relay.realtime.earlier import EarlierRecords, earlier_ids, seed_items
from relay.realtime.opening import Announcement
from relay.realtime.records import Record, newest
from tests.realtime import wire_events as wire
from tests.realtime.remembering_engine import Continued, create
from tests.realtime.session_core import new_core
from tests.realtime.wire_events import Event
from tests.stores.words import LATER_SESSION, Call, texts

CALL = Call()
HISTORY = (
    CALL.user("My name is Ada.", 1.0, item_id="U1"),
    CALL.assistant("Hello, Ada.", 2.0, item_id="A1"),
    CALL.user("Where is Oslo?", 3.0, item_id="U2"),
)
DELETE: Event = {"type": "conversation.item.delete", "item_id": "A1"}
AGAIN = create("A1", "Hello, Ada.", "U1", "assistant")


def told(records: tuple[Record, ...] | list[Record]) -> list[str]:
    return [item["content"][0]["text"] for item in seed_items(records)]


def deleted(record: Record) -> Record:
    said = msgspec.structs.replace(record.utterance, deleted_for_model=True)
    return msgspec.structs.replace(record, utterance=said)


def test_the_next_session_is_told_the_rest_and_knows_the_id_all_the_same() -> None:
    history = (HISTORY[0], deleted(HISTORY[1]), HISTORY[2])
    assert told(history) == ["My name is Ada.", "Where is Oslo?"]
    assert earlier_ids(history) == ("U1", "A1", "U2")


def test_an_item_of_an_earlier_session_that_the_client_repeats_and_deletes_is_marked_there() -> (
    None
):
    call = Continued(*HISTORY)
    call.send(AGAIN, DELETE)
    (corrected,) = call.corrected
    assert corrected == msgspec.structs.replace(
        HISTORY[1],
        utterance=msgspec.structs.replace(HISTORY[1].utterance, seq=4, deleted_for_model=True),
    )
    assert texts(newest([*HISTORY, corrected])) == texts(HISTORY), "people still read it"
    assert told(newest([*HISTORY, corrected])) == ["My name is Ada.", "Where is Oslo?"]
    assert call.texts() == ["My name is Ada.", "Where is Oslo?"]


def test_what_the_client_creates_again_is_told_again() -> None:
    call = Continued(HISTORY[0], deleted(HISTORY[1]), HISTORY[2])
    assert call.texts() == ["My name is Ada.", "Where is Oslo?"]
    call.send(AGAIN)
    assert call.texts() == ["My name is Ada.", "Hello, Ada.", "Where is Oslo?"]
    assert call.stored == {}, "the store has it"
    assert told(newest([*HISTORY, *call.corrected])) == texts(HISTORY)
    call.send(DELETE, AGAIN)
    assert [one.utterance.deleted_for_model is True for one in call.corrected] == [
        False,
        True,
        False,
    ]
    assert [one.seq for one in call.corrected] == [4, 5, 6], "each session counts by itself"


def test_an_id_that_the_client_has_not_repeated_is_the_engines_to_refuse() -> None:
    call, asked = Continued(*HISTORY), list[Event]()
    call.obey = asked.append
    call.send(DELETE)
    assert asked == [DELETE]
    assert call.corrected == []
    assert call.texts() == texts(HISTORY)


def test_every_part_of_an_item_is_marked_with_a_number_of_its_own() -> None:
    later = CALL.of(session_id=LATER_SESSION)
    parts = (
        CALL.user("First.", 1.0, item_id="U1", seq=7),
        later.user("Second.", 1.0, item_id="U2", seq=2),
        later.user("Its other part.", 1.0, item_id="U2", content_index=1, seq=3),
    )
    records = EarlierRecords(parts)
    assert not records.has_deleted
    assert [one.seq for one in records.mark("U2", deleted=True)] == [4, 5]
    assert records.mark("U2", deleted=True) == []
    assert [one.seq for one in records.mark("U1", deleted=True)] == [8]
    assert records.has_deleted


@pytest.mark.parametrize("history", [(), (deleted(HISTORY[1]),)], ids=["new", "all deleted"])
def test_a_conversation_of_which_all_was_deleted_is_no_new_one(history: tuple[Record, ...]) -> None:
    core = new_core(BrowserDialect())
    setup = replace(core.setup, earlier_items=seed_items(history), earlier=EarlierRecords(history))
    announcement = Announcement(setup, core._client)
    answer = wire.answer("A9", "Hi.", None)
    announced = [one for event in answer for one in announcement.observe(event, 0.0)]
    assert bool(announced) is not bool(history)
