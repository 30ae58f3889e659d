"""What is remembered, and what no longer."""

from relay.realtime.items import RecentIds


def test_the_oldest_is_forgotten_and_a_repeat_takes_no_room() -> None:
    recent = RecentIds(2)
    for member in ("a", "b", "b"):
        recent.add(member)
    assert "a" in recent
    assert "b" in recent

    recent.add("c")

    assert "a" not in recent
    assert "b" in recent
    assert "c" in recent


def test_what_is_no_string_is_no_member() -> None:
    recent = RecentIds(2)
    recent.add("1")
    assert 1 not in recent
    assert None not in recent
    assert ["1"] not in recent
