"""Fields that a grant locks."""

from typing import Any

import pytest

from relay.realtime.grant import Bounds
from tests.realtime.agents import LOOK, LOOKUP, OPEN, STRICT, grant

FOLLOWS = {"model", "prompt", "tracing"}


@pytest.mark.parametrize(
    ("given", "locked"),
    [
        ({"voice": "sage"}, {"voice"}),
        ({"instructions": "Be kind."}, {"instructions"}),
        ({"tools": ()}, {"tools", "tool_choice"}),
        ({"tools": (LOOK,)}, {"tools", "tool_choice"}),
        ({"server_tools": (LOOKUP,)}, {"tool_choice"}),
        ({"output_modalities": ("text",)}, {"output_modalities"}),
        ({"extra_locks": frozenset({"speed"})}, {"speed"}),
        ({"bounds": Bounds(max_output_tokens=5)}, set()),
    ],
)
def test_fields_that_the_server_sets_are_locked_with_those_that_bypass_them(
    given: dict[str, Any], locked: set[str]
) -> None:
    assert grant(**given).locked_fields == locked | FOLLOWS


def test_only_the_model_is_locked_where_nothing_is_set() -> None:
    assert OPEN.locked_fields == {"model"}
    assert grant(bounds=Bounds(session_seconds=60)).locked_fields == {"model"}


def test_an_open_field_is_a_default() -> None:
    half = grant(voice="sage", instructions="Be kind.", overridable=frozenset({"voice"}))
    assert half.locked_fields == {"instructions"} | FOLLOWS
    assert grant(voice="sage", overridable=frozenset({"voice"})).locked_fields == {"model"}


def test_the_definition_of_a_server_tool_does_not_name_what_runs_it() -> None:
    assert LOOKUP.definition == {
        "type": "function",
        "name": "lookup",
        "description": "Look up a learner.",
        "parameters": {"type": "object", "properties": {"id": {"type": "string"}}},
    }
    assert STRICT.server_tool_names == {"lookup"}
