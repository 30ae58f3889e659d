"""What the engine is told when a conversation goes on in a new session."""

from relay.realtime.opening import MAX_CHARACTERS, MAX_TURNS, seed_items
from tests.stores.words import Call

CALL = Call()


def texts(items: tuple[dict[str, object], ...]) -> list[object]:
    return [item["content"][0]["text"] for item in items]  # type: ignore[index]


def test_S3_52_both_speakers_words_in_order() -> None:
    said = [CALL.user("My name is Ada."), CALL.assistant("Hello, Ada.")]
    assert seed_items(said) == (
        {
            "type": "message",
            "role": "user",
            "content": [{"type": "input_text", "text": "My name is Ada."}],
        },
        {
            "type": "message",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "Hello, Ada."}],
        },
    )


def test_of_an_interrupted_answer_what_was_heard_and_of_an_unheard_one_nothing() -> None:
    said = [
        CALL.assistant("One two three.", heard_text="One two", state="interrupted"),
        CALL.assistant("Never heard.", heard_text="", state="unheard"),
    ]
    assert texts(seed_items(said)) == ["One two"]


def test_the_latest_are_told_and_no_more_of_them_than_a_model_should_read_again() -> None:
    many = [CALL.user(f"{number}") for number in range(MAX_TURNS + 20)]
    assert texts(seed_items(many)) == [f"{number}" for number in range(20, MAX_TURNS + 20)]
    long = [CALL.user("a" * 10), CALL.user("b" * (MAX_CHARACTERS - 5)), CALL.user("c")]
    assert [text[0] for text in texts(seed_items(long))] == ["b", "c"]  # type: ignore[index]
