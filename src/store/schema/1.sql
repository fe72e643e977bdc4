-- Conversations are three columns everywhere: team, channel, thread.

-- The runs of the daemon whose processes may not all have been seen to end.
CREATE TABLE run (
    id         TEXT PRIMARY KEY,
    started_ms INTEGER NOT NULL
) WITHOUT ROWID;

-- What makes a later delivery a duplicate: event, message and gesture keys.
CREATE TABLE dedup (
    key     TEXT PRIMARY KEY,
    seen_ms INTEGER NOT NULL
) WITHOUT ROWID;

-- What people did, in the order in which it was committed.
CREATE TABLE inbox (
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,
    team        TEXT NOT NULL,
    channel     TEXT NOT NULL,
    thread      TEXT NOT NULL,      -- empty for a slash command, which stands in none
    line        TEXT NOT NULL CHECK (line IN ('turn', 'command', 'at_once')),
    state       TEXT NOT NULL CHECK (state IN ('queued', 'running', 'done', 'refused', 'dead')),
    version     INTEGER NOT NULL,   -- of the body's form
    body        TEXT,               -- the inbound as JSON; emptied when it is done
    received_ms INTEGER NOT NULL
);
CREATE INDEX inbox_waiting ON inbox (team, channel, thread, line) WHERE state = 'queued';
CREATE INDEX inbox_queued ON inbox (line) WHERE state = 'queued';

-- Which session answers in which conversation. At most one that is active.
CREATE TABLE session (
    id             TEXT PRIMARY KEY,
    team           TEXT NOT NULL,
    channel        TEXT NOT NULL,
    thread         TEXT NOT NULL,
    backend        TEXT NOT NULL,
    backend_ref    TEXT,
    working_dir    TEXT NOT NULL,
    description    TEXT NOT NULL,
    creator        TEXT NOT NULL,
    created_ms     INTEGER NOT NULL,
    last_active_ms INTEGER NOT NULL,
    status         TEXT NOT NULL CHECK (status IN ('active', 'ended'))
) WITHOUT ROWID;
CREATE UNIQUE INDEX session_active ON session (team, channel, thread) WHERE status = 'active';

-- Turns: the intent is written before the agent sees a byte, the outcome with its answer.
CREATE TABLE turn (
    id         TEXT PRIMARY KEY,
    session    TEXT NOT NULL,
    seq        INTEGER NOT NULL,
    outcome    TEXT,
    started_ms INTEGER NOT NULL,
    ended_ms   INTEGER
) WITHOUT ROWID;
CREATE INDEX turn_open ON turn (id) WHERE outcome IS NULL;

-- What is owed to Slack, in order.
CREATE TABLE outbox (
    pos        INTEGER PRIMARY KEY AUTOINCREMENT,
    id         TEXT NOT NULL UNIQUE,
    team       TEXT NOT NULL,
    channel    TEXT NOT NULL,
    thread     TEXT NOT NULL,
    turn       TEXT,
    op         TEXT NOT NULL,       -- as JSON; emptied when it is sent
    state      TEXT NOT NULL CHECK (state IN ('pending', 'sent', 'dead')),
    ts         TEXT,                -- Slack's time stamp of the message
    error      TEXT,
    created_ms INTEGER NOT NULL
);
CREATE INDEX outbox_pending ON outbox (team, channel, thread, pos) WHERE state = 'pending';
