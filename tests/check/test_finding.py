"""How a finding reads."""

import pytest

from relay.check.runner import CheckResult, fail, ok, skip


@pytest.mark.parametrize(
    ("finding", "line"),
    [
        (ok("in use"), "ok   journal: in use"),
        (ok("in use", "it could be faster"), "ok   journal: in use (it could be faster)"),
        (fail("damaged", "move it away"), "FAIL journal: damaged (move it away)"),
        (skip("not built"), "skip journal: not built"),
    ],
)
def test_a_finding_is_one_line(finding: CheckResult, line: str) -> None:
    assert str(CheckResult(finding.state, finding.what, finding.mend, "journal")) == line
