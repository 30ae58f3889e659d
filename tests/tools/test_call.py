"""Tests of a call's arguments and of how a failure reads."""

import json
from pathlib import Path

import pytest

from relay.realtime import server_tools
from relay.tools.call import _MESSAGES, ToolFailed, parse_arguments

DOCS = (Path(__file__).parents[2] / "docs" / "tools.md").read_text()
FAILURES_OF_THE_RULES = (
    server_tools.TOO_MANY_CALLS,
    server_tools.ARGUMENTS_TOO_LONG,
    server_tools.OUTPUT_TOO_BIG,
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
def test_arguments_are_parsed(written: str, arguments: object) -> None:
    assert parse_arguments(written) == arguments


@pytest.mark.parametrize(
    "written", ["{", '{"city":', "[]", "null", '"London"', "7", "\ud83d", "[" * 100_000, "{}{}"]
)
def test_arguments_that_are_not_an_object_are_refused(written: str) -> None:
    with pytest.raises(ToolFailed) as failed:
        parse_arguments(written)
    assert failed.value.code == "bad_arguments"


def test_a_failure_is_json_for_the_model() -> None:
    assert json.loads(ToolFailed("timeout").output) == {
        "error": {"code": "timeout", "message": "The tool did not answer in time."}
    }
    told = json.loads(ToolFailed("http_error", status=503, cause="never told").output)
    assert told["error"]["status"] == 503
    assert "never told" not in str(told)


def test_every_failure_code_is_in_the_docs() -> None:
    codes = {json.loads(output)["error"]["code"] for output in FAILURES_OF_THE_RULES}
    for code in codes | _MESSAGES.keys():
        assert f"`{code}`" in DOCS
