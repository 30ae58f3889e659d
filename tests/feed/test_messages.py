"""The API's JSON of utterances, partials and times."""

import json

import msgspec

from relay.feed.messages import (
    Message,
    SessionMessage,
    final_message,
    iso,
    partial_message,
    utterance_info,
)
from relay.realtime.transcript import InterimTranscript
from relay.stores.rows import message_row, record_from_row
from tests.feed.calls import HEAD, WORDS
from tests.stores.words import marked


def test_an_utterance_field_by_field() -> None:
    record = WORDS.assistant(
        "At nine, and on Sundays it does not.",
        heard_text="At nine, and",
        state="interrupted",
        heard_ms=900,
        audio_ms=2600,
        heard_estimated=True,
    )
    assert msgspec.to_builtins(utterance_info(record)) == {
        "id": record.id,
        "session_id": HEAD.session_id,
        "item_id": "item_2",
        "content_index": 0,
        "seq": 2,
        "position": 2.0,
        "speaker": "model",
        "role": "assistant",
        "text": "At nine, and on Sundays it does not.",
        "heard_text": "At nine, and",
        "state": "interrupted",
        "origin": "voice",
        "created_at": "2025-10-09T08:53:22.250000+00:00",
        "heard_ms": 900,
        "heard_estimated": True,
        "audio_ms": 2600,
        "deleted_for_model": False,
    }
    assert utterance_info(marked(record, seq=3)).deleted_for_model


def test_an_utterance_looks_the_same_from_memory_and_from_the_store() -> None:
    record = WORDS.user("Hello.", 1.1234567, item_id="u")
    row = message_row(record, "00000000-0000-4000-8000-000000000000")
    assert utterance_info(record_from_row(row, HEAD.user_id)) == utterance_info(record)


def test_a_message_says_its_type_and_is_read_back_by_it() -> None:
    final = final_message(WORDS.user("Hello."))
    text = msgspec.json.encode(final)
    assert json.loads(text)["type"] == "final"
    assert msgspec.json.decode(text, type=Message) == final
    assert SessionMessage.__struct_config__.tag == "session"


def test_half_a_character_of_a_partial_is_replaced() -> None:
    shown = partial_message(InterimTranscript("item", 0, "assistant", "well \ud83d"))
    assert msgspec.json.encode(shown)
    assert shown.text == "well ?"


def test_times_sort_as_text() -> None:
    assert iso(0.000001) < iso(1.0) < iso(1e9)
