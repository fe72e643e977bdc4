-- How each question was settled, without its command.
CREATE TABLE audit (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    approval  TEXT NOT NULL UNIQUE,
    at_ms     INTEGER NOT NULL,
    team      TEXT NOT NULL,
    channel   TEXT NOT NULL,
    thread    TEXT NOT NULL,
    session   TEXT,
    turn      TEXT,
    requester TEXT NOT NULL,
    decider   TEXT,                 -- unknown unless somebody decided
    command   TEXT NOT NULL,        -- its SHA-256, in hexadecimal digits
    outcome   TEXT NOT NULL CHECK (outcome IN ('decided', 'expired', 'withdrawn', 'cut_off')),
    option    TEXT,                 -- what the agent called what was chosen, and what that means
    kind      TEXT
);
