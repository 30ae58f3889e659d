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
    Segment,
    split,
    split_json,
)
from relay.parts.interfaces import SpokenMessage

SECOND = 48_000


def a_writer(
    message: SpokenMessage, *, spoken: bool, known: ItemList | None = None
) -> tuple[MessageWriter, EffectBuffer]:
    out = EffectBuffer(lambda prefix: f"{prefix}_new")
    writer = MessageWriter(OutputSlot("resp_1", 2, known, out), spoken, Pace(), message.phase)
    writer.add_text(message.text)
    writer.end_text()
    return writer, out


def speak(writer: MessageWriter, size: int) -> None:
    """Give the next sentence of a writer its audio."""
    spoken = writer.next_to_speak()
    assert spoken is not None
    _, segment = spoken
    segment.pcm = bytearray(size)
    segment.whole = True


def events(out: EffectBuffer) -> list[dict[str, Any]]:
    return [effect.event for effect in out.take() if isinstance(effect, Emit)]


def deliver_all(writer: MessageWriter) -> None:
    writer.open()
    while not writer.delivery.finished:
        for piece in writer.delivery.take():
            writer.write(piece)


def test_only_speech_waits_for_its_synthesis():
    text, _ = a_writer(SpokenMessage("Hello."), spoken=False)
    aloud, _ = a_writer(SpokenMessage("Hello."), spoken=True)

    assert text.delivery.ready
    assert not aloud.delivery.ready
    speak(aloud, SECOND)
    assert aloud.delivery.ready


def test_a_sentence_is_spoken_while_the_next_is_written():
    out = EffectBuffer(lambda prefix: f"{prefix}_new")
    writer = MessageWriter(OutputSlot("resp_1", 0, None, out), True, Pace())

    writer.add_text("It is foggy")
    assert writer.next_to_speak() is None
    writer.add_text(" now. Take")
    spoken = writer.next_to_speak()

    assert spoken is not None
    assert spoken[0] == "It is foggy now."
    assert not writer.delivery.complete


def test_at_most_two_sentences_are_spoken_ahead():
    writer, _ = a_writer(SpokenMessage("One. Two. Three. Four."), spoken=True)

    ahead = []
    while (spoken := writer.next_to_speak()) is not None:
        ahead.append(spoken[0].strip())

    assert ahead == ["One.", "Two.", "Three."]  # the one that is being sent, and two more


def test_words_keep_step_with_audio_whose_length_is_not_known_yet():
    writer, _ = a_writer(SpokenMessage("one two three four five six seven eight nine"), spoken=True)
    spoken = writer.next_to_speak()
    assert spoken is not None
    spoken[1].pcm = bytearray(SECOND // 4)

    words = [piece for piece in writer.delivery.take() if isinstance(piece, str)]

    assert words == ["one", " two", " three"]


def test_every_event_says_where_it_belongs():
    writer, out = a_writer(SpokenMessage("Hello there."), spoken=True)
    speak(writer, SECOND)
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
    speak(writer, SECOND // 2)
    deliver_all(writer)

    writer.close("completed")

    assert [len(item.audio) for item in known] == [0, SECOND // 2]


def test_an_incomplete_message_keeps_what_was_sent():
    writer, _ = a_writer(SpokenMessage("One two three four five six seven eight."), spoken=True)
    speak(writer, 2 * SECOND)
    writer.open()
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
    delivery = OutputDelivery([Segment([], bytearray(48 * 1000))], Pace(burst=5))

    for _ in range(4):
        assert not delivery.finished
        assert [len(piece) for piece in delivery.take()] == [12_000]
        assert delivery.step == pytest.approx(0.05)
    assert delivery.finished


def test_text_is_sent_word_by_word():
    delivery = OutputDelivery([Segment(split("One two three."))], Pace(text_seconds=0.5))

    assert delivery.take() == ["One"]
    assert delivery.step == 0.5
    assert delivery.text == "One"
    assert delivery.take() + delivery.take() == [" two", " three."]
    assert delivery.finished


def test_an_empty_text_is_finished_at_once():
    assert OutputDelivery([Segment([])], Pace()).finished
    assert OutputDelivery([Segment([], bytearray())], Pace()).finished


def test_words_with_empty_audio_are_sent():
    delivery = OutputDelivery([Segment(split("One two three four five six."), bytearray())], Pace())

    assert "".join(map(str, delivery.take())) == "One two three four five six."
    assert delivery.finished


@given(st.text(max_size=40), st.integers(0, 100_000), st.integers(0, 12))
def test_the_sent_words_are_always_a_prefix_of_the_text(text: str, size: int, takes: int):
    pcm = bytes(size)
    delivery = OutputDelivery([Segment(split(text), bytearray(pcm))], Pace(burst=1))

    pieces = [piece for _ in range(takes) for piece in delivery.take()]

    words = "".join(piece for piece in pieces if isinstance(piece, str))
    assert text.startswith(words)
    assert words == delivery.text
    assert delivery.audio_bytes == sum(len(p) for p in pieces if isinstance(p, bytes))
    assert delivery.audio == pcm[: delivery.audio_bytes]
