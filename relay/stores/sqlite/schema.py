"""The tables of the embedded store: S3's two and the relay's own, as in `supabase/migrations`."""

import sqlite3

from relay.stores.database import transaction

NOW = "(strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000+00:00')"
"""SQL for the current time in the format of `rows.timestamp`."""
SCHEMA = f"""
CREATE TABLE IF NOT EXISTS conversation_sessions (
    id TEXT PRIMARY KEY NOT NULL,
    conversation_id TEXT NOT NULL UNIQUE,
    user_id TEXT,
    agent_id TEXT,
    title TEXT,
    started_at TEXT NOT NULL DEFAULT {NOW},
    ended_at TEXT,
    last_active TEXT NOT NULL DEFAULT {NOW},
    message_count INTEGER NOT NULL DEFAULT 0,
    total_tokens_used INTEGER NOT NULL DEFAULT 0,
    tool_calls_count INTEGER NOT NULL DEFAULT 0,
    session_state TEXT NOT NULL DEFAULT '{{}}' CHECK (json_valid(session_state)),
    interruption_context TEXT,
    status TEXT NOT NULL DEFAULT 'active'
        CHECK (status IN ('active', 'paused', 'completed', 'abandoned')),
    CHECK (user_id IS NOT NULL OR agent_id IS NOT NULL)
);
CREATE TABLE IF NOT EXISTS chat_messages_v2 (
    id TEXT PRIMARY KEY NOT NULL,
    version TEXT NOT NULL DEFAULT '1.0.0',
    conversation_id TEXT NOT NULL
        REFERENCES conversation_sessions (conversation_id) ON DELETE CASCADE,
    session_id TEXT NOT NULL,
    parent_message_id TEXT REFERENCES chat_messages_v2 (id),
    channel_id TEXT,
    sender_user_id TEXT,
    sender_agent_id TEXT,
    role TEXT NOT NULL CHECK (role IN ('system', 'user', 'assistant', 'tool')),
    content TEXT NOT NULL CHECK (
        json_extract(content, '$.type') IN ('text', 'structured', 'multimodal', 'tool_result')
    ),
    metadata TEXT NOT NULL DEFAULT '{{}}' CHECK (json_valid(metadata)),
    context TEXT NOT NULL DEFAULT '{{}}' CHECK (json_valid(context)),
    tools TEXT,
    memory_refs TEXT,
    state_snapshot_id TEXT,
    audit TEXT,
    created_at TEXT NOT NULL DEFAULT {NOW},
    updated_at TEXT NOT NULL DEFAULT {NOW},
    CHECK (
        (sender_user_id IS NOT NULL) + (sender_agent_id IS NOT NULL)
        = CASE WHEN role IN ('system', 'tool') THEN 0 ELSE 1 END
    )
);
CREATE INDEX IF NOT EXISTS chat_messages_v2_by_conversation
    ON chat_messages_v2 (conversation_id, created_at);
CREATE INDEX IF NOT EXISTS conversation_sessions_by_activity
    ON conversation_sessions (last_active);
CREATE TRIGGER IF NOT EXISTS chat_messages_v2_counted AFTER INSERT ON chat_messages_v2 BEGIN
    UPDATE conversation_sessions
    SET message_count = message_count + 1, last_active = max(last_active, NEW.created_at)
    WHERE id = NEW.session_id;
END;
CREATE TABLE IF NOT EXISTS voice_usage (
    id TEXT PRIMARY KEY NOT NULL,
    conversation_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    agent_id TEXT NOT NULL,
    voice_session_id TEXT NOT NULL,
    model TEXT NOT NULL,
    day TEXT NOT NULL,
    seq INTEGER NOT NULL,
    text_in INTEGER NOT NULL,
    text_cached INTEGER NOT NULL,
    text_out INTEGER NOT NULL,
    audio_in INTEGER NOT NULL,
    audio_cached INTEGER NOT NULL,
    audio_out INTEGER NOT NULL,
    image_in INTEGER NOT NULL,
    image_cached INTEGER NOT NULL,
    reasoning INTEGER NOT NULL,
    milliseconds INTEGER NOT NULL,
    cost_micro INTEGER,  -- NULL: the model has no price
    characters INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS voice_usage_by_day
    ON voice_usage (day, agent_id, user_id, cost_micro);
CREATE TABLE IF NOT EXISTS voice_sessions (
    id TEXT PRIMARY KEY NOT NULL,
    conversation_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    agent_id TEXT NOT NULL,
    model TEXT NOT NULL,
    voice TEXT NOT NULL,
    door TEXT NOT NULL,
    engine TEXT NOT NULL,
    started_at TEXT NOT NULL,
    ended_at TEXT,
    ending TEXT,
    seq INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS coach_actions (
    id TEXT PRIMARY KEY NOT NULL,
    session_id TEXT NOT NULL,
    conversation_id TEXT,
    coach_id TEXT,
    action TEXT NOT NULL CHECK (
        action IN ('pause', 'resume', 'whisper', 'takeover', 'release', 'end', 'note', 'summary')
    ),
    details TEXT NOT NULL DEFAULT '{{}}' CHECK (json_valid(details)),
    at TEXT NOT NULL DEFAULT {NOW}
);
CREATE INDEX IF NOT EXISTS coach_actions_by_session ON coach_actions (session_id, at);
CREATE TABLE IF NOT EXISTS coach_assignments (
    coach_id TEXT NOT NULL,
    learner_id TEXT NOT NULL,
    PRIMARY KEY (coach_id, learner_id)
) WITHOUT ROWID;
UPDATE voice_sessions SET door = 'browser' WHERE door = 's3';  -- its name in earlier versions
"""  # noqa: S608 - made of constants
_HAS_CHARACTERS = "SELECT 1 FROM pragma_table_info('voice_usage') WHERE name = 'characters'"
_ADD_CHARACTERS = "ALTER TABLE voice_usage ADD COLUMN characters INTEGER NOT NULL DEFAULT 0"


def create_tables(connection: sqlite3.Connection) -> None:
    """Create what the file lacks, and complete the tables of an earlier relay."""
    connection.executescript(SCHEMA)
    with transaction(connection):  # another process may be opening the same file
        if connection.execute(_HAS_CHARACTERS).fetchone() is None:
            connection.execute(_ADD_CHARACTERS)
