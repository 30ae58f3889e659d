"""Items and content parts in both dialects."""

import copy
from typing import Any

import pytest

from relay.realtime.dialects.beta import beta_item, beta_part, ga_item


def message(role: str, *content: Any, **more: Any) -> dict[str, Any]:
    return {"id": "item_1", "type": "message", "role": role, "content": list(content), **more}


SHOWN = [
    (
        message("assistant", {"type": "output_audio", "transcript": "Hi"}),
        message("assistant", {"type": "audio", "transcript": "Hi"}, object="realtime.item"),
    ),
    (
        message("assistant", {"type": "output_text", "text": "Hi"}, phase="final_answer"),
        message(
            "assistant",
            {"type": "text", "text": "Hi"},
            object="realtime.item",
            phase="final_answer",
        ),
    ),
    (message("assistant"), message("assistant", object="realtime.item")),
    (
        message("user", {"type": "input_audio", "transcript": None}),
        message("user", {"type": "input_audio", "transcript": None}, object="realtime.item"),
    ),
    (
        message("user", {"type": "input_text", "text": "Hi"}, object="realtime.item"),
        message("user", {"type": "input_text", "text": "Hi"}, object="realtime.item"),
    ),
    (
        {"id": "item_1", "type": "function_call", "arguments": ""},
        {"id": "item_1", "type": "function_call", "arguments": "", "object": "realtime.item"},
    ),
    ({"id": "item_1", "object": "of.tomorrow"}, {"id": "item_1", "object": "of.tomorrow"}),
    (
        {"id": "item_1", "type": "message", "role": "assistant"},
        message("assistant", object="realtime.item"),
    ),
    (
        {"id": "item_1", "type": "message", "role": "assistant", "content": None},
        message("assistant", object="realtime.item"),
    ),
    (
        message("assistant", "junk", {"type": 7}, {"text": "?"}),
        message("assistant", "junk", {"type": 7}, {"text": "?"}, object="realtime.item"),
    ),
    ("junk", "junk"),
    (None, None),
]


@pytest.mark.parametrize(("ga", "beta"), SHOWN)
def test_S3_23_an_item_is_translated_to_beta(ga, beta):
    before = copy.deepcopy(ga)
    assert beta_item(ga) == beta
    assert ga == before


MEANT = [
    ("assistant", "text", "output_text"),
    ("assistant", "audio", "output_audio"),
    ("assistant", "output_text", "output_text"),
    ("user", "text", "input_text"),
    ("user", "input_text", "input_text"),
    ("user", "input_audio", "input_audio"),
    ("user", "audio", "audio"),
    ("system", "text", "input_text"),
    ("system", "input_text", "input_text"),
    ("stranger", "text", "text"),
]


@pytest.mark.parametrize(("role", "beta", "ga"), MEANT)
def test_a_ga_content_type_depends_on_the_role(role, beta, ga):
    item = message(role, {"type": beta, "text": "Hi"})
    before = copy.deepcopy(item)
    assert ga_item(item) == message(role, {"type": ga, "text": "Hi"})
    assert item == before


@pytest.mark.parametrize(
    "item",
    [
        "junk",
        None,
        {"type": "function_call_output", "call_id": "call_1", "output": "{}"},
        {"type": "item_reference", "id": "item_1"},
        {"type": "message", "role": ["user"], "content": [{"type": "text"}]},
        {"type": "message", "role": "user", "content": "Hi"},
        {"type": "message", "role": "user", "content": [None, 3, {"type": None}]},
    ],
)
def test_an_item_without_content_to_rename_passes(item):
    assert ga_item(item) == item


@pytest.mark.parametrize(
    ("ga", "beta"),
    [
        ({"type": "audio", "transcript": ""}, {"type": "audio", "transcript": ""}),
        ({"type": "audio", "transcript": "Hi"}, {"type": "audio", "transcript": "Hi"}),
        ({"type": "audio"}, {"type": "audio", "transcript": ""}),
        ({"type": "audio", "transcript": None}, {"type": "audio", "transcript": ""}),
        ({"type": "output_audio"}, {"type": "audio", "transcript": ""}),
        ({"type": "text", "text": "Hi"}, {"type": "text", "text": "Hi"}),
        ({"type": "text"}, {"type": "text", "text": ""}),
        ({"type": "picture"}, {"type": "picture"}),
        ({"type": []}, {"type": []}),
    ],
)
def test_S3_23_a_part_begins_with_a_text_to_append_to(ga, beta):
    before = copy.deepcopy(ga)
    assert beta_part(ga) == beta
    assert ga == before
