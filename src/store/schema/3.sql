-- The inbox once more, because its states can't be added to. What a message has been through, and its place in Slack's own time.
CREATE TABLE inbox_3 (
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,
    team        TEXT NOT NULL,
    channel     TEXT NOT NULL,
    thread      TEXT NOT NULL,      -- empty for a slash command, which stands in none
    line        TEXT NOT NULL CHECK (line IN ('turn', 'command', 'at_once')),
    state       TEXT NOT NULL CHECK (state IN
                    ('queued', 'running', 'interrupted', 'offered', 'done', 'refused', 'expired', 'dead')),
    version     INTEGER NOT NULL,   -- of the body's form
    body        TEXT,               -- the inbound as JSON; emptied when nobody can ask for it any more
    received_ms INTEGER NOT NULL,
    author      TEXT NOT NULL DEFAULT '',
    said_us     INTEGER NOT NULL DEFAULT 0, -- when it was said in Slack's time, in microseconds; the order in a line
    attempts    INTEGER NOT NULL DEFAULT 0, -- how often its handling has begun
    resumes     INTEGER NOT NULL DEFAULT 0 CHECK (resumes IN (0, 1)), -- its next turn goes on where an interrupted one was
    offer       TEXT,               -- the note that offers to answer it, of what was said while nobody listened
    reason      TEXT                -- why it was given up
);
INSERT INTO inbox_3 (seq, team, channel, thread, line, state, version, body, received_ms, author, said_us)
    SELECT seq, team, channel, thread, line, state, version, body, received_ms,
        coalesce(CASE WHEN json_valid(body) THEN json_extract(body, '$.author.user') END, ''), received_ms * 1000
    FROM inbox;
-- Numbers that were given once are never given again.
DELETE FROM sqlite_sequence WHERE name = 'inbox_3';
INSERT INTO sqlite_sequence (name, seq) SELECT 'inbox_3', seq FROM sqlite_sequence WHERE name = 'inbox';
DROP TABLE inbox;
ALTER TABLE inbox_3 RENAME TO inbox;
CREATE INDEX inbox_waiting ON inbox (team, channel, thread, line, said_us, seq) WHERE state = 'queued';
CREATE INDEX inbox_queued ON inbox (line) WHERE state = 'queued';
CREATE INDEX inbox_dead ON inbox (seq) WHERE state = 'dead';
CREATE INDEX inbox_offer ON inbox (offer) WHERE offer IS NOT NULL;
CREATE INDEX inbox_offered ON inbox (team, channel, thread) WHERE state = 'offered';
-- A conversation has one turn at a time. Should an earlier version have left more, each is closed for its own turn all the same.
UPDATE inbox SET state = 'interrupted' WHERE state = 'running' AND line = 'turn' AND seq NOT IN
    (SELECT max(seq) FROM inbox WHERE state = 'running' AND line = 'turn' GROUP BY team, channel, thread);
CREATE UNIQUE INDEX inbox_turn ON inbox (team, channel, thread) WHERE state = 'running' AND line = 'turn';

-- Whether the agent may have seen the prompt. Unknown of those that began before there was this column.
ALTER TABLE turn ADD COLUMN reached INTEGER NOT NULL DEFAULT 1 CHECK (reached IN (0, 1));
-- Whether a person stopped it, of one that the end of the process cut off.
ALTER TABLE turn ADD COLUMN stopped INTEGER NOT NULL DEFAULT 0 CHECK (stopped IN (0, 1));
-- The messages that grow while the agent speaks, with blanks in between, and the row that asks what is to become of an interrupted turn.
ALTER TABLE turn ADD COLUMN shown TEXT;
ALTER TABLE turn ADD COLUMN card TEXT;

-- Which event asked for it; when it may be tried again, and since when it has failed, in milliseconds since the Unix epoch.
ALTER TABLE outbox ADD COLUMN seq INTEGER;
ALTER TABLE outbox ADD COLUMN not_before_ms INTEGER;
ALTER TABLE outbox ADD COLUMN failing_since_ms INTEGER;
-- The message that it answers, whether that is only for now, and whether it may be in Slack although no answer said so.
ALTER TABLE outbox ADD COLUMN answers TEXT;
ALTER TABLE outbox ADD COLUMN interim INTEGER NOT NULL DEFAULT 0 CHECK (interim IN (0, 1));
ALTER TABLE outbox ADD COLUMN doubtful INTEGER NOT NULL DEFAULT 0 CHECK (doubtful IN (0, 1));
CREATE INDEX outbox_dead ON outbox (pos) WHERE state = 'dead';

-- Questions that people can still see with their buttons, each with the row that posted it.
CREATE TABLE approval (
    id   TEXT PRIMARY KEY,
    turn TEXT NOT NULL,
    row  TEXT NOT NULL,
    card TEXT NOT NULL              -- as JSON
) WITHOUT ROWID;
CREATE INDEX approval_of_turn ON approval (turn);

-- Up to where a place has been read back from Slack: a channel (empty thread) or one of its threads.
CREATE TABLE cursor (
    team    TEXT NOT NULL,
    channel TEXT NOT NULL,
    thread  TEXT NOT NULL,
    ts      TEXT NOT NULL,
    PRIMARY KEY (team, channel, thread)
) WITHOUT ROWID;

-- Moments that outlive the process, by name, in microseconds of Slack's time.
CREATE TABLE moment (
    name TEXT PRIMARY KEY,
    us   INTEGER NOT NULL
) WITHOUT ROWID;

-- The starts of the daemon, and whether each came to an orderly end.
CREATE TABLE boot (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    started_ms INTEGER NOT NULL,
    clean      INTEGER NOT NULL DEFAULT 0 CHECK (clean IN (0, 1)),
    held_s     INTEGER NOT NULL DEFAULT 0, -- for how long no turn began, because earlier runs had crashed, in seconds
    probes     INTEGER NOT NULL DEFAULT 0  -- commits made only to see whether one works
);
