"""Items: created, placed, retrieved, truncated, deleted, and dropped when there are too many."""

import base64
from typing import Any

import pytest

from relay.engines.cascade import items as conversation
from relay.engines.cascade.effects import RequestRefused
from relay.engines.cascade.items import MAX_ITEMS, CascadeItem, ItemList, user_audio
from relay.parts.simple import tone
from tests.engines.cascade.driving import NO_TURNS, Talk, scripted, types


def message(role: str, **part: Any) -> dict[str, Any]:
    return {"type": "message", "role": role, "content": [part]}


def answered(talk: Talk) -> str:
    """Have the talk's user speak and be answered; return the answer's item id."""
    talk.speak()
    talk.finish()
    return str(talk.last("response.output_item.done")["item"]["id"])


def test_typed_words_are_added_and_done():
    talk = Talk()

    added, done = talk.type("Hello", event_id="c1")

    assert added["item"] == {
        "id": added["item"]["id"],
        "type": "message",
        "status": "completed",
        "role": "user",
        "content": [{"type": "input_text", "text": "Hello"}],
    }
    assert added["item"]["id"].startswith("item_")
    assert done["item"] == added["item"]


def test_a_clients_id_is_kept():
    talk = Talk()
    item = {"id": "mine", **message("user", type="input_text", text="Hello")}

    added, _ = talk.say("conversation.item.create", item=item)

    assert added["item"]["id"] == "mine"
    (error,) = talk.say("conversation.item.create", item=item)
    assert "already exists" in error["error"]["message"]


@pytest.mark.parametrize(
    ("item", "code", "param"),
    [
        ({}, "missing_required_parameter", "item.type"),
        ({"type": "poem"}, "invalid_value", "item.type"),
        ({"type": "message"}, "missing_required_parameter", "item.role"),
        ({"type": "message", "role": "user"}, "missing_required_parameter", "item.content"),
        ({"id": "x" * 33, **message("user")}, "string_above_max_length", "item.id"),
        (message("nobody"), "invalid_value", "item.role"),
        (message("user"), "missing_required_parameter", "item.content[0].type"),
        (message("user", type="text", text="x"), "invalid_value", "item.content[0].type"),
        (message("user", type="output_text", text="x"), "invalid_value", "item.content[0].type"),
        (
            message("user", type="input_text"),
            "missing_required_parameter",
            "item.content[0].text",
        ),
        (
            message("user", type="input_audio", audio="*"),
            "invalid_value",
            "item.content[0].audio",
        ),
        ({"type": "function_call_output"}, "missing_required_parameter", "item.call_id"),
        ({"type": "function_call", "name": "f"}, "missing_required_parameter", "item.arguments"),
    ],
)
def test_items_that_are_refused(item: dict[str, Any], code: str, param: str):
    (error,) = Talk().say("conversation.item.create", item=item)

    assert (error["error"]["code"], error["error"]["param"]) == (code, param)


@pytest.mark.parametrize(
    "item",
    [
        message("system", type="input_text", text="Be kind."),
        message("assistant", type="output_text", text="I said that."),
        {"type": "function_call_output", "call_id": "call_1", "output": "42"},
        {"type": "function_call", "name": "f", "call_id": "call_1", "arguments": "{}"},
    ],
)
def test_other_kinds_of_items(item: dict[str, Any]):
    added, done = Talk().say("conversation.item.create", item=item)

    for name, value in item.items():
        assert added["item"][name] == value
    assert done["type"] == "conversation.item.done"


def test_an_item_goes_where_it_was_asked_to():
    talk = Talk()
    first = talk.type("one")[0]["item"]["id"]
    second = talk.type("two")[0]["item"]["id"]

    front = talk.type("zero", previous_item_id="root")[0]
    middle = talk.type("one and a half", previous_item_id=first)[0]
    last = talk.type("three")[0]
    (error,) = talk.type("never", previous_item_id="nobody")

    assert front["previous_item_id"] is None
    assert middle["previous_item_id"] == first
    assert last["previous_item_id"] == second
    assert error["error"]["code"] == "item_create_invalid_previous_item_id"


def test_audio_in_a_clients_item_is_transcribed():
    talk = Talk(scripted("From afar."))
    audio = base64.b64encode(tone(500)).decode()

    added, _ = talk.say(
        "conversation.item.create", item=message("user", type="input_audio", audio=audio)
    )
    talk.say("response.create")
    talk.finish()

    assert added["item"]["content"] == [{"type": "input_audio", "transcript": None}]
    said = talk.last("response.output_audio_transcript.done")["transcript"]
    assert said == "You said: From afar."


def test_a_retrieved_turn_has_its_sound_and_its_words():
    talk = Talk(scripted("Hello you."))
    talk.say("session.update", session=NO_TURNS)
    talk.append(tone(300))
    user_id = talk.say("input_audio_buffer.commit")[0]["item_id"]
    talk.do_work()

    (retrieved,) = talk.say("conversation.item.retrieve", item_id=user_id)

    (part,) = retrieved["item"]["content"]
    assert base64.b64decode(part["audio"]) == tone(300)
    assert part["transcript"] == "Hello you."


def test_a_retrieved_answer_has_its_sound_until_it_is_truncated():
    talk = Talk(scripted(replies=("Ten chars.",)))
    answer_id = answered(talk)

    (whole,) = talk.say("conversation.item.retrieve", item_id=answer_id)
    (truncated,) = talk.say(
        "conversation.item.truncate", item_id=answer_id, content_index=0, audio_end_ms=250
    )
    (cut,) = talk.say("conversation.item.retrieve", item_id=answer_id)

    assert len(base64.b64decode(whole["item"]["content"][0]["audio"])) == 600 * 48
    assert whole["item"]["content"][0]["transcript"] == "Ten chars."
    assert truncated["audio_end_ms"] == 250
    assert len(base64.b64decode(cut["item"]["content"][0]["audio"])) == 250 * 48
    assert "transcript" not in cut["item"]["content"][0]


def test_an_answer_is_not_longer_than_it_was():
    talk = Talk(scripted(replies=("Ten chars.",)))
    answer_id = answered(talk)
    where = {"item_id": answer_id, "content_index": 0}

    (error,) = talk.say("conversation.item.truncate", **where, audio_end_ms=601)
    (truncated,) = talk.say("conversation.item.truncate", **where, audio_end_ms=600)
    talk.say("conversation.item.truncate", **where, audio_end_ms=0)
    (again,) = talk.say("conversation.item.truncate", **where, audio_end_ms=1)

    assert error["error"]["message"] == "Audio content of 600ms is already shorter than 601ms"
    assert truncated["type"] == "conversation.item.truncated"
    assert again["error"]["message"] == "Audio content of 0ms is already shorter than 1ms"


def test_a_running_answer_is_truncated_within_its_audio_so_far():
    talk = Talk(scripted(replies=("x" * 100,)))
    talk.speak()
    talk.wait(0.06)
    answer_id = talk.last("response.output_item.added")["item"]["id"]
    sent_ms = 250 * len(talk.of("response.output_audio.delta"))
    talk.say("response.cancel")

    (error,) = talk.say(
        "conversation.item.truncate", item_id=answer_id, content_index=0, audio_end_ms=sent_ms + 1
    )

    assert error["error"]["message"].startswith(f"Audio content of {sent_ms}ms")


def test_truncations_that_are_refused():
    talk = Talk()
    user_id = talk.type("Hello")[0]["item"]["id"]
    where = {"content_index": 0, "audio_end_ms": 0}

    (not_sound,) = talk.say("conversation.item.truncate", item_id=user_id, **where)
    (nobody,) = talk.say("conversation.item.truncate", item_id="nobody", **where)
    (negative,) = talk.say(
        "conversation.item.truncate", item_id=user_id, content_index=0, audio_end_ms=-11
    )

    assert not_sound["error"]["code"] == "unsupported_content_type"
    assert nobody["error"]["code"] == "item_truncate_invalid_item_id"
    assert negative["error"]["message"] == (
        "Invalid 'audio_end_ms': integer below minimum value. "
        "Expected a value >= 0, but got -11 instead."
    )


def test_a_deleted_item_is_gone():
    talk = Talk()
    first = talk.type("one")[0]["item"]["id"]
    second = talk.type("two")[0]["item"]["id"]

    deleted = talk.say("conversation.item.delete", item_id=second)

    assert types(deleted) == ["conversation.item.deleted"]
    assert deleted[0]["item_id"] == second
    assert talk.type("three")[0]["previous_item_id"] == first
    for kind, code in (("delete", "item_delete"), ("retrieve", "item_retrieve")):
        (error,) = talk.say(f"conversation.item.{kind}", item_id=second)
        assert error["error"]["code"] == f"{code}_invalid_item_id"


def item(item_id: str, pcm: bytes = b"") -> CascadeItem:
    return user_audio(item_id, pcm)


def ids(held: ItemList) -> list[str]:
    return [entry.id for entry in held]


def test_items_follow_one_another():
    held = ItemList("conv_1")

    assert [held.add(item(name)) for name in "abc"] == [None, "a", "b"]
    assert held.last_id == "c"


def test_an_item_in_the_middle():
    held = ItemList("conv_1")
    for name in "abc":
        held.add(item(name))

    assert held.add(item("x"), held.place("a")) == "a"
    assert held.add(item("y"), held.place("root")) is None
    assert ids(held) == ["y", "a", "x", "b", "c"]


def test_done_has_null_for_the_second_item_only():
    held = ItemList("conv_1")
    for name in "abcd":
        held.add(item(name))

    assert [held.previous_when_done(entry) for entry in held] == [None, None, "b", "c"]


def test_a_deleted_item_closes_the_gap():
    held = ItemList("conv_1")
    for name in "abc":
        held.add(item(name))

    held.delete(held.get("b", "deleting", "x"))

    assert ids(held) == ["a", "c"]
    with pytest.raises(RequestRefused, match="x"):
        held.get("b", "deleting", "x")


def test_the_oldest_items_are_dropped():
    held = ItemList("conv_1")

    for number in range(MAX_ITEMS + 5):
        held.add(item(str(number)))

    assert len(ids(held)) == MAX_ITEMS
    assert ids(held)[0] == "5"


def test_the_oldest_audio_is_dropped_before_any_item(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(conversation, "MAX_BYTES", 10_000)
    held = ItemList("conv_1")

    for name in "abc":
        held.add(item(name, bytes(4_000)))

    assert ids(held) == ["a", "b", "c"]
    assert [len(entry.audio) for entry in held] == [0, 4_000, 4_000]
    assert [entry.audio_ms for entry in held] == [83, 83, 83]


def test_items_that_are_too_large_without_audio_are_dropped(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(conversation, "MAX_BYTES", 10_000)
    held = ItemList("conv_1")

    for name in "abc":
        heavy = item(name)
        heavy.bulk = 4_000
        held.add(heavy)

    assert ids(held) == ["b", "c"]
