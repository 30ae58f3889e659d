"""What a tool is given and how its failures read."""

import json
from pathlib import Path

import pytest

from relay.realtime import server_tools as tool_rounds
from relay.tools.call import _MESSAGES, ToolFailed, arguments_of

DOCS = (Path(__file__).parents[2] / "docs" / "tools.md").read_text()
ANSWERED_BY_THE_RULES = (
    tool_rounds.TOO_MANY,
    tool_rounds.TOO_LONG_ASKED,
    tool_rounds.TOO_LONG_ANSWERED,
)


@pytest.mark.parametrize(
    ("written", "arguments"),
    [
        ('{"city":"London"}', {"city": "London"}),
        ('{  \n  "city": "London" \n} \n', {"city": "London"}),
        ("{}", {}),
        ("", {}),
        (" \n", {}),
    ],
)
def test_arguments_are_what_the_model_wrote(written: str, arguments: object) -> None:
    assert arguments_of(written) == arguments


@pytest.mark.parametrize(
    "written", ["{", '{"city":', "[]", "null", '"London"', "7", "\ud83d", "[" * 100_000, "{}{}"]
)
def test_whatever_is_no_object_is_told_to_the_model(written: str) -> None:
    with pytest.raises(ToolFailed) as failed:
        arguments_of(written)
    assert failed.value.code == "bad_arguments"


def test_a_failure_is_json_that_the_model_can_speak_of() -> None:
    assert json.loads(ToolFailed("timeout").output) == {
        "error": {"code": "timeout", "message": "The tool did not answer in time."}
    }
    told = json.loads(ToolFailed("http_error", status=503, cause="never told").output)
    assert told["error"]["status"] == 503
    assert "never told" not in str(told)


def test_every_failure_is_in_the_docs() -> None:
    codes = {json.loads(output)["error"]["code"] for output in ANSWERED_BY_THE_RULES}
    for code in codes | _MESSAGES.keys():
        assert f"`{code}`" in DOCS
