"""Close codes and reasons, without a socket."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.websocket.closing import (
    MAX_REASON_BYTES,
    ProtocolViolation,
    may_travel,
    read_close,
    reason_bytes,
    violation,
)


@pytest.mark.parametrize("code", [1000, 1001, 1003, 1007, 1011, 1012, 1014, 3000, 4001, 4999])
def test_codes_that_travel(code: int) -> None:
    assert may_travel(code)
    assert read_close(code.to_bytes(2, "big") + "ä".encode()) == (code, "ä")


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535])
def test_codes_that_do_not_travel(code: int) -> None:
    assert not may_travel(code)
    with pytest.raises(ProtocolViolation) as malformed:
        read_close(code.to_bytes(2, "big"))
    assert malformed.value.close[0] == 1002


def test_a_close_without_a_code_reads_as_1005() -> None:
    assert read_close(b"") == (1005, "")


@given(st.binary(max_size=125))
def test_whatever_comes_is_read_or_refused_with_a_code_that_may_travel(payload: bytes) -> None:
    refused: int | None = None
    try:
        code, reason = read_close(payload)
    except ProtocolViolation as malformed:
        refused = malformed.close[0]
    else:
        assert payload in (b"", code.to_bytes(2, "big") + reason.encode())
    assert refused in (None, 1002, 1007)


@given(st.text())
def test_a_reason_fits_and_is_a_beginning_of_what_was_meant(reason: str) -> None:
    cut = reason_bytes(reason)
    assert len(cut) <= MAX_REASON_BYTES
    assert reason.encode("utf-8", "replace").decode().startswith(cut.decode())
    assert len(cut) > MAX_REASON_BYTES - 4 or cut.decode() == reason


def test_a_violation_keeps_its_code() -> None:
    assert [violation(code)[0] for code in (1002, 1007, 1009, 1011)] == [1002, 1007, 1009, 1002]
