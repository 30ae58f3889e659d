"""One message of a response, from its first event to its last."""

from typing import Any

import pytest

from relay.engines.cascade import items as conversation
from relay.engines.cascade.effects import EffectBuffer, Emit
from relay.engines.cascade.items import ItemList, user_audio
from relay.engines.cascade.outputs import MessageWriter, OutputSlot, Pace
from relay.parts.interfaces import SpokenMessage

SECOND = 48_000


def a_writer(
    message: SpokenMessage, *, spoken: bool, known: ItemList | None = None
) -> tuple[MessageWriter, EffectBuffer]:
    out = EffectBuffer(lambda prefix: f"{prefix}_new")
    return MessageWriter(OutputSlot("resp_1", 2, known, out), message, spoken, Pace()), out


def events(out: EffectBuffer) -> list[dict[str, Any]]:
    return [effect.event for effect in out.take() if isinstance(effect, Emit)]


def told(writer: MessageWriter) -> None:
    writer.open()
    while writer.delivery is not None and not writer.delivery.finished:
        for piece in writer.delivery.take():
            writer.write(piece)


def test_a_text_needs_no_mouth_and_sound_does():
    text, _ = a_writer(SpokenMessage("Hello."), spoken=False)
    aloud, _ = a_writer(SpokenMessage("Hello."), spoken=True)
    parrot, _ = a_writer(SpokenMessage("Hello.", pcm=bytes(SECOND)), spoken=True)

    assert text.delivery is not None
    assert aloud.delivery is None
    assert parrot.delivery is not None
    aloud.deliver(bytes(SECOND))
    assert aloud.delivery is not None


def test_every_event_says_where_it_belongs():
    writer, out = a_writer(SpokenMessage("Hello there."), spoken=True)
    writer.deliver(bytes(SECOND))
    told(writer)
    writer.close("completed")

    for event in events(out):
        assert (event["response_id"], event["output_index"]) == ("resp_1", 2)


def test_a_phase_is_told_from_the_first_event_on():
    writer, out = a_writer(SpokenMessage("One moment.", phase="commentary"), spoken=False)
    told(writer)
    writer.close("completed")

    bodies = [event["item"] for event in events(out) if "item" in event]
    assert [body["phase"] for body in bodies] == ["commentary", "commentary"]
    assert [body["status"] for body in bodies] == ["in_progress", "completed"]


def test_nothing_is_told_of_it_before_it_is_opened():
    writer, out = a_writer(SpokenMessage("Hello."), spoken=False)

    assert writer.items == []
    assert events(out) == []
    writer.open()
    assert [item.id for item in writer.items] == ["item_new"]


def test_in_a_conversation_it_follows_the_item_before_it():
    known = ItemList("conv_1")
    known.add(user_audio("item_user", b""))
    writer, out = a_writer(SpokenMessage("Hello."), spoken=False, known=known)
    told(writer)
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
    told(writer)

    writer.close("completed")

    assert [len(item.audio) for item in known] == [0, SECOND // 2]


def test_what_was_cut_keeps_what_was_sent():
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


def test_a_message_that_says_nothing_is_whole_all_the_same():
    writer, out = a_writer(SpokenMessage(""), spoken=False)
    told(writer)
    writer.close("completed")

    last = events(out)[-1]
    assert last["item"]["content"] == [{"type": "output_text", "text": ""}]
