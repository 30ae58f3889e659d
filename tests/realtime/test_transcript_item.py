"""One item while its words come in."""

from relay.realtime.transcript import TranscriptItem


def item() -> TranscriptItem:
    return TranscriptItem("A1", "assistant", 0.0)


def test_deltas_join_raw_until_the_whole_text_comes() -> None:
    one = item()
    for delta in ("Hel", "lo", " you"):
        one.take_delta({"content_index": 0, "delta": delta})
    part = one.part(0)
    assert part is not None
    assert part.so_far() == "Hello you"
    one.take_text({"content_index": 0, "transcript": "Hello, you!"})
    one.take_text({"content_index": 0, "transcript": "something later"})
    assert part.so_far() == "Hello, you!"


def test_the_text_is_found_in_every_shape_that_brings_it() -> None:
    for event in (
        {"text": "Hi"},
        {"transcript": "Hi"},
        {"part": {"type": "audio", "transcript": "Hi"}},
    ):
        one = item()
        one.take_text({"content_index": 0, **event})
        taken = one.part(0)
        assert taken is not None
        assert taken.text == "Hi"


def test_an_items_own_content_fills_what_is_missing() -> None:
    one = item()
    one.take_text({"content_index": 0, "transcript": "known"})
    one.read_content(
        [
            {"type": "output_audio", "transcript": "other"},
            {"type": "output_text", "text": "second"},
            {"type": "output_audio", "transcript": None},
            "nonsense",
        ]
    )
    assert {index: part.text for index, part in one.parts.items()} == {0: "known", 1: "second"}
    assert not one.typed


def test_what_was_typed_says_so_and_parts_are_bounded() -> None:
    one = TranscriptItem("U1", "user", 0.0)
    one.read_content([{"type": "input_text", "text": "Hi"}])
    assert one.typed
    assert [one.part(index) is not None for index in (63, 64, 5_000, 0)] == [True, True, True, True]
    for index in range(200):
        one.part(index)
    assert len(one.parts) == 64
    assert one.part(9_999) is None
