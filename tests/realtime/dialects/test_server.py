"""What a server like OpenAI's says and reads, as its sessions and its names show."""

import itertools
import json
from typing import Any

import pytest

from relay.realtime.dialects.server import MOST_OPEN_ITEMS, MOST_TOLD_ITEMS, ServerDialect
from relay.realtime.events import sniff

FLAT = {
    "id": "sess_1",
    "modalities": ["audio", "text"],
    "voice": "alloy",
    "input_audio_format": "pcm16",
    "output_audio_format": "g711_ulaw",
    "input_audio_transcription": {"model": "whisper-1"},
    "turn_detection": {"type": "server_vad"},
    "max_response_output_tokens": "inf",
    "temperature": 0.8,
}
NESTED = {"type": "realtime", "id": "sess_1", "audio": {"output": {"voice": "marin"}}}
ANSWER = {
    "id": "a1",
    "type": "message",
    "role": "assistant",
    "status": "in_progress",
    "content": [],
}
SPOKEN = [{"type": "audio", "transcript": "Hello."}]


def heard(server: ServerDialect, event: dict[str, Any]) -> list[dict[str, Any]]:
    frame = json.dumps(event).encode()
    return [json.loads(bytes(each)) for each in server.down(frame, sniff(frame))]


def asked(server: ServerDialect, event: dict[str, Any]) -> dict[str, Any]:
    return json.loads(bytes(server.up(json.dumps(event).encode())))  # type: ignore[no-any-return]


def types(*events: list[dict[str, Any]]) -> list[str]:
    return [event["type"] for each in events for event in each]


def flat_server() -> ServerDialect:
    server = ServerDialect()
    heard(server, {"type": "session.created", "session": FLAT})
    return server


def test_a_flat_session_is_nested_and_shows_that_the_server_reads_beta() -> None:
    server = ServerDialect()
    (created,) = heard(server, {"type": "session.created", "session": FLAT})
    session = created["session"]
    assert session["type"] == "realtime"
    assert session["audio"]["output"] == {"voice": "alloy", "format": {"type": "audio/pcmu"}}
    assert session["audio"]["input"]["transcription"] == {"model": "whisper-1"}
    assert session["output_modalities"] == ["audio"]
    assert "temperature" not in session
    assert (server.speaks, server.reads_beta) == ("beta", True)


def test_a_server_that_speaks_ga_is_known_by_its_first_delta_and_read_as_it_is() -> None:
    server = ServerDialect()
    created = json.dumps({"type": "session.created", "session": NESTED}).encode()
    assert server.down(created, "session.created") == (created,)
    assert server.speaks == "unknown"  # a server may nest its session and use beta names
    added = {"type": "conversation.item.added", "previous_item_id": None, "item": ANSWER}
    assert heard(server, added) == [added]
    delta = b'{"type":"response.output_audio.delta","item_id":"a1","delta":"AAAA"}'
    assert server.down(delta, "response.output_audio.delta") == (delta,)
    assert (server.speaks, server.reads_beta) == ("ga", False)


def test_beta_names_of_a_server_with_a_nested_session_are_translated_and_it_is_sent_ga() -> None:
    server = ServerDialect()
    heard(server, {"type": "session.created", "session": NESTED})
    delta = {"type": "response.audio.delta", "item_id": "a1", "delta": "AAAA"}
    assert types(heard(server, delta)) == ["response.output_audio.delta"]
    update = {"type": "session.update", "session": NESTED}
    assert asked(server, update) == update


def test_a_delta_is_told_with_its_type_first_and_its_sound_last() -> None:
    late = b'{"delta":"AAAA","item_id":"a1","response_id":"r1","type":"response.audio.delta"}'
    (frame,) = flat_server().down(late, sniff(late))
    assert list(json.loads(bytes(frame))) == ["type", "item_id", "response_id", "delta"]
    early = b'{"type":"response.audio.delta","delta":"AAAA","item_id":"a1"}'
    (frame,) = flat_server().down(early, sniff(early))
    assert bytes(frame) == b'{"type":"response.output_audio.delta","item_id":"a1","delta":"AAAA"}'


def test_every_name_of_an_answer_is_translated() -> None:
    server = flat_server()
    for kind in ("audio.done", "audio_transcript.delta", "audio_transcript.done", "text.delta"):
        (event,) = heard(server, {"type": f"response.{kind}", "item_id": "a1"})
        assert event["type"] == f"response.output_{kind}"
    part = {"type": "response.content_part.added", "item_id": "a1", "part": {"type": "audio"}}
    assert heard(server, part) == [part]


def test_an_item_of_an_answer_is_complete_where_its_output_ends() -> None:
    server = flat_server()
    beside = {"response_id": "r1", "output_index": 0}
    begun = heard(server, {"type": "response.output_item.added", **beside, "item": ANSWER})
    created = {"type": "conversation.item.created", "previous_item_id": "u1", "item": ANSWER}
    added = heard(server, created)
    said = {**ANSWER, "status": "completed", "content": SPOKEN}
    ended = heard(server, {"type": "response.output_item.done", **beside, "item": said})
    assert types(begun, added, ended) == [
        "response.output_item.added",
        "conversation.item.added",
        "conversation.item.done",
        "response.output_item.done",
    ]
    assert ended[0]["previous_item_id"] == "u1"
    content = [{"type": "output_audio", "transcript": "Hello."}]
    assert ended[0]["item"]["content"] == ended[1]["item"]["content"] == content


def test_what_was_cut_is_complete_with_its_response() -> None:
    server = flat_server()
    heard(server, {"type": "response.output_item.added", "response_id": "r1", "item": ANSWER})
    heard(server, {"type": "conversation.item.created", "previous_item_id": None, "item": ANSWER})
    cut = {**ANSWER, "status": "incomplete"}
    response = {"id": "r1", "status": "cancelled", "modalities": ["audio", "text"], "output": [cut]}
    ended = heard(server, {"type": "response.done", "response": response})
    assert types(ended) == ["conversation.item.done", "response.done"]
    assert ended[1]["response"]["output_modalities"] == ["audio"]
    assert types(heard(server, {"type": "response.done", "response": response})) == [
        "response.done"
    ]


def test_an_item_that_is_no_answers_is_complete_at_once() -> None:
    user = {"id": "u1", "type": "message", "role": "user", "status": "completed", "content": []}
    created = {"type": "conversation.item.created", "previous_item_id": "a0", "item": user}
    added, done = heard(flat_server(), {**created, "event_id": "e1"})
    assert (added["type"], done["type"]) == ("conversation.item.added", "conversation.item.done")
    assert added["item"] == done["item"] == user
    assert added["previous_item_id"] == done["previous_item_id"] == "a0"
    assert added["event_id"] != done["event_id"]


def test_ga_names_are_told_once_by_whoever_uses_them() -> None:
    server = flat_server()
    heard(server, {"type": "response.output_item.added", "response_id": "r1", "item": ANSWER})
    heard(server, {"type": "conversation.item.added", "previous_item_id": None, "item": ANSWER})
    done = {"type": "response.output_item.done", "response_id": "r1", "item": ANSWER}
    assert types(heard(server, done)) == ["response.output_item.done"]


USER = {"id": "u1", "type": "message", "role": "user", "status": "completed", "content": []}


def named(kind: str, item: dict[str, Any]) -> dict[str, Any]:
    return {"type": f"conversation.item.{kind}", "previous_item_id": None, "item": item}


@pytest.mark.parametrize(
    "order", list(itertools.permutations(["created", "added", "done"])), ids=str
)
def test_an_item_that_is_told_under_both_names_is_told_once(order: tuple[str, ...]) -> None:
    server = flat_server()
    told = types(*(heard(server, named(kind, USER)) for kind in order))
    assert sorted(told) == ["conversation.item.added", "conversation.item.done"]


def test_what_a_server_repeats_under_one_name_is_repeated() -> None:
    server = ServerDialect()
    told = types(*(heard(server, named("added", USER)) for _ in range(2)))
    assert told == ["conversation.item.added", "conversation.item.added"]


@pytest.mark.parametrize("first", ["created", "added"])
@pytest.mark.parametrize("done", ["before", "after", "never"])
def test_so_is_an_answer_whoever_tells_its_end(first: str, done: str) -> None:
    server = flat_server()
    second = "added" if first == "created" else "created"
    said = {**ANSWER, "status": "completed", "content": SPOKEN}
    output = {"type": "response.output_item.done", "response_id": "r1", "item": said}
    own = [named("done", said)] if done != "never" else []
    ends = [*own, output] if done == "before" else [output, *own]
    events = [named(first, ANSWER), named(second, ANSWER), *ends]
    told = types(*(heard(server, event) for event in events))
    assert [kind for kind in told if kind.startswith("conversation")] == [
        "conversation.item.added",
        "conversation.item.done",
    ]


def test_a_server_with_ga_sound_that_says_created_as_well_is_read_to_the_end() -> None:
    server = ServerDialect()
    heard(server, {"type": "session.created", "session": NESTED})
    events = [named("added", USER), named("created", USER), named("done", USER)]
    assert len(types(*(heard(server, event) for event in events))) == 2
    delta = {"type": "response.output_audio.delta", "item_id": "a1", "delta": "AAAA"}
    assert heard(server, delta) == [delta]
    assert server.speaks == "beta", "it is not passed by from here on"
    again = {**USER, "id": "u2"}
    events = [named("created", again), named("added", again), named("done", again)]
    assert len(types(*(heard(server, event) for event in events))) == 2


def test_an_item_that_was_deleted_may_be_made_again() -> None:
    server = flat_server()
    both = [named("created", USER), named("added", USER)]
    deleted = {"type": "conversation.item.deleted", "item_id": "u1"}
    told = types(*(heard(server, event) for event in (*both, deleted, *both)))
    made = ["conversation.item.added", "conversation.item.done"]
    assert told == [*made, "conversation.item.deleted", *made]


def test_of_what_was_told_only_the_latest_is_remembered() -> None:
    server = flat_server()
    for number in range(3 * MOST_TOLD_ITEMS):
        heard(server, named("created", {**USER, "id": f"u{number}"}))
    assert len(server._told) == 2 * MOST_TOLD_ITEMS
    last = {**USER, "id": f"u{3 * MOST_TOLD_ITEMS - 1}"}
    assert heard(server, named("added", last)) == []


def test_a_server_that_reads_beta_is_sent_flat_settings_without_what_it_never_knew() -> None:
    nested = {
        "type": "realtime",
        "instructions": "Be kind.",
        "output_modalities": ["audio"],
        "truncation": "auto",
        "max_output_tokens": 400,
        "audio": {
            "input": {"format": {"type": "audio/pcm", "rate": 24000}, "turn_detection": None},
            "output": {"voice": "marin"},
        },
    }
    sent = asked(flat_server(), {"type": "session.update", "event_id": "e1", "session": nested})
    assert sent == {
        "type": "session.update",
        "event_id": "e1",
        "session": {
            "instructions": "Be kind.",
            "modalities": ["audio", "text"],
            "max_response_output_tokens": 400,
            "input_audio_format": "pcm16",
            "turn_detection": None,
            "voice": "marin",
        },
    }


def test_a_server_that_reads_beta_is_sent_beta_responses_and_items() -> None:
    server = flat_server()
    item = {
        "type": "message",
        "role": "assistant",
        "content": [{"type": "output_text", "text": "Hi"}],
    }
    beta_content = [{"type": "text", "text": "Hi"}]
    response = {"output_modalities": ["text"], "max_output_tokens": 9, "input": [item]}
    sent = asked(server, {"type": "response.create", "response": response})["response"]
    assert sent["modalities"] == ["text"]
    assert sent["max_response_output_tokens"] == 9
    assert sent["input"][0]["content"] == beta_content
    assert sent.keys() == {"modalities", "max_response_output_tokens", "input"}
    created = asked(server, {"type": "conversation.item.create", "item": item})
    assert created["item"]["content"] == beta_content
    bare: dict[str, Any] = {"type": "response.create"}
    assert asked(server, bare) == bare


def test_sound_and_what_is_no_event_pass_as_they_are() -> None:
    server = flat_server()
    append = b'{"type":"input_audio_buffer.append","audio":"AAAA"}'
    assert server.up(append) is append
    for frame in (b"", b"null", b"[]", b'{"type":"session.created"', b'{"type":"response.done"}'):
        assert server.down(frame, sniff(frame)) == (frame,)


def test_a_server_that_never_ends_its_items_is_not_remembered_for_ever() -> None:
    server = flat_server()
    for number in range(2 * MOST_OPEN_ITEMS):
        item = {**ANSWER, "id": f"a{number}"}
        heard(server, {"type": "response.output_item.added", "response_id": "r1", "item": item})
    assert len(server._open) == MOST_OPEN_ITEMS
