"""The journal's file: what each statement leaves on disk, and how much it reads."""

import os
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings, strategies
from msgspec import structs

from relay.realtime.records import Record
from relay.stores.database import transaction
from relay.stores.journal import file as sql
from relay.stores.journal.file import FILE_NAME, JournalDamaged, JournalFile, JournalInUse, Tally
from tests.stores.words import (
    CONVERSATION,
    LATER_SESSION,
    LEARNER,
    MORNING,
    STRANGER,
    Call,
    corrected,
    texts,
)

CALL = Call()
ELSEWHERE = CONVERSATION.replace("4", "8")
ROOM = 1024 * 1024 * 1024
ONE, TWO, THREE = CALL.user("one", 1.0), CALL.assistant("two", 2.0), CALL.user("three", 3.0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "var" / "journal"


@pytest.fixture
def file(folder: Path) -> Iterator[JournalFile]:
    file = JournalFile(folder, ROOM)
    yield file
    file.close()


def _commit(file: JournalFile, *records: object, at: float = MORNING) -> None:
    assert file.commit([(record, at) for record in records]) == []  # type: ignore[misc]


def test_records_come_back_in_the_order_they_came(file: JournalFile) -> None:
    _commit(file, TWO, ONE)
    _commit(file, THREE)
    assert file.pending(10) == [TWO, ONE, THREE]
    assert file.pending(2) == [TWO, ONE]


def test_they_are_there_when_the_folder_is_opened_again(folder: Path) -> None:
    file = JournalFile(folder, ROOM)
    _commit(file, ONE, TWO)
    file.close()
    again = JournalFile(folder, ROOM)
    assert again.pending(10) == [ONE, TWO]
    assert again.tally() == Tally(waiting=2, set_aside=0, oldest_at=MORNING)
    again.close()


def test_a_repeat_changes_nothing(file: JournalFile) -> None:
    _commit(file, ONE, ONE)
    _commit(file, ONE, TWO, at=MORNING + 5)
    assert file.pending(10) == [ONE, TWO]
    assert file.tally() == Tally(2, 0, MORNING)


def test_a_correction_replaces_what_it_corrects_and_is_delivered_in_its_turn(
    file: JournalFile,
) -> None:
    """Who follows the store by `seq` must not see a later one before an earlier."""
    better = corrected(ONE, "won", seq=7)
    _commit(file, ONE, TWO)
    _commit(file, better)
    _commit(file, corrected(ONE, "wan", seq=5))
    assert file.pending(10) == [TWO, better]
    assert file.tally().waiting == 2


def test_delivered_records_are_deleted_but_a_correction_made_meanwhile_waits(
    file: JournalFile,
) -> None:
    _commit(file, ONE, TWO)
    in_flight = file.pending(10)
    better = corrected(ONE, "won", seq=7)
    _commit(file, better)
    file.delete(in_flight)
    assert file.pending(10) == [better]
    assert file.tally().waiting == 1
    file.delete([better])
    assert file.tally() == Tally(0, 0, None)


def test_what_is_set_aside_is_kept_and_does_not_stand_in_the_way(file: JournalFile) -> None:
    _commit(file, ONE, TWO, THREE)
    file.set_aside([ONE], {ONE.id: "constraint"})
    assert file.pending(10) == [TWO, THREE]
    assert file.tally() == Tally(waiting=2, set_aside=1, oldest_at=MORNING)


def test_a_correction_brings_back_what_was_set_aside(file: JournalFile) -> None:
    _commit(file, ONE, TWO)
    file.set_aside([ONE], {ONE.id: "constraint"})
    better = corrected(ONE, "won", seq=7)
    _commit(file, better)
    assert file.pending(10) == [TWO, better]
    assert file.tally() == Tally(2, 0, MORNING)


def test_a_correction_made_meanwhile_is_not_set_aside(file: JournalFile) -> None:
    better = corrected(ONE, "won", seq=7)
    _commit(file, ONE, better)
    file.set_aside([ONE], {ONE.id: "constraint"})
    assert file.pending(10) == [better]


def test_a_new_start_tries_again_what_was_set_aside(folder: Path) -> None:
    file = JournalFile(folder, ROOM)
    _commit(file, ONE)
    file.set_aside([ONE], {ONE.id: "constraint"})
    file.close()
    again = JournalFile(folder, ROOM)
    assert again.pending(10) == [ONE]
    again.close()


def test_records_of_another_version_are_set_aside_without_harm_to_others(
    file: JournalFile, folder: Path
) -> None:
    _commit(file, ONE, TWO)
    other = sqlite3.connect(folder / FILE_NAME)
    other.execute("UPDATE records SET body = ? WHERE id = ?", ('{"id": 5}', ONE.id))
    other.commit()
    other.close()
    assert file.pending(10) == [TWO]
    assert file.tally() == Tally(1, 1, MORNING)


def test_half_a_character_is_reported_and_the_rest_is_written(file: JournalFile) -> None:
    broken = CALL.user("\ud83d", 9.0)
    assert file.commit([(ONE, MORNING), (broken, MORNING), (TWO, MORNING)]) == [broken]
    assert file.pending(10) == [ONE, TWO]
    assert file.commit([(broken, MORNING)]) == [broken]


def test_a_file_at_its_bound_fails_as_a_full_disk_and_keeps_its_content(folder: Path) -> None:
    file = JournalFile(folder, 256 * 1024)
    kept = []

    def fill() -> None:
        for n in range(1, 1000):
            said = CALL.user("x" * 4000, float(n))
            _commit(file, said)
            kept.append(said.id)

    with pytest.raises(sqlite3.OperationalError) as full:
        fill()
    assert full.value.sqlite_errorname == "SQLITE_FULL"
    waiting = file.pending(1000)
    assert [record.id for record in waiting] == kept
    assert file.tally().waiting == len(kept) > 20
    assert (folder / FILE_NAME).stat().st_size <= 256 * 1024
    file.delete(waiting[:10])
    _commit(file, THREE)
    assert file.pending(1000)[-1] == THREE
    file.close()


def test_deleted_words_are_not_left_in_the_file(folder: Path) -> None:
    file = JournalFile(folder, ROOM)
    _commit(file, CALL.user("a secret between us"))
    file.delete(file.pending(1))
    file.close()
    left = b"".join(path.read_bytes() for path in folder.iterdir())
    assert b"secret" not in left


def test_a_second_owner_is_told_who_has_the_folder_and_what_to_do(
    file: JournalFile, folder: Path
) -> None:
    with pytest.raises(JournalInUse, match=rf"in use by process {os.getpid()}.*RELAY_DATA_DIR"):
        JournalFile(folder, ROOM)
    _commit(file, ONE)
    assert file.pending(1) == [ONE]


def test_only_its_owner_may_look_inside(file: JournalFile, folder: Path) -> None:
    _commit(file, ONE)
    assert folder.stat().st_mode & 0o777 == 0o700
    files = {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}
    assert files == dict.fromkeys(
        ["lock", "journal.sqlite", "journal.sqlite-wal", "journal.sqlite-shm"], 0o600
    )


@pytest.mark.parametrize("content", [b"these are not the words you look for\n" * 200, b"SQLite"])
def test_a_file_that_is_no_journal_is_refused_and_left_as_it_is(
    folder: Path, content: bytes
) -> None:
    folder.mkdir(parents=True)
    path = folder / FILE_NAME
    path.write_bytes(content)
    with pytest.raises(JournalDamaged, match="move the folder away"):
        JournalFile(folder, ROOM)
    assert path.read_bytes() == content
    path.unlink()
    JournalFile(folder, ROOM).close()  # and the folder is not held any more


@pytest.mark.parametrize("version", [2, 99])
def test_a_journal_of_another_version_is_refused(folder: Path, version: int) -> None:
    JournalFile(folder, ROOM).close()
    connection = sqlite3.connect(folder / FILE_NAME)
    connection.execute(f"PRAGMA user_version={version}")
    connection.close()
    with pytest.raises(JournalDamaged):
        JournalFile(folder, ROOM)


def test_pages_that_were_overwritten_are_found_at_the_start(folder: Path) -> None:
    file = JournalFile(folder, ROOM)
    _commit(file, *(CALL.user(f"word {n}" * 100, float(n)) for n in range(1, 200)))
    file.close()
    path = folder / FILE_NAME
    whole = path.read_bytes()
    path.write_bytes(whole[:8192] + b"\xff" * 8192 + whole[16384:])
    with pytest.raises(JournalDamaged):
        JournalFile(folder, ROOM)


def test_a_torn_tail_loses_only_what_was_torn(folder: Path, tmp_path: Path) -> None:
    """As after a power cut: the write-ahead log ends anywhere, each whole commit survives."""
    file = JournalFile(folder, ROOM)
    log = folder / (FILE_NAME + "-wal")
    sizes = []
    for n in range(1, 13):
        _commit(file, CALL.user(f"word {n}", float(n)))
        sizes.append(log.stat().st_size)
    assert sizes == sorted(set(sizes)), "every commit makes the log longer"
    start = sizes[0]
    for cut in [*range(start, sizes[-1], 1031), *sizes, *(size - 1 for size in sizes[1:])]:
        torn = tmp_path / f"torn-{cut}"
        torn.mkdir(exist_ok=True)
        shutil.copy(folder / FILE_NAME, torn)
        (torn / log.name).write_bytes(log.read_bytes()[:cut])
        survivor = JournalFile(torn, ROOM)
        whole = sum(size <= cut for size in sizes)
        assert texts(survivor.pending(100)) == [f"word {n}" for n in range(1, whole + 1)]
        _commit(survivor, TWO)
        survivor.close()
    file.close()


def test_a_tail_of_garbage_is_a_torn_tail(folder: Path, tmp_path: Path) -> None:
    file = JournalFile(folder, ROOM)
    log = folder / (FILE_NAME + "-wal")
    _commit(file, ONE)
    whole = log.stat().st_size
    _commit(file, TWO)
    torn = tmp_path / "torn"
    torn.mkdir()
    shutil.copy(folder / FILE_NAME, torn)
    content = log.read_bytes()
    (torn / log.name).write_bytes(content[:whole] + os.urandom(len(content) - whole))
    survivor = JournalFile(torn, ROOM)
    assert survivor.pending(10) == [ONE]
    survivor.close()
    file.close()


def test_a_failed_transaction_leaves_the_count_as_it_was(file: JournalFile) -> None:
    _commit(file, ONE)
    with transaction(file._connection):
        file._connection.execute(
            "CREATE TEMP TRIGGER no_more BEFORE INSERT ON records"
            " BEGIN SELECT raise(ABORT, 'no'); END"
        )
    with pytest.raises(sqlite3.IntegrityError):
        _commit(file, TWO)
    assert file.tally().waiting == 1
    assert file.pending(10) == [ONE]


def test_the_words_of_a_conversation_are_found_in_the_order_they_came(file: JournalFile) -> None:
    elsewhere = CALL.of(session_id=LATER_SESSION, conversation_id=ELSEWHERE).user("Else.")
    better = corrected(ONE, "won", seq=9)
    _commit(file, ONE, TWO, CALL.begun(), elsewhere, CALL.used(5))
    _commit(file, THREE, better)
    assert file.of_conversation(CONVERSATION, 10) == [TWO, THREE, better]
    assert file.of_conversation(CONVERSATION, 2) == [THREE, better], "the latest"
    file.delete([TWO])
    file.set_aside([THREE], {THREE.id: "constraint"})
    assert file.of_conversation(CONVERSATION, 10) == [THREE, better], "it was said all the same"


def test_unreadable_utterances_do_not_block_others(file: JournalFile, folder: Path) -> None:
    _commit(file, ONE, TWO)
    other = sqlite3.connect(folder / FILE_NAME)
    other.execute("UPDATE records SET body = ? WHERE id = ?", ('{"id": 5}', ONE.id))
    other.commit()
    other.close()
    assert file.of_conversation(CONVERSATION, 10) == [TWO]


def _bytes_in(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.iterdir())


def test_nothing_of_an_erased_person_is_left_in_any_file(folder: Path) -> None:
    """Deleting one person's data: words, corrections and costs of theirs, beside another's."""
    file = JournalFile(folder, ROOM)
    other = CALL.of(user_id=STRANGER, session_id=LATER_SESSION, conversation_id=ELSEWHERE)
    theirs = [CALL.user(f"a secret {n} " + "between us " * (n % 40), float(n)) for n in range(300)]
    others = [other.user(f"small talk {n} " * (n % 30 + 1), float(n)) for n in range(300)]
    for mine, not_mine in zip(theirs, others, strict=True):
        _commit(file, mine, not_mine)
    _commit(file, *(corrected(said, "a secret still", seq=10_000) for said in theirs[::3]))
    _commit(file, CALL.used(5), CALL.begun())
    file.set_aside([theirs[1]], {theirs[1].id: "constraint"})
    file.delete([*theirs[4:20], *others[::2]])
    assert b"secret" in _bytes_in(folder)
    assert LEARNER.encode() in _bytes_in(folder)

    left = {record.id for record in file.pending(10_000)}
    erased = file.erase(LEARNER)

    assert erased == len(left & {record.id for record in theirs}) + 3
    assert b"secret" not in _bytes_in(folder)
    assert LEARNER.encode() not in _bytes_in(folder)
    assert file.pending(10_000) == others[1::2]
    assert file.tally() == Tally(150, 0, MORNING)
    assert file.erase(LEARNER) == 0
    file.close()


def test_another_reader_of_the_file_is_reported_when_erasing(
    file: JournalFile, folder: Path
) -> None:
    _commit(file, ONE)
    reader = sqlite3.connect(folder / FILE_NAME)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM records").fetchone()
    file._connection.execute("PRAGMA busy_timeout=0")
    with pytest.raises(sqlite3.OperationalError, match="another process is reading the journal"):
        file.erase(LEARNER)
    reader.close()
    assert file.erase(LEARNER) == 0
    assert LEARNER.encode() not in _bytes_in(folder)


STEPS = strategies.lists(
    strategies.tuples(
        strategies.sampled_from(["commit", "delete", "set aside", "erase", "reopen"]),
        strategies.lists(
            strategies.tuples(strategies.integers(1, 6), strategies.integers(1, 4)), max_size=5
        ),
    ),
    max_size=14,
)


@settings(max_examples=80, deadline=None)
@given(STEPS)
def test_the_tally_equals_the_counts_whatever_happens(
    steps: list[tuple[str, list[tuple[int, int]]]],
) -> None:
    with TemporaryDirectory() as name:
        folder, taken_at = Path(name), MORNING
        file = JournalFile(folder, ROOM)
        for step, chosen in steps:
            taken_at += 1
            file = _take(file, folder, step, [_said(n, seq) for n, seq in chosen], taken_at)
            waiting, aside = file._connection.execute(sql.COUNT).fetchone()
            oldest = file._connection.execute(sql.OLDEST).fetchone() or (None,)
            assert file.tally() == Tally(waiting, aside, oldest[0]), step
        file.close()


def _said(number: int, seq: int) -> Record:
    """Even ones are the stranger's."""
    user = LEARNER if number % 2 else STRANGER
    return CALL.of(user_id=user).user(f"word {number} as of {seq}", float(number), seq=seq)


def _take(
    file: JournalFile, folder: Path, step: str, records: list[Record], at: float
) -> JournalFile:
    if step == "commit":
        _commit(file, *records, at=at)
    elif step == "delete":
        file.delete(records)
    elif step == "set aside":
        file.set_aside(records, {record.id: "constraint" for record in records})
    elif step == "erase":
        file.erase(LEARNER)
    else:
        file.close()
        return JournalFile(folder, ROOM)
    return file


def test_many_corrections_of_one_batch_keep_their_order(file: JournalFile) -> None:
    _commit(file, ONE, TWO, THREE)
    again = [corrected(said, "again", seq=9 - n) for n, said in enumerate((THREE, ONE))]
    _commit(file, *again, corrected(THREE, "once more", seq=10))
    assert texts(file.of_conversation(CONVERSATION, 10)) == ["two", "again", "once more"]
    assert file.tally() == Tally(3, 0, MORNING)


def test_the_browser_door_of_an_old_journal_gets_its_present_name(file: JournalFile) -> None:
    begun = CALL.begun()
    _commit(file, structs.replace(begun, door="s3"), ONE)
    assert file.pending(10) == [structs.replace(begun, door="browser"), ONE]


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
def test_no_frequent_query_reads_the_whole_table(
    connection: sqlite3.Connection, query: str, values: tuple[object, ...]
) -> None:
    plan = [row[3] for row in connection.execute("EXPLAIN QUERY PLAN " + query, values)]
    scans = [step for step in plan if step.startswith("SCAN records")]
    assert any("records" in step for step in plan)
    assert all("USING INDEX waiting" in step or "COVERING" in step for step in scans), plan


@pytest.mark.parametrize("query", [sql.PENDING, sql.OF_CONVERSATION, sql.OLDEST])
def test_no_query_sorts_what_an_index_has_in_order(
    connection: sqlite3.Connection, query: str
) -> None:
    values = {sql.PENDING: (10,), sql.OF_CONVERSATION: ("conversation", 10), sql.OLDEST: ()}[query]
    plan = [row[3] for row in connection.execute("EXPLAIN QUERY PLAN " + query, values)]
    assert not [step for step in plan if "TEMP B-TREE" in step], plan
