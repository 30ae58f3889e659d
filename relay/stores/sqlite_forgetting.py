"""Words that are forgotten and people who are erased, in the embedded store's tables.

The same rules as `supabase/migrations/20261121000600_privacy.sql`.
"""

import sqlite3
from collections.abc import Iterable
from typing import Final

from relay.interfaces import Mode
from relay.stores.database import transaction
from relay.stores.sqlite_schema import NOW

AT_ONCE: Final = 10_000
"""Utterances of one transaction: a relay that runs beside waits no longer than for these."""

_OLD: Final = """
SELECT rowid, conversation_id FROM chat_messages_v2
WHERE created_at < ? AND json_extract(metadata, '$.voice_session_id') IS NOT NULL LIMIT ?
"""
_REDACT: Final = f"""
UPDATE chat_messages_v2 SET content = json_set(content, '$.text', ''), updated_at = {NOW},
    metadata = json_set(json_remove(metadata, '$.full_text'), '$.heard_text', '',
        '$.redacted', json('true'))
WHERE rowid IN (
    SELECT rowid FROM chat_messages_v2
    WHERE created_at < ? AND json_extract(metadata, '$.voice_session_id') IS NOT NULL
        AND json_extract(metadata, '$.redacted') IS NULL LIMIT ?
)
"""  # noqa: S608 - made of constants
_RECOUNT: Final = """
UPDATE conversation_sessions SET message_count = (
    SELECT count(*) FROM chat_messages_v2 m
    WHERE m.conversation_id = conversation_sessions.conversation_id
) WHERE conversation_id = ?
"""
_DROP_EMPTY: Final = """
DELETE FROM conversation_sessions WHERE conversation_id = ? AND message_count = 0
    AND json_extract(session_state, '$.started_via') = 'realtime_voice'
"""
_ERASE: Final = {
    "coach_actions_of_others": """
        UPDATE coach_actions SET details = '{}', conversation_id = NULL
        WHERE conversation_id IN
                (SELECT conversation_id FROM conversation_sessions WHERE user_id = ?1)
            OR session_id IN (SELECT id FROM voice_sessions WHERE user_id = ?1)
    """,
    "coach_actions": "UPDATE coach_actions SET coach_id = NULL WHERE coach_id = ?1",
    "messages": """
        DELETE FROM chat_messages_v2 WHERE json_extract(metadata, '$.voice_session_id') IS NOT NULL
            AND conversation_id IN
                (SELECT conversation_id FROM conversation_sessions WHERE user_id = ?1)
    """,
    "messages_to_others": """
        UPDATE chat_messages_v2 SET sender_user_id = NULL,
            sender_agent_id = (SELECT agent_id FROM conversation_sessions c
                WHERE c.conversation_id = chat_messages_v2.conversation_id),
            metadata = json_set(metadata, '$.sender_erased', json('true'))
        WHERE sender_user_id = ?1 AND json_extract(metadata, '$.voice_session_id') IS NOT NULL
    """,
    "calls": "DELETE FROM voice_sessions WHERE user_id = ?1",
    "usage": """
        UPDATE voice_usage SET user_id = '', conversation_id = '', voice_session_id = ''
        WHERE user_id = ?1
    """,
    "assignments": "DELETE FROM coach_assignments WHERE ?1 IN (coach_id, learner_id)",
}
_UNTOLD: Final = ("coach_actions_of_others", "messages_to_others")
_OWN: Final = "SELECT conversation_id FROM conversation_sessions WHERE user_id = ?"


def forget(connection: sqlite3.Connection, before: str, mode: Mode) -> int:
    """Forget what was said before a time, and from the file's bytes; how many utterances it was."""
    forgotten = 0
    while many := _some(connection, before, mode):
        forgotten += many
    with transaction(connection):
        query = "UPDATE coach_actions SET details = '{}' WHERE at < ? AND details <> '{}'"
        connection.execute(query, (before,))
    empty_log(connection)
    return forgotten


def _some(connection: sqlite3.Connection, before: str, mode: Mode) -> int:
    with transaction(connection):
        if mode == "redact":
            return connection.execute(_REDACT, (before, AT_ONCE)).rowcount
        old = connection.execute(_OLD, (before, AT_ONCE)).fetchall()
        delete = "DELETE FROM chat_messages_v2 WHERE rowid = ?"
        connection.executemany(delete, [(number,) for number, _ in old])
        _recount(connection, {conversation for _, conversation in old})
        return len(old)


def erase(connection: sqlite3.Connection, user_id: str) -> dict[str, int]:
    """Erase one person from every table; how many rows of each kind it was.

    What they used stays without their name, for the accounts, and so do their words as a coach in
    others' conversations.
    """
    with transaction(connection):
        own = [row[0] for row in connection.execute(_OWN, (user_id,)).fetchall()]
        counts = {n: connection.execute(q, (user_id,)).rowcount for n, q in _ERASE.items()}
        counts["conversations"] = _recount(connection, own)
    return {name: many for name, many in counts.items() if name not in _UNTOLD}


def _recount(connection: sqlite3.Connection, conversations: Iterable[str]) -> int:
    """Counts as they are, and no conversation of calls that is empty; how many of those it was."""
    gone = 0
    for conversation in conversations:
        connection.execute(_RECOUNT, (conversation,))
        gone += connection.execute(_DROP_EMPTY, (conversation,)).rowcount
    return gone


def empty_log(connection: sqlite3.Connection) -> None:
    """Cut the write-ahead log, which holds older versions of pages; raises sqlite3.Error."""
    (busy, *_) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    if busy:
        raise sqlite3.OperationalError("another program reads it: old words are left in its log")
