"""Conversation items and their content parts in both dialects (PROTOCOL §1b and §2).

Anything but an object is returned as it is: the other end shall judge it.
"""

from collections.abc import Mapping
from typing import Any

_BETA_CONTENT = {"output_text": "text", "output_audio": "audio"}
_GA_CONTENT = {
    "assistant": {"text": "output_text", "audio": "output_audio"},
    "user": {"text": "input_text"},
    "system": {"text": "input_text"},
}
# Beta clients append deltas to these, so a part must begin with an empty string (PROTOCOL §6).
_PART_TEXT = {"audio": "transcript", "text": "text"}


def beta_item(item: Any) -> Any:
    """Show an item as beta did: `object`, beta content types, a message never without content."""
    if not isinstance(item, dict):
        return item
    beta = {**item, "object": item.get("object") or "realtime.item"}
    if item.get("type") == "message":
        content = item.get("content")
        beta["content"] = [] if content is None else _renamed_parts(content, _BETA_CONTENT)
    return beta


def ga_item(item: Any) -> Any:
    """Give an item its GA content types, which depend on who speaks."""
    if not isinstance(item, dict) or "content" not in item:
        return item
    role = item.get("role")
    names = _GA_CONTENT.get(role, {}) if isinstance(role, str) else {}
    return {**item, "content": _renamed_parts(item["content"], names)}


def beta_part(part: Any) -> Any:
    """Show the part of a `response.content_part` event, its text there from the beginning."""
    beta = _renamed(part, _BETA_CONTENT)
    kind = beta.get("type") if isinstance(beta, dict) else None
    text = _PART_TEXT.get(kind) if isinstance(kind, str) else None
    if text is None or beta.get(text) is not None:
        return beta
    return {**beta, text: ""}


def _renamed_parts(content: Any, names: Mapping[str, str]) -> Any:
    return [_renamed(part, names) for part in content] if isinstance(content, list) else content


def _renamed(part: Any, names: Mapping[str, str]) -> Any:
    kind = part.get("type") if isinstance(part, dict) else None
    if not isinstance(kind, str) or kind not in names:
        return part
    return {**part, "type": names[kind]}
