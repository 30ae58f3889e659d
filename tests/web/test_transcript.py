"""The client's transcript: GA events in, utterances in conversation order out (PROTOCOL §5)."""

from typing import Any

import pytest
from playwright.async_api import Page

from tests.components import needs

pytestmark = [needs("chromium"), pytest.mark.asyncio(loop_scope="session")]

APPLY = """async ([events, over]) => {
  const { Transcript } = await import("/client/transcript.js");
  const transcript = new Transcript();
  for (const event of events) transcript.apply(event);
  if (over) transcript.settle();
  return transcript.entries.map(({ id, role, state, text, heard }) => (
    { id, role, state, text, heard }));
}"""

Event = dict[str, Any]


async def entries(blank_page: Page, *events: Event, over: bool = False) -> list[dict[str, Any]]:
    return list(await blank_page.evaluate(APPLY, [list(events), over]))


async def told(blank_page: Page, *events: Event, over: bool = False) -> list[str]:
    """Each utterance on one line: item, state, text."""
    shown = await entries(blank_page, *events, over=over)
    return [f"{entry['id']} {entry['state']}: {entry['text']}" for entry in shown]


def started(item: str) -> Event:
    return {"type": "input_audio_buffer.speech_started", "item_id": item}


def committed(item: str, previous: str | None) -> Event:
    return {
        "type": "input_audio_buffer.committed",
        "item_id": item,
        "previous_item_id": previous,
    }


def added(item: str, role: str, previous: str | None, text: str | None = None) -> Event:
    content = [] if text is None else [{"type": "input_text", "text": text}]
    message = {"id": item, "type": "message", "role": role, "content": content}
    return {"type": "conversation.item.added", "previous_item_id": previous, "item": message}


def done(item: str, role: str, status: str = "completed", kind: str = "message") -> Event:
    message = {"id": item, "type": kind, "role": role, "status": status, "content": []}
    return {"type": "conversation.item.done", "previous_item_id": None, "item": message}


def understood(item: str, text: str) -> Event:
    return {
        "type": "conversation.item.input_audio_transcription.completed",
        "item_id": item,
        "content_index": 0,
        "transcript": text,
    }


def hears(item: str, delta: str) -> Event:
    return {
        "type": "conversation.item.input_audio_transcription.delta",
        "item_id": item,
        "content_index": 0,
        "delta": delta,
    }


def says(item: str, delta: str, index: int = 0) -> Event:
    return {
        "type": "response.output_audio_transcript.delta",
        "item_id": item,
        "content_index": index,
        "delta": delta,
    }


def said(item: str, transcript: str) -> Event:
    return {
        "type": "response.output_audio_transcript.done",
        "item_id": item,
        "content_index": 0,
        "transcript": transcript,
    }


def sounds(item: str, milliseconds: int) -> Event:
    return {
        "type": "response.output_audio.delta",
        "item_id": item,
        "delta": "A" * (milliseconds * 64),
    }


def truncated(item: str, milliseconds: int) -> Event:
    return {
        "type": "conversation.item.truncated",
        "item_id": item,
        "content_index": 0,
        "audio_end_ms": milliseconds,
    }


async def test_a_transcript_before_its_item_5_1(blank_page):
    assert await told(
        blank_page,
        started("U1"),
        hears("U1", " Hel"),
        hears("U1", "lo"),
        committed("U1", None),
        added("U1", "user", None),
        understood("U1", "Hello.\n"),
    ) == ["U1 final: Hello."]


async def test_the_order_is_that_of_the_conversation_not_of_arrival(blank_page):
    assert await told(
        blank_page,
        started("U1"),
        committed("U1", None),
        started("U2"),  # speaks on before the answer has begun
        added("A1", "assistant", "U1"),
        says("A1", "Well"),
        committed("U2", "A1"),
        understood("U2", "second"),
        understood("U1", "first"),
    ) == ["U1 final: first", "A1 partial: Well", "U2 final: second"]


async def test_an_answer_comes_before_the_speech_during_it(blank_page):
    assert await told(
        blank_page,
        started("U1"),
        committed("U1", None),
        understood("U1", "first"),
        started("U2"),
        hears("U2", "and"),
        added("A1", "assistant", "U1"),
        says("A1", "Well"),
    ) == ["U1 final: first", "A1 partial: Well", "U2 partial: and"]


async def test_the_first_announced_position_counts(blank_page):
    assert await told(
        blank_page,
        added("U1", "user", None, "one"),
        added("U2", "user", "U1", "two"),
        added("U3", "user", "U2", "three"),
        added("U3", "user", "U1", "three"),
    ) == ["U1 final: one", "U2 final: two", "U3 final: three"]


async def test_a_null_in_done_does_not_move_an_item_5_3(blank_page):
    assert await told(
        blank_page,
        added("U1", "user", None, "one"),
        added("A1", "assistant", "U1"),
        says("A1", "two"),
        done("A1", "assistant"),
        added("U2", "user", "A1", "three"),
    ) == ["U1 final: one", "A1 final: two", "U2 final: three"]


async def test_a_repeated_completed_replaces_5_9(blank_page):
    assert await told(
        blank_page,
        started("U1"),
        understood("U1", "I"),
        understood("U1", "I want"),
        hears("U1", ""),
    ) == ["U1 partial: I want"]


async def test_an_empty_turn_is_not_shown_5_8(blank_page):
    assert await told(blank_page, started("U1"), committed("U1", None), understood("U1", "")) == []


async def test_a_failed_turn_is_5_7(blank_page):
    failed = {"type": "conversation.item.input_audio_transcription.failed", "item_id": "U1"}
    assert await told(blank_page, started("U1"), committed("U1", None), failed) == ["U1 failed: "]


async def test_a_false_start_is_removed_when_speech_follows_5_21(blank_page):
    assert await told(blank_page, started("U1")) == ["U1 partial: "]
    assert await told(blank_page, started("U1"), started("U2")) == ["U2 partial: "]
    assert await told(blank_page, started("U1"), committed("U1", None), started("U2")) == [
        "U1 partial: ",
        "U2 partial: ",
    ]


async def test_items_of_one_answer_interleave_5_11(blank_page):
    assert await told(
        blank_page,
        added("A1", "assistant", None),
        says("A1", "One "),
        added("A2", "assistant", "A1"),
        says("A2", "Two"),
        says("A1", "moment."),
        said("A1", "One moment."),
    ) == ["A1 partial: One moment.", "A2 partial: Two"]


async def test_parts_of_one_item_are_joined_in_their_order(blank_page):
    assert await told(
        blank_page, added("A1", "assistant", None), says("A1", " world", 1), says("A1", "Hello", 0)
    ) == ["A1 partial: Hello world"]


async def test_an_answer_that_was_cut_5_4(blank_page):
    (entry,) = await entries(
        blank_page,
        added("A1", "assistant", None),
        said("A1", "Two seconds of speech."),
        *[sounds("A1", 250)] * 8,
        done("A1", "assistant"),
        truncated("A1", 500),
    )
    assert (entry["state"], entry["text"]) == ("interrupted", "Two seconds of speech.")
    assert entry["heard"] == pytest.approx(0.25)


async def test_an_answer_that_was_cancelled_is_interrupted(blank_page):
    assert await told(
        blank_page,
        added("A1", "assistant", None),
        said("A1", "I was"),
        done("A1", "assistant", "incomplete"),
    ) == ["A1 interrupted: I was"]


async def test_truncated_and_then_done_stays_interrupted_5_5(blank_page):
    assert await told(
        blank_page,
        added("A1", "assistant", None),
        said("A1", "I was"),
        truncated("A1", 0),
        done("A1", "assistant"),
    ) == ["A1 interrupted: I was"]


async def test_a_deleted_item_goes_and_its_followers_stay_5_17(blank_page):
    deleted = {"type": "conversation.item.deleted", "item_id": "A1"}
    assert await told(
        blank_page,
        added("U1", "user", None, "one"),
        added("A1", "assistant", "U1"),
        says("A1", "two"),
        deleted,
        added("U2", "user", "A1", "three"),
    ) == ["U1 final: one", "U2 final: three"]


async def test_only_messages_of_user_and_assistant_are_shown_5_19(blank_page):
    call = {"id": "F1", "type": "function_call", "name": "x"}
    assert (
        await told(
            blank_page,
            added("S1", "system", None, "No speech was heard."),
            {"type": "conversation.item.added", "previous_item_id": "S1", "item": call},
            done("F1", "", kind="function_call"),
        )
        == []
    )


async def test_the_end_of_a_call_leaves_no_partial_utterance(blank_page):
    assert await told(
        blank_page,
        added("A1", "assistant", None),
        says("A1", "I was ab"),
        started("U1"),
        hears("U1", " But"),
        started("U2"),
        over=True,
    ) == ["A1 interrupted: I was ab", "U1 failed:  But"]
