"""Effects come in order; ids and errors look like OpenAI's."""

import itertools
import re

from relay.engines.cascade.effects import (
    EffectBuffer,
    Emit,
    RequestRefused,
    StartWork,
    padding,
    random_ids,
    unix,
)
from relay.parts.interfaces import TranscriptionRequest


def test_effects_come_in_order_and_once():
    numbers = itertools.count(1)
    out = EffectBuffer(lambda prefix: f"{prefix}_{next(numbers)}")

    out.emit("session.created", session={})
    out.do(StartWork(1, TranscriptionRequest(b"")))
    out.refuse(RequestRefused("code", "Message."), None)
    first, second, third = out.take()

    assert first == Emit({"type": "session.created", "event_id": "event_1", "session": {}})
    assert isinstance(first, Emit)
    assert list(first.event) == ["type", "event_id", "session"]
    assert second == StartWork(1, TranscriptionRequest(b""))
    assert isinstance(third, Emit)
    assert third.event["event_id"] == "event_2"
    assert out.take() == []


def test_an_id_is_a_prefix_and_21_characters():
    new_id = random_ids(unix)

    ids = {new_id("item") for _ in range(1000)}

    assert len(ids) == 1000
    assert all(re.fullmatch(r"item_[0-9A-Za-z]{21}", item_id) for item_id in ids)
    assert max(map(len, ids)) <= 32


def test_the_first_five_characters_tell_the_time():
    """A recorded session that was opened at 1785214050 has the id sess_E6U0w…."""
    assert random_ids(lambda: 1_785_214_050)("sess").startswith("sess_E6U0w")


def test_a_time_before_the_epoch_is_no_trouble():
    assert random_ids(lambda: 0)("sess").startswith("sess_00000")


def test_padding_makes_every_delta_equally_long():
    """As recorded: "Hello" has 11 characters of padding, " Marcelo" 8."""
    assert [len(padding(delta)) for delta in ("Hello", " Marcelo", "", "x" * 16)] == [11, 8, 16, 16]
    assert padding("Hello") != padding("Hello")
