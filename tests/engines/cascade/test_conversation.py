"""The order of items, and what is forgotten when there are too many."""

import pytest

from relay.engines.cascade import items as conversation
from relay.engines.cascade.effects import RequestRefused
from relay.engines.cascade.items import MAX_ITEMS, CascadeItem, ItemList, user_audio


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


def test_done_says_null_for_the_second_item_only():
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


def test_the_eldest_items_are_forgotten():
    held = ItemList("conv_1")

    for number in range(MAX_ITEMS + 5):
        held.add(item(str(number)))

    assert len(ids(held)) == MAX_ITEMS
    assert ids(held)[0] == "5"


def test_the_eldest_sound_is_forgotten_before_any_item(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(conversation, "MAX_BYTES", 10_000)
    held = ItemList("conv_1")

    for name in "abc":
        held.add(item(name, bytes(4_000)))

    assert ids(held) == ["a", "b", "c"]
    assert [len(entry.audio) for entry in held] == [0, 4_000, 4_000]
    assert [entry.audio_ms for entry in held] == [83, 83, 83]


def test_items_that_are_too_heavy_without_sound_are_forgotten(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(conversation, "MAX_BYTES", 10_000)
    held = ItemList("conv_1")

    for name in "abc":
        heavy = item(name)
        heavy.bulk = 4_000
        held.add(heavy)

    assert ids(held) == ["b", "c"]
