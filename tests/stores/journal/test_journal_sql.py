"""What is asked of the journal reads what it needs, however much waits."""

import sqlite3
from collections.abc import Iterator

import pytest

from relay.stores.journal import file as sql


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:")
    connection.executescript(sql.SCHEMA)
    yield connection
    connection.close()


@pytest.mark.parametrize(
    ("query", "values"),
    [
        (sql.COUNT_KNOWN, ("[]",)),
        (sql.DELETE, ("[]",)),
        (sql.SET_ASIDE, ("reason", "id", 1)),
        (sql.PENDING, (10,)),
        (sql.OF_CONVERSATION, ("conversation", 10)),
        (sql.OLDEST, ()),
    ],
)
def test_no_daily_question_reads_the_whole_table(
    connection: sqlite3.Connection, query: str, values: tuple[object, ...]
) -> None:
    plan = [row[3] for row in connection.execute("EXPLAIN QUERY PLAN " + query, values)]
    scans = [step for step in plan if step.startswith("SCAN records")]
    assert any("records" in step for step in plan)
    assert all("USING INDEX waiting" in step or "COVERING" in step for step in scans), plan


@pytest.mark.parametrize("query", [sql.PENDING, sql.OF_CONVERSATION, sql.OLDEST])
def test_none_sorts_what_an_index_has_in_order(connection: sqlite3.Connection, query: str) -> None:
    values = {sql.PENDING: (10,), sql.OF_CONVERSATION: ("conversation", 10), sql.OLDEST: ()}[query]
    plan = [row[3] for row in connection.execute("EXPLAIN QUERY PLAN " + query, values)]
    assert not [step for step in plan if "TEMP B-TREE" in step], plan
