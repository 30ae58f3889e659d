"""Places, `seq` and final words, each once."""

from relay.realtime.transcript import TranscriptItem, UtteranceFinalizer


def test_a_correction_takes_a_new_seq_and_a_repeat_none() -> None:
    items = {"U1": TranscriptItem("U1", "user", 5.0)}
    settling = UtteranceFinalizer(items)
    items["U1"].take_text({"transcript": "Hi"})
    (first,) = settling.settle(items["U1"], "final")
    assert (first.seq, first.position, first.created_at) == (1, 1.0, 5.0)
    assert settling.settle(items["U1"], "final") == []
    (again,) = settling.settle(items["U1"], "failed")
    assert (again.seq, again.position) == (2, 1.0)


def test_created_at_follows_the_places() -> None:
    items = {
        name: TranscriptItem(name, "user", seen)
        for name, seen in (("a", 9.0), ("b", 3.0), ("c", 20.0))
    }
    settling = UtteranceFinalizer(items)
    settling.link(items["a"], None)
    settling.link(items["c"], "a")
    settling.link(items["b"], "a")
    assert [items[name].created for name in ("a", "b", "c")] == [9.0, 9.0, 20.0]


def test_only_speakers_speak() -> None:
    items = {"S1": TranscriptItem("S1", "system", 0.0), "F1": TranscriptItem("F1", "none", 0.0)}
    settling = UtteranceFinalizer(items)
    for item in items.values():
        item.take_text({"text": "secret"})
        assert settling.settle(item, "final") == []
        assert not settling.has_settled(item)
