"""Records as rows of S3's tables and the relay's own, and back."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.realtime.billing.usage import Usage, UsageLine
from relay.realtime.records import Record, SessionRecord, UsageRecord, newest, usage_id
from relay.stores.rows import (
    action_row,
    conversation_row,
    message_row,
    record_from_row,
    seconds,
    session_row,
    timestamp,
    usage_row,
)
from tests.stores.words import AGENT, COACH, CONVERSATION, LEARNER, MORNING, SESSION, Call, marked

CALL = Call()
KEY = "77777777-7777-4777-8777-777777777777"


def test_S3_34_the_conversations_row() -> None:
    assert conversation_row(CALL.user("Hi.").head) == {
        "id": CONVERSATION,
        "conversation_id": CONVERSATION,
        "user_id": LEARNER,
        "agent_id": AGENT,
        "title": "Voice Chat",
        "started_at": "2025-10-09T08:53:20.250000+00:00",
        "last_active": "2025-10-09T08:53:20.250000+00:00",
        "session_state": {"started_via": "realtime_voice"},
        "status": "active",
    }


def test_only_a_row_that_the_client_deleted_for_the_model_says_so() -> None:
    said = CALL.user("My name is Ada.")
    deleted = marked(said, seq=2)
    assert "deleted_for_model" not in message_row(said, KEY)["metadata"]
    row = message_row(deleted, KEY)
    assert row["metadata"]["deleted_for_model"] is True
    assert row["content"] == {"type": "text", "text": "My name is Ada."}
    assert record_from_row(row, LEARNER) == deleted


def test_S3_31_the_row_of_a_users_utterance() -> None:
    said = CALL.user("Good morning.", 1.0, seq=3, audio_ms=800)
    assert message_row(said, KEY) == {
        "id": said.id,
        "conversation_id": CONVERSATION,
        "session_id": KEY,
        "sender_user_id": LEARNER,
        "sender_agent_id": None,
        "role": "user",
        "content": {"type": "text", "text": "Good morning."},
        "metadata": {
            "voice_session_id": SESSION,
            "session_started_at": "2025-10-09T08:53:20.250000+00:00",
            "item_id": "item_1",
            "content_index": 0,
            "seq": 3,
            "position": 1.0,
            "state": "final",
            "heard_text": "Good morning.",
            "heard_ms": None,
            "heard_estimated": False,
            "audio_ms": 800,
            "model": "gpt-realtime",
            "voice": "marin",
            "input_method": "realtime_voice",
            "audio_stored": False,
            "target_agent_id": AGENT,
        },
        "created_at": "2025-10-09T08:53:21.250000+00:00",
    }


def test_S3_32_the_row_of_an_assistants_utterance() -> None:
    row = message_row(CALL.assistant("Good evening."), KEY)
    assert (row["role"], row["sender_agent_id"], row["sender_user_id"]) == (
        "assistant",
        AGENT,
        None,
    )
    assert (row["metadata"]["voice"], row["metadata"]["model"]) == ("marin", "gpt-realtime")
    assert "target_agent_id" not in row["metadata"]


def test_S3_37_an_interrupted_answer_is_stored_as_far_as_it_was_heard() -> None:
    cut = CALL.assistant("Once upon a time.", heard_text="Once upon", state="interrupted")
    row = message_row(cut, KEY)
    assert row["content"] == {"type": "text", "text": "Once upon"}
    assert row["metadata"]["state"] == "interrupted"
    assert row["metadata"]["full_text"] == "Once upon a time."


def test_an_unheard_answer_shows_no_text_but_keeps_it() -> None:
    row = message_row(CALL.assistant("Too late.", heard_text="", state="unheard"), KEY)
    assert row["content"]["text"] == ""
    assert row["metadata"]["full_text"] == "Too late."


def test_a_coachs_utterance_has_the_assistants_role_and_names_the_coach() -> None:
    said = CALL.assistant("Let me take this one.", coach_id=COACH)
    row = message_row(said, KEY)
    assert (row["role"], row["sender_user_id"], row["sender_agent_id"]) == (
        "assistant",
        COACH,
        None,
    )
    assert row["metadata"]["target_agent_id"] == AGENT
    assert record_from_row(row, LEARNER) == said


def test_what_a_coach_did_is_a_row_of_the_audit() -> None:
    row = action_row(CALL.done("whisper", mode="say", text="Ask her name."))
    assert (row["coach_id"], row["action"], row["session_id"]) == (COACH, "whisper", SESSION)
    assert row["details"] == {"mode": "say", "text": "Ask her name."}


@pytest.mark.parametrize(
    ("origin", "method"), [("voice", "realtime_voice"), ("text", "text"), ("seeded", "seeded")]
)
def test_the_input_method_of_each_origin(origin: str, method: str) -> None:
    row = message_row(CALL.user("Hello.", origin=origin), KEY)
    assert row["metadata"]["input_method"] == method


def test_S3_41_rows_hold_text_and_numbers_only() -> None:
    row = message_row(CALL.assistant("Words.", audio_ms=900), KEY)
    assert row["metadata"]["audio_stored"] is False
    assert b'"audio"' not in msgspec.json.encode(row)
    assert {type(value) for value in row["metadata"].values()} <= {
        str,
        int,
        float,
        bool,
        type(None),
    }


@pytest.mark.parametrize(
    "record",
    [
        CALL.user("I typed this.", origin="text"),
        CALL.assistant("Cut sh", heard_text="Cut", state="interrupted", heard_ms=3, audio_ms=9),
        CALL.assistant("A second part.", content_index=2, origin="seeded"),
    ],
)
def test_a_row_gives_the_record_back(record: Record) -> None:
    assert record_from_row(message_row(record, KEY), LEARNER) == record


def test_times_sort_as_text_and_keep_their_microseconds() -> None:
    moments = [MORNING, MORNING + 0.000001, MORNING + 1, MORNING + 1e7]
    written = [timestamp(moment) for moment in moments]
    assert written == sorted(written)
    assert [seconds(text) for text in written] == moments


def test_usage_is_a_row_a_session_model_and_day() -> None:
    line = UsageLine(model="gpt-realtime", day=20_778, usage=Usage(audio_in=10, text_out=2), seq=3)
    head = CALL.user("Hello").head
    row = usage_row(UsageRecord(id=usage_id(SESSION, line), head=head, line=line, micro=320))
    assert row["day"] == "2026-11-21"
    assert (row["audio_in"], row["text_out"], row["cost_micro"]) == (10, 2, 320)
    assert (row["voice_session_id"], row["user_id"], row["seq"]) == (SESSION, LEARNER, 3)


def test_a_call_is_one_row_from_its_beginning_to_its_end() -> None:
    head = CALL.user("Hello").head
    begun = SessionRecord(id=SESSION, head=head, seq=1, door="browser", engine="openai")
    ended = msgspec.structs.replace(begun, seq=2, ended_at=MORNING + 60, ending="client_left")
    assert session_row(begun)["ended_at"] is None
    assert session_row(ended)["id"] == session_row(begun)["id"] == SESSION
    assert seconds(session_row(ended)["ended_at"]) == MORNING + 60


@given(st.floats(1_700_000_000, 1_900_000_000))
def test_what_was_stored_and_what_still_waits_of_one_session_keep_their_order(
    started_at: float,
) -> None:
    call = CALL.of(started_at=started_at)
    stored = record_from_row(message_row(call.user("First.", 1.0), KEY), LEARNER)
    assert newest([call.assistant("Second.", 2.0), stored]) == [
        stored,
        call.assistant("Second.", 2.0),
    ]
    later = record_from_row(message_row(call.assistant("Second.", 2.0), KEY), LEARNER)
    assert newest([later, call.user("First.", 1.0)]) == [call.user("First.", 1.0), later]
