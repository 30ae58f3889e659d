"""What one response shall be: the wishes of a `response.create` over the session's settings."""

from dataclasses import dataclass
from typing import Any

from relay.engines.offline import items
from relay.engines.offline.config import THINKING, VOICED, Settings
from relay.engines.offline.conversation import Conversation
from relay.engines.offline.ids import NewId
from relay.engines.offline.items import Item
from relay.engines.offline.shapes import array, nullable, one_of, record, text, thing


@dataclass(frozen=True, slots=True)
class Request:
    """What one response shall be.

    `input` replaces the conversation where it is not None; `in_conversation` is False for an
    out-of-band response, whose items join no conversation.
    """

    spoken: bool
    voice: str
    instructions: str
    max_output_tokens: int | str
    tools: tuple[dict[str, Any], ...] = ()
    metadata: dict[str, str] | None = None
    in_conversation: bool = True
    input: tuple[Item, ...] | None = None


def request(settings: Settings, asked: Any, known: Conversation, new_id: NewId) -> Request:
    """Return the response that a `response.create` asks for; raises `Refusal`."""
    checked = _RESPONSE(asked, "response")
    output = checked.get("audio", {}).get("output", {})
    voice = output.get("voice") or settings["audio"]["output"]["voice"]
    modalities = checked.get("output_modalities") or settings["output_modalities"]
    given = checked.get("input")
    return Request(
        spoken=modalities == ["audio"],
        voice=voice if isinstance(voice, str) else voice["id"],
        instructions=checked.get("instructions") or settings["instructions"],
        max_output_tokens=checked.get("max_output_tokens") or settings["max_output_tokens"],
        tools=tuple(checked.get("tools") or settings["tools"]),
        metadata=checked.get("metadata"),
        in_conversation=checked.get("conversation", "auto") == "auto",
        input=None if given is None else tuple(_inputs(given, known, new_id)),
    )


def _inputs(given: list[dict[str, Any]], known: Conversation, new_id: NewId) -> list[Item]:
    found = []
    for index, value in enumerate(given):
        if value.get("type") == "item_reference":
            item_id = text(items.MAX_ID)(value.get("id"), f"response.input[{index}].id")
            found.append(known.get(item_id, "referencing", "invalid_value"))
        else:
            found.append(items.from_client(value, f"response.input[{index}]", new_id))
    return found


def _metadata(value: Any, path: str) -> dict[str, str]:
    check = text(512)
    return {text(64)(k, path): check(v, f"{path}.{k[:64]}") for k, v in thing(value, path).items()}


_RESPONSE = record(
    {
        **THINKING,
        "metadata": nullable(_metadata),
        "conversation": one_of("auto", "none"),
        "input": nullable(array(thing)),
        "audio": record({"output": VOICED}),
    }
)
