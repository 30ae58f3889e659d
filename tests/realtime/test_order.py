"""Conversation order by `previous_item_id`."""

from hypothesis import given
from hypothesis import strategies as st

from relay.realtime.items import ItemOrder


def order_of(order: ItemOrder, items: list[str]) -> list[str]:
    return sorted(items, key=order.position)


def test_items_stand_after_their_predecessors() -> None:
    order = ItemOrder()
    for item, previous in [("a", None), ("b", "a"), ("d", "b"), ("c", "b")]:
        order.link(item, previous)
    assert order_of(order, ["d", "c", "b", "a"]) == ["a", "b", "c", "d"]
    assert order.neighbours("c") == ("b", "d")
    assert order.neighbours("a") == (None, "b")


def test_root_is_the_front_and_an_unknown_predecessor_the_end() -> None:
    order = ItemOrder()
    for item, previous in [("a", None), ("z", "lost"), ("first", "root")]:
        order.link(item, previous)
    assert order_of(order, ["z", "a", "first"]) == ["first", "a", "z"]


def test_5_3_a_later_null_does_not_move_an_item() -> None:
    order = ItemOrder()
    order.link("a", None)
    order.link("b", "a")
    before = order.position("b")
    order.link("b", None)
    order.link("b", "root")
    assert order.position("b") == before


@given(st.lists(st.integers(min_value=-1, max_value=30), max_size=30))
def test_positions_never_change_and_are_never_shared(previous: list[int]) -> None:
    order, seen = ItemOrder(), dict[str, float]()
    for number, before in enumerate(previous):
        order.link(str(number), "root" if before == -1 else str(before))
        seen[str(number)] = order.position(str(number))
        assert all(order.position(item) == position for item, position in seen.items())
    assert len(set(seen.values())) == len(seen)
