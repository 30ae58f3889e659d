"""A minute of speech over a network that stalls is played without a gap beyond the stall.

The minute is played in the background while the other tests of the page run.
"""

import statistics

import pytest

from tests.components import needs
from tests.web.minute import SECONDS, STALL

pytestmark = needs("chromium")


@pytest.mark.slow
def test_S3_81_a_minute_over_a_network_that_stalls_has_no_gap_beyond_the_stall(listening):
    heard = listening.result(timeout=120)
    assert heard.count == SECONDS * 24000  # every sample, once
    assert heard.wrong == 0  # and in order
    stall = max(heard.lateness, STALL * 1000)
    assert max(heard.gaps, default=0) <= stall
    assert sum(heard.gaps) <= stall + 60  # once waited for, it is not waited for again
    assert heard.said == SECONDS * 1000
    assert len(heard.drifts) > 100
    early, late = heard.drifts[:50], heard.drifts[-50:]
    assert abs(statistics.median(late) - statistics.median(early)) <= 40
    assert abs(statistics.median(heard.drifts)) <= 40
