"""The journal's table and what is asked of it, as SQL; each batch is one JSON array."""

from typing import Final

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS records (
    number INTEGER PRIMARY KEY AUTOINCREMENT,  -- the order in which records are delivered
    id TEXT NOT NULL UNIQUE,
    seq INTEGER NOT NULL,
    taken_at REAL NOT NULL,                    -- Unix seconds, for the age of what waits
    user_id TEXT NOT NULL,
    conversation_id TEXT,                      -- of words; NULL: another kind of record
    aside TEXT,                                -- why it was set aside; NULL: waits for delivery
    body TEXT NOT NULL                         -- the record as JSON
);
CREATE INDEX IF NOT EXISTS waiting ON records (number) WHERE aside IS NULL;
CREATE INDEX IF NOT EXISTS said ON records (conversation_id, number)
    WHERE conversation_id IS NOT NULL;
"""

PUT: Final = """
INSERT INTO records (id, seq, taken_at, user_id, conversation_id, body)
SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]'),
    json_extract(value, '$[3]'), json_extract(value, '$[4]'), json_extract(value, '$[5]')
FROM json_each(?) WHERE true
ON CONFLICT (id) DO UPDATE SET seq = excluded.seq, body = excluded.body, aside = NULL,
    taken_at = excluded.taken_at,
    number = (
        SELECT latest.number + 1 FROM records AS latest
        WHERE latest.number >= records.number ORDER BY latest.number DESC LIMIT 1
    )
WHERE excluded.seq > records.seq
"""
"""A correction comes in its new place: who follows by `seq` must not see it before others."""

KNOWN: Final = """
SELECT count(*), count(aside) FILTER (WHERE seq < latest) FROM (
    SELECT json_extract(value, '$[0]') AS id, max(json_extract(value, '$[1]')) AS latest
    FROM json_each(?) GROUP BY 1
) CROSS JOIN records USING (id)
"""
"""How many of a batch's ids are there, and how many of those it brings back from aside."""

DELETE: Final = """
DELETE FROM records WHERE number IN (
    SELECT number FROM json_each(?)
    JOIN records ON records.id = json_extract(value, '$[0]') AND seq <= json_extract(value, '$[1]')
    WHERE aside IS NULL
)
"""

SET_ASIDE: Final = "UPDATE records SET aside = ? WHERE id = ? AND seq = ? AND aside IS NULL"

PENDING: Final = """
SELECT json_group_array(json_array(id, seq, body)) FROM (
    SELECT id, seq, body FROM records WHERE aside IS NULL ORDER BY number LIMIT ?
)
"""

SAID: Final = """
SELECT json_group_array(body) FROM (
    SELECT body FROM records WHERE conversation_id = ?
    ORDER BY number DESC LIMIT ?
)
"""
"""The latest words of a conversation, newest first, those among them that were set aside."""

OLDEST: Final = "SELECT taken_at FROM records WHERE aside IS NULL ORDER BY number LIMIT 1"
COUNT: Final = "SELECT count(*) - count(aside), count(aside) FROM records"
COUNT_OF: Final = COUNT + " WHERE user_id = ?"
DELETE_OF: Final = "DELETE FROM records WHERE user_id = ?"
TRY_AGAIN: Final = "UPDATE records SET aside = NULL WHERE aside IS NOT NULL"
EMPTY_LOG: Final = "PRAGMA wal_checkpoint(TRUNCATE)"
