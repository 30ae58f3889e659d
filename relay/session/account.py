"""What one session pays with, and what is told of it at the end."""

from collections import Counter
from typing import Final

from structlog.typing import FilteringBoundLogger

from relay.metrics import Metrics
from relay.realtime.billing.budget import Bill, Purse, Standing
from relay.realtime.billing.usage import day_of
from relay.realtime.charging import Spending

_TOKEN_KINDS: Final = ("text_in", "audio_in", "image_in", "text_out", "audio_out")


class Account:
    """`purse` is None where nobody set a budget. Every `now` is in Unix seconds."""

    def __init__(self, spending: Spending, purse: Purse | None) -> None:
        self._spending = spending
        self._purse = purse

    def settle(self, bill: Bill, now: float) -> Standing | None:
        """Pay; returns what is left, None without a purse."""
        if self._purse is None:
            return None
        return self._purse.settle(bill.actual, bill.want, day_of(now))

    def close(self, now: float) -> None:
        """The session is over: pay for what was cut off, and let others have the rest."""
        bill = self._spending.last_bill()
        if bill is not None:
            self.settle(bill, now)
        if self._purse is not None:
            self._purse.release()

    def report(self, metrics: Metrics, log: FilteringBoundLogger) -> None:
        """Tell what the session used and cost."""
        tokens = tokens_of(self._spending)
        cost = self._spending.cost()
        dollars = cost.known / 1_000_000
        metrics.used(tokens, dollars)
        if tokens:
            log.info("session used", **tokens, dollars=dollars, unpriced=cost.unpriced)


def tokens_of(spending: Spending) -> Counter[str]:
    """What was used so far, by kind, all models together."""
    tokens: Counter[str] = Counter()
    for usage in spending.meter.totals().values():
        tokens.update({kind: getattr(usage, kind) for kind in _TOKEN_KINDS})
    return tokens
