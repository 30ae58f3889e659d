"""What a `response.create` asks for."""

from relay.engines.cascade.items import ItemList
from relay.engines.cascade.settings import ResponseRequest, initial_settings, response_request

SETTINGS = initial_settings("sess_1", "gpt-realtime", 0)


def asked(**wishes: object) -> ResponseRequest:
    return response_request(SETTINGS, wishes, ItemList("conv_1"), lambda prefix: f"{prefix}_1")


def test_what_is_not_asked_for_is_the_sessions():
    assert asked() == ResponseRequest(
        spoken=True,
        voice="alloy",
        instructions=SETTINGS["instructions"],
        max_output_tokens="inf",
    )


def test_what_is_asked_for():
    tool = {"type": "function", "name": "f"}
    content = [{"type": "input_text", "text": "Hi"}]
    message = {"type": "message", "role": "user", "content": content}

    wanted = asked(
        conversation="none",
        output_modalities=["text"],
        tools=[tool],
        input=[message],
        audio={"output": {"voice": {"id": "voice_1"}}},
    )

    assert (wanted.spoken, wanted.in_conversation, wanted.tools) == (False, False, (tool,))
    assert wanted.voice == "voice_1"
    assert [item.words for item in wanted.input or ()] == ["Hi"]
