-- What people chose among the agent's own options: a JSON object of option and value.
ALTER TABLE session ADD COLUMN options TEXT NOT NULL DEFAULT '{}';
-- Unknown of those that ended before there was this column.
ALTER TABLE session ADD COLUMN ended_ms INTEGER;
CREATE INDEX session_by_use ON session (last_active_ms) WHERE status = 'active';
CREATE INDEX session_by_creator ON session (creator, last_active_ms) WHERE status = 'active';
CREATE INDEX turn_open_in ON turn (session) WHERE outcome IS NULL;

-- The notebook of each workspace.
CREATE TABLE note (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    team       TEXT NOT NULL,
    author     TEXT NOT NULL,
    text       TEXT NOT NULL,
    created_ms INTEGER NOT NULL
);
CREATE INDEX note_of_team ON note (team);

-- What was said in the web chat, which keeps no messages anywhere else.
CREATE TABLE chat_message (
    pos          INTEGER PRIMARY KEY AUTOINCREMENT,
    conversation TEXT NOT NULL,     -- the thread of the session's conversation
    key          TEXT NOT NULL UNIQUE,
    author       TEXT NOT NULL CHECK (author IN ('web', 'agent')),
    text         TEXT NOT NULL,
    created_ms   INTEGER NOT NULL
);
CREATE INDEX chat_message_in ON chat_message (conversation, pos);
