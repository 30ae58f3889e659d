"""What calls used, and the calls themselves, as they stand in SQLite."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from relay.interfaces import CONSTRAINT
from relay.stores.database import open_database
from relay.stores.sqlite.reports import spent
from relay.stores.sqlite.schema import SCHEMA
from relay.stores.sqlite.store import put
from tests.stores.words import AGENT, CONVERSATION, DAY, LEARNER, SESSION, Call

CALL = Call()


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    connection = open_database(tmp_path / "relay.sqlite")
    connection.row_factory = sqlite3.Row
    connection.executescript(SCHEMA)
    yield connection
    connection.close()


def _one(connection: sqlite3.Connection, query: str) -> tuple[object, ...]:
    (row,) = connection.execute(query).fetchall()
    return tuple(row)


def test_a_line_of_usage_is_one_row_that_follows_the_newest(connection: sqlite3.Connection) -> None:
    old, new = CALL.used(100, seq=1), CALL.used(200, seq=2)
    assert put(connection, [new, old]) == {}
    assert _one(
        connection,
        "SELECT id, conversation_id, user_id, agent_id, voice_session_id, model, day, seq,"
        " audio_in, audio_out, text_in, cost_micro FROM voice_usage",
    ) == (
        *(new.id, CONVERSATION, LEARNER, AGENT, SESSION, "gpt-realtime", "2025-10-09", 2),
        *(20, 40, 0, 200),
    )
    assert spent(connection, DAY, AGENT, None) == 200


def test_a_call_is_one_row_from_its_beginning_to_its_end(connection: sqlite3.Connection) -> None:
    columns = "started_at, ended_at, ending, door, engine, voice, seq"
    query = f"SELECT {columns} FROM voice_sessions"  # noqa: S608 - ours
    began = "2025-10-09T08:53:20.250000+00:00"
    put(connection, [CALL.begun()])
    assert _one(connection, query) == (began, None, None, "browser", "echo", "marin", 1)
    put(connection, [CALL.ended(90)])
    ended = (
        began,
        "2025-10-09T08:54:50.250000+00:00",
        "client_left",
        "browser",
        "echo",
        "marin",
        2,
    )
    assert _one(connection, query) == ended
    put(connection, [CALL.begun()])
    assert _one(connection, query) == ended, "what is older never overwrites"


def test_what_no_row_can_be_is_refused_alone(connection: sqlite3.Connection) -> None:
    broken = CALL.of(agent_id=None).used(5)  # type: ignore[arg-type]
    fine = CALL.begun()
    assert put(connection, [broken, fine]) == {broken.id: CONSTRAINT}
    assert _one(connection, "SELECT id FROM voice_sessions") == (fine.id,)


def test_the_question_before_every_call_reads_an_index_alone(
    connection: sqlite3.Connection,
) -> None:
    query = "SELECT sum(cost_micro) FROM voice_usage WHERE day = '2025-10-09' AND agent_id = 'a'"
    plan = connection.execute("EXPLAIN QUERY PLAN " + query).fetchone()["detail"]
    assert "COVERING INDEX voice_usage_by_day" in plan
