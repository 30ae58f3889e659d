"""The checks that a client's JSON goes through."""

from typing import Any

import pytest

from relay.engines.cascade.effects import RequestRefused
from relay.engines.cascade.validation import (
    MAX_LIST,
    Shape,
    anything,
    array,
    boolean,
    either,
    integer,
    json_object,
    nullable,
    number,
    one_of,
    record,
    tagged,
    text,
)


@pytest.mark.parametrize(
    ("shape", "value"),
    [
        (anything, object),
        (nullable(boolean), None),
        (nullable(boolean), False),
        (text(3), "abc"),
        (boolean, True),
        (integer(1, 3), 3),
        (number(0, 1), 0.5),
        (number(0, 1), 1),
        (one_of("a", "b"), "b"),
        (either(boolean, text()), "x"),
        (array(boolean), [True, False]),
        (json_object, {"a": 1}),
        (record({"a": boolean}), {}),
        (record({"a": boolean}, required=("a",)), {"a": True}),
        (tagged({"t": record({"type": anything})}), {"type": "t"}),
    ],
)
def test_what_passes(shape: Shape, value: Any):
    assert shape(value, "path") == value


@pytest.mark.parametrize(
    ("shape", "value", "code", "param"),
    [
        (text(3), "abcd", "string_above_max_length", "p"),
        (text(), None, "invalid_type", "p"),
        (boolean, 1, "invalid_type", "p"),
        (integer(1, 3), 4, "integer_above_max_value", "p"),
        (integer(1, 3), 0, "integer_below_min_value", "p"),
        (integer(0, 1), True, "invalid_type", "p"),
        (integer(0, 1), 1.0, "invalid_type", "p"),
        (number(0, 1), "1", "invalid_type", "p"),
        (one_of("a"), ["a"], "invalid_value", "p"),
        (array(boolean), {}, "invalid_type", "p"),
        (array(boolean), [True, 1], "invalid_type", "p[1]"),
        (array(boolean), [True] * (MAX_LIST + 1), "integer_above_max_value", "p.length"),
        (json_object, [], "invalid_type", "p"),
        (record({"a": boolean}), {"b": True}, "unknown_parameter", "p.b"),
        (record({"a": boolean}, required=("a",)), {}, "missing_required_parameter", "p.a"),
        (record({"a": record({"b": boolean})}), {"a": {"b": 1}}, "invalid_type", "p.a.b"),
        (tagged({"t": anything}), {}, "missing_required_parameter", "p.type"),
        (tagged({"t": anything}), {"type": "u"}, "invalid_value", "p.type"),
    ],
)
def test_what_does_not(shape: Shape, value: Any, code: str, param: str):
    with pytest.raises(RequestRefused) as refused:
        shape(value, "p")

    assert (refused.value.code, refused.value.param) == (code, param)


def test_the_outermost_record_has_no_name():
    with pytest.raises(RequestRefused) as refused:
        record({})({"surprise": 1}, "")

    assert refused.value.param == "surprise"
