"""Item writers: the pieces and the events of one output."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.engines.cascade import items as conversation
from relay.engines.cascade.effects import EffectBuffer, Emit
from relay.engines.cascade.items import ItemList, user_audio
from relay.engines.cascade.outputs import (
    MessageWriter,
    OutputDelivery,
    OutputSlot,
    Pace,
    split,
    split_json,
)
from relay.parts.interfaces import SpokenMessage

SECOND = 48_000


def a_writer(
    message: SpokenMessage, *, spoken: bool, known: ItemList | None = None
) -> tuple[MessageWriter, EffectBuffer]:
    out = EffectBuffer(lambda prefix: f"{prefix}_new")
    return MessageWriter(OutputSlot("resp_1", 2, known, out), message, spoken, Pace()), out


def events(out: EffectBuffer) -> list[dict[str, Any]]:
    return [effect.event for effect in out.take() if isinstance(effect, Emit)]


def deliver_all(writer: MessageWriter) -> None:
    writer.open()
    while writer.delivery is not None and not writer.delivery.finished:
        for piece in writer.delivery.take():
            writer.write(piece)


def test_only_speech_waits_for_its_synthesis():
    text, _ = a_writer(SpokenMessage("Hello."), spoken=False)
    aloud, _ = a_writer(SpokenMessage("Hello."), spoken=True)
    echoed, _ = a_writer(SpokenMessage("Hello.", pcm=bytes(SECOND)), spoken=True)

    assert text.delivery is not None
    assert aloud.delivery is None
    assert echoed.delivery is not None
    aloud.deliver(bytes(SECOND))
    assert aloud.delivery is not None


def test_every_event_says_where_it_belongs():
    writer, out = a_writer(SpokenMessage("Hello there."), spoken=True)
    writer.deliver(bytes(SECOND))
    deliver_all(writer)
    writer.close("completed")

    for event in events(out):
        assert (event["response_id"], event["output_index"]) == ("resp_1", 2)


def test_a_phase_is_in_every_event_from_the_first_on():
    writer, out = a_writer(SpokenMessage("One moment.", phase="commentary"), spoken=False)
    deliver_all(writer)
    writer.close("completed")

    bodies = [event["item"] for event in events(out) if "item" in event]
    assert [body["phase"] for body in bodies] == ["commentary", "commentary"]
    assert [body["status"] for body in bodies] == ["in_progress", "completed"]


def test_an_item_is_announced_when_it_is_opened():
    writer, out = a_writer(SpokenMessage("Hello."), spoken=False)

    assert writer.items == []
    assert events(out) == []
    writer.open()
    assert [item.id for item in writer.items] == ["item_new"]


def test_in_a_conversation_it_follows_the_item_before_it():
    known = ItemList("conv_1")
    known.add(user_audio("item_user", b""))
    writer, out = a_writer(SpokenMessage("Hello."), spoken=False, known=known)
    deliver_all(writer)
    writer.close("completed")

    added, done = (event for event in events(out) if event["type"].startswith("conversation.item"))
    assert added["previous_item_id"] == "item_user"
    assert done["previous_item_id"] is None  # the second item of a conversation: the quirk


def test_the_sound_of_an_answer_counts_towards_what_a_conversation_remembers(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(conversation, "MAX_BYTES", SECOND)
    known = ItemList("conv_1")
    known.add(user_audio("item_user", bytes(SECOND // 2)))
    writer, _ = a_writer(SpokenMessage("Hello."), spoken=True, known=known)
    writer.deliver(bytes(SECOND // 2))
    deliver_all(writer)

    writer.close("completed")

    assert [len(item.audio) for item in known] == [0, SECOND // 2]


def test_an_incomplete_message_keeps_what_was_sent():
    writer, _ = a_writer(SpokenMessage("One two three four five six seven eight."), spoken=True)
    writer.deliver(bytes(2 * SECOND))
    writer.open()
    assert writer.delivery is not None
    for piece in writer.delivery.take():
        writer.write(piece)

    writer.close("incomplete")

    (item,) = writer.items
    assert item.audio_ms == 250
    assert len(item.audio) == SECOND // 4
    assert item.words == "One two three four"
    assert item.body["status"] == "incomplete"


def test_an_empty_message_is_a_whole_item():
    writer, out = a_writer(SpokenMessage(""), spoken=False)
    deliver_all(writer)
    writer.close("completed")

    last = events(out)[-1]
    assert last["item"]["content"] == [{"type": "output_text", "text": ""}]


@given(st.text())
def test_words_joined_are_the_text(text: str):
    assert "".join(split(text)) == text
    assert "".join(split_json(text)) == text


def test_arguments_are_split_like_a_models_tokens():
    assert split_json('{"city":"London"}') == ['{"', "city", '":"', "London", '"}']


def test_words_carry_the_space_before_them():
    assert split("Hello, my name.\n") == ["Hello,", " my", " name.", "\n"]


def test_audio_is_sent_every_quarter_second_divided_by_the_burst():
    delivery = OutputDelivery([], bytes(48 * 1000), Pace(burst=5))

    assert delivery.step == pytest.approx(0.05)
    for _ in range(4):
        assert not delivery.finished
        assert [len(piece) for piece in delivery.take()] == [12_000]
    assert delivery.finished


def test_text_is_sent_word_by_word():
    delivery = OutputDelivery(split("One two three."), None, Pace(text_seconds=0.5))

    assert delivery.step == 0.5
    assert delivery.take() == ["One"]
    assert delivery.text == "One"
    assert delivery.take() + delivery.take() == [" two", " three."]
    assert delivery.finished


def test_an_empty_text_is_finished_at_once():
    assert OutputDelivery([], None, Pace()).finished
    assert OutputDelivery([], b"", Pace()).finished


def test_words_with_empty_audio_are_sent():
    delivery = OutputDelivery(split("One two three four five six."), b"", Pace())

    assert "".join(map(str, delivery.take())) == "One two three four five six."
    assert delivery.finished


@given(st.text(max_size=40), st.integers(0, 100_000), st.integers(0, 12))
def test_the_sent_words_are_always_a_prefix_of_the_text(text: str, size: int, takes: int):
    pcm = bytes(size)
    delivery = OutputDelivery(split(text), pcm, Pace(burst=1))

    pieces = [piece for _ in range(takes) for piece in delivery.take()]

    words = "".join(piece for piece in pieces if isinstance(piece, str))
    assert text.startswith(words)
    assert words == delivery.text
    assert delivery.audio_bytes == sum(len(p) for p in pieces if isinstance(p, bytes))
    assert delivery.audio == pcm[: delivery.audio_bytes]
