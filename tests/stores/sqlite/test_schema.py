"""The tables of the embedded store: created once, completed and migrated at each opening."""

from pathlib import Path

from relay.stores.database import open_database
from relay.stores.rows import seconds
from relay.stores.sqlite.schema import NOW, SCHEMA, create_tables

TABLES = {
    "chat_messages_v2",
    "coach_actions",
    "coach_assignments",
    "conversation_sessions",
    "voice_sessions",
    "voice_usage",
}


def test_a_file_of_an_earlier_relay_gets_what_it_lacks_and_keeps_what_it_has(
    tmp_path: Path,
) -> None:
    connection = open_database(tmp_path / "relay.sqlite")
    connection.executescript(SCHEMA)
    connection.execute("DROP TABLE voice_usage")
    connection.execute("INSERT INTO coach_assignments VALUES ('c', 'l')")
    connection.executescript(SCHEMA)
    query = "SELECT name FROM sqlite_master WHERE type = 'table'"
    assert {name for (name,) in connection.execute(query)} == TABLES
    assert connection.execute("SELECT count(*) FROM coach_assignments").fetchone() == (1,)
    connection.close()


def test_usage_of_an_earlier_relay_has_no_characters(tmp_path: Path) -> None:
    connection = open_database(tmp_path / "relay.sqlite")
    create_tables(connection)
    connection.execute("ALTER TABLE voice_usage DROP COLUMN characters")
    used = ", ".join("0" * 10)
    row = f"('k', 'c', 'u', 'a', 's', 'm', '2026-11-21', 1, {used}, 5)"
    connection.execute(f"INSERT INTO voice_usage VALUES {row}")  # noqa: S608
    for _ in range(2):
        create_tables(connection)
    stored = connection.execute("SELECT id, cost_micro, characters FROM voice_usage").fetchall()
    assert stored == [("k", 5, 0)]
    connection.close()


def test_the_databases_own_time_has_the_format_of_timestamp(tmp_path: Path) -> None:
    connection = open_database(tmp_path / "relay.sqlite")
    (now,) = connection.execute(f"SELECT {NOW}").fetchone()
    assert seconds(now) > 1_700_000_000
    assert len(now) == len("2026-11-21T00:00:00.000000+00:00")
    connection.close()


def test_calls_at_the_browser_door_get_its_present_name(tmp_path: Path) -> None:
    connection = open_database(tmp_path / "relay.sqlite")
    connection.executescript(SCHEMA)
    row = "('{0}', 'c', 'u', 'a', 'm', 'v', '{0}', 'echo', '2026-11-21', NULL, NULL, 1)"
    values = ", ".join(row.format(door) for door in ("s3", "openai"))
    connection.execute(f"INSERT INTO voice_sessions VALUES {values}")  # noqa: S608
    connection.executescript(SCHEMA)
    doors = connection.execute("SELECT id, door FROM voice_sessions ORDER BY id").fetchall()
    assert doors == [("openai", "openai"), ("s3", "browser")]
    connection.close()
