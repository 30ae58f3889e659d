"""The reckoning finds what it is there to find; it runs with every `make test`."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace

import pytest

from tests.chaos.coaches import Final
from tests.chaos.learners import Said, user_of
from tests.chaos.reckoning import (
    Row,
    in_anothers,
    lost,
    lost_without_a_kill,
    not_as_shown,
    out_of_order,
    percentile_ms,
    share_within,
    twice,
)

FIRST = Final(1, "session", "conversation", 3, "user", "L03.1.1.0", "L03.1.1.0", 1.0)
SECOND = Final(2, "session", "conversation", 3, "user", "L03.1.1.1", "L03.1.1.1", 2.0)
ANSWER = Final(3, "session", "conversation", 3, "assistant", "Yes, L03.1.1.1", "Yes,", 3.0)
SHOWN = {"a": FIRST, "b": SECOND, "c": ANSWER}


def stored(key: str) -> Row:
    """As it should be."""
    final = SHOWN[key]
    metadata = {
        "seq": final.seq,
        "voice_session_id": final.session_id,
        "session_started_at": "2026-11-21T00:00:00.000000+00:00",
        "position": final.position,
        "content_index": 0,
        "item_id": f"item_{key}",
    }
    if final.heard_text != final.text:
        metadata["full_text"] = final.text
    heard = final.heard_text
    moment = 100.0 + final.position
    return Row(key, "conversation", final.role, heard, metadata, moment, user_of(3))


ALL = [stored(key) for key in SHOWN]


def with_metadata(row: Row, **changes: object) -> Row:
    return replace(row, metadata={**row.metadata, **changes})


def complaints(rows: list[Row]) -> list[str]:
    checks: Iterable[Callable[[list[Row]], Iterable[str]]] = (
        lambda rows: not_as_shown(rows, SHOWN),
        twice,
        out_of_order,
        lambda rows: in_anothers(rows, 5),
    )
    return [complaint for check in checks for complaint in check(rows)]


def test_what_is_as_it_was_shown_is_no_complaint() -> None:
    assert complaints(ALL) == []
    assert complaints([*ALL[:2], with_metadata(ALL[2], seq=4)]) == [], "corrected after a kill"


@pytest.mark.parametrize(
    ("rows", "wrong"),
    [
        (ALL[:2], "shown and not stored"),
        ([*ALL[:2], with_metadata(ALL[2], seq=2)], "stored in version 2"),
        ([replace(ALL[0], text="L03.1.1.9"), *ALL[1:]], "stored otherwise"),
        ([*ALL[:2], replace(ALL[2], text="Yes, L03")], "stored otherwise"),
        ([replace(ALL[0], conversation_id="another"), *ALL[1:]], "stored elsewhere"),
        ([*ALL, replace(ALL[2], id="d", created_at=200.0)], "two rows"),
        ([*ALL, with_metadata(replace(ALL[1], id="d"), item_id="other")], "said twice"),
        ([ALL[1], ALL[0], ALL[2]], "order of what was typed"),
        ([ALL[0], ALL[2], ALL[1]], "order of conversation"),
        ([ALL[0], replace(ALL[1], created_at=ALL[0].created_at), ALL[2]], "two at one time"),
        ([replace(row, user_id=user_of(4)) for row in ALL], "of another"),
    ],
    ids=lambda value: value.replace(" ", "-") if isinstance(value, str) else "rows",
)
def test_what_is_not_as_it_was_shown_is_found(rows: list[Row], wrong: str) -> None:
    assert any(complaint.startswith(wrong) for complaint in complaints(rows))


def test_words_may_be_lost_on_the_way_to_the_disk_but_not_otherwise() -> None:
    said = Said(typed={"L03.1.1.0": 10.0, "L03.1.1.2": 11.0, "L03.1.1.3": 20.0})
    gone = lost(ALL, said)
    assert gone == {"L03.1.1.2": 11.0, "L03.1.1.3": 20.0}
    assert lost_without_a_kill(gone, [11.5]) == ["L03.1.1.3"]
    assert lost_without_a_kill(gone, [11.5, 20.1]) == []


def test_percentiles_are_read_from_the_buckets_of_a_histogram() -> None:
    name = "relay_journal_commit_seconds"
    buckets = {"0.01": 50, "0.05": 90, "0.1": 100, "+Inf": 100}
    figures = Counter({f"{name}_bucket|{bound}": count for bound, count in buckets.items()})
    figures[f"{name}_count"] = 100
    assert share_within(figures, "0.05") == 0.9
    assert percentile_ms(figures, 0.5) == pytest.approx(10)
    assert percentile_ms(figures, 0.7) == pytest.approx(30)
