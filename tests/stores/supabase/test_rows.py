"""Records encoded for a project, and its rows as records again."""

import math
from typing import Any

import msgspec
import pytest

from relay.interfaces import CONSTRAINT
from relay.realtime.records import Record
from relay.stores.rows import message_row
from relay.stores.supabase.store import encode_batch, records_from_rows
from tests.stores.words import (
    AGENT,
    CONVERSATION,
    LATER_SESSION,
    LEARNER,
    MORNING,
    Call,
    corrected,
    texts,
)

CALL = Call()


def row_of(record: Record) -> dict[str, Any]:
    return message_row(record, CONVERSATION)


def written(text: str, at: str, role: str = "user") -> dict[str, Any]:
    """A row as S3's text chat makes it."""
    sender = {"sender_user_id": LEARNER, "sender_agent_id": None}
    if role == "assistant":
        sender = {"sender_user_id": None, "sender_agent_id": AGENT}
    return {
        "id": "77777777-7777-4777-8777-777777777777",
        "conversation_id": CONVERSATION,
        "role": role,
        "content": {"type": "text", "text": text},
        "metadata": {"target_agent_id": AGENT},
        "created_at": at,
        **sender,
    }


def test_an_utterance_brings_the_conversation_it_may_create() -> None:
    said = CALL.user("Hello?")
    (item,), _ = encode_batch([said])
    assert item["kind"] == "utterance"
    assert item["row"] == row_of(said)
    assert item["conversation"]["conversation_id"] == CONVERSATION


@pytest.mark.parametrize(("told", "kind"), [(CALL.used(5), "usage"), (CALL.begun(), "session")])
def test_records_of_other_kinds_bring_no_conversation(told: Any, kind: str) -> None:
    (item,), _ = encode_batch([told])
    assert item == {"kind": kind, "row": item["row"]}
    assert item["row"]["id"] == told.id


def test_characters_that_no_text_column_takes_are_replaced_everywhere() -> None:
    odd = CALL.user("a\x00b\ud800c\udfffd 👍", item_id="item\x00")
    (item,), _ = encode_batch([odd])
    assert item["row"]["content"]["text"] == "a\ufffdb\ufffdc\ufffdd 👍"
    assert item["row"]["metadata"]["heard_text"] == "a\ufffdb\ufffdc\ufffdd 👍"
    assert item["row"]["metadata"]["item_id"] == "item\ufffd"


@pytest.mark.parametrize(
    "wrong", [{"position": math.nan}, {"position": math.inf}, {"created_at": 1e300}]
)
def test_a_record_that_cannot_be_a_row_is_refused_alone(wrong: dict[str, Any]) -> None:
    good, answer = CALL.user("Hello?"), CALL.assistant("Yes?")
    said = msgspec.structs.replace(answer.utterance, **wrong)
    bad = msgspec.structs.replace(answer, utterance=said)
    items, refused = encode_batch([bad, good])
    assert [item["row"]["id"] for item in items] == [good.id]
    assert refused == {bad.id: CONSTRAINT}


def test_rows_become_the_records_that_made_them_in_order_and_once() -> None:
    question, answer = CALL.user("One?", 1.0), CALL.assistant("Two.", 2.0)
    rows = [row_of(answer), row_of(question), row_of(answer)]
    assert records_from_rows(rows, LEARNER) == [question, answer]


def test_messages_of_the_text_chat_stand_at_their_time_between_the_calls() -> None:
    later = CALL.of(session_id=LATER_SESSION, started_at=MORNING + 7200)
    rows = [
        row_of(later.user("And now?")),
        written("I write.", "2025-10-09T09:30:00.5+00:00"),
        row_of(CALL.user("I speak.")),
    ]
    records = records_from_rows(rows, LEARNER)
    assert texts(records) == ["I speak.", "I write.", "And now?"]
    assert records[1].utterance.origin == "text"
    assert records[1].head.agent_id == AGENT


@pytest.mark.parametrize(
    "change",
    [
        {"role": "tool"},
        {"role": "system"},
        {"content": {"type": "structured", "data": 1}},
        {"content": {"type": "text", "text": ""}},
        {"content": None},
        {"metadata": None},
        {"metadata": {"voice_session_id": "s"}},
        {"created_at": "yesterday"},
    ],
)
def test_rows_that_are_not_utterances_are_skipped(change: dict[str, Any]) -> None:
    row = written("Hello.", "2025-10-09T09:30:00+00:00") | change
    question = CALL.user("One?")
    assert records_from_rows([row, row_of(question)], LEARNER) == [question]


def test_nothing_is_lost_by_a_correction_on_its_way() -> None:
    better = corrected(CALL.user("I sink so."), "I think so.", seq=4)
    (item,), _ = encode_batch([better])
    assert msgspec.json.decode(msgspec.json.encode(item["row"]))["metadata"]["seq"] == 4
