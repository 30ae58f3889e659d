from relay.knowledge.chunks import LONGEST, cut, terms


def test_a_chunk_knows_the_headings_above_it() -> None:
    chunks = cut("Before.\n# One\nFirst.\n## Two\nSecond.\n# Three\nThird.")

    assert [(one.heading, one.text) for one in chunks] == [
        ("", "Before."),
        ("One", "First."),
        ("One / Two", "Second."),
        ("Three", "Third."),
    ]
    assert [one.position for one in chunks] == [0, 1, 2, 3]


def test_short_paragraphs_are_joined_and_long_ones_cut() -> None:
    assert len(cut("One.\n\nTwo.\n\nThree.")) == 1
    long = cut("This is a sentence of a long paragraph. " * 200)
    assert len(long) > 5
    assert all(len(one.text) <= LONGEST for one in long)
    assert all(len(one.text) <= LONGEST for one in cut("x" * 10_000))


def test_a_question_is_its_words_that_say_something() -> None:
    assert terms("How do I reset my Lumina's headset?") == ["reset", "lumina", "headset"]
    assert terms("the and of") == []
