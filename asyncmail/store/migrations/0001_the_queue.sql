-- Version 1: the whole queue. Every table is keyed by the tenant or by the message's own key.
-- Times: *_ts, created_ts and updated_at are wall seconds; ready_ts, due, not_before and rate buckets are
-- steady seconds, except that the due of a scheduled message is its wall time.

CREATE TABLE meta (
    name TEXT PRIMARY KEY,
    value ANY NOT NULL
) STRICT, WITHOUT ROWID;

INSERT INTO meta (name, value) VALUES
    ('active', 1),      -- whether sending is on
    ('arrival', 0),     -- the last number given to an arriving message
    ('result', 0),      -- the last number given to a result
    ('revision', 0),    -- the last number given to a change of an account
    ('probe', 0);       -- written to see whether the database takes commits again

-- One narrow row per id: what claims, results and sweeps touch. The payload lives apart.
CREATE TABLE messages (
    key INTEGER PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    id TEXT NOT NULL,
    generation INTEGER NOT NULL DEFAULT 1,
    account_id TEXT NOT NULL,
    priority INTEGER NOT NULL,
    arrival INTEGER NOT NULL,               -- the order of starting; new for each generation
    state TEXT NOT NULL CHECK (
        state IN ('ready', 'scheduled', 'retry', 'orphaned', 'claimed', 'sent', 'error')),
    due REAL,                               -- of scheduled (wall) and retry (steady)
    deferred_ts INTEGER,                    -- as shown
    ready_ts REAL NOT NULL,                 -- when it could first have been started
    expires_ts REAL,
    hold INTEGER,                           -- the message's own policy on uncertain outcomes
    claim_token TEXT,                       -- null in state claimed: the owner is dead
    claim_unit INTEGER NOT NULL DEFAULT 0,  -- the claim holds a unit of the rate limits
    claim_hold INTEGER NOT NULL DEFAULT 0,
    claim_intent INTEGER NOT NULL DEFAULT 0, -- the dot may have left
    claim_orphan INTEGER NOT NULL DEFAULT 0, -- it was orphaned before: it waited when its account was deleted
    attempts INTEGER NOT NULL DEFAULT 0,
    uncertain INTEGER NOT NULL DEFAULT 0,
    rescues INTEGER NOT NULL DEFAULT 0,
    unexpected INTEGER NOT NULL DEFAULT 0,
    recorded INTEGER NOT NULL DEFAULT 0,    -- outcomes recorded over the whole life of the id
    result_seq INTEGER NOT NULL DEFAULT 0,  -- results published over the whole life of the id
    sent_ts INTEGER,
    error_ts INTEGER,
    error TEXT,
    reported_ts INTEGER,
    done_ts REAL,                           -- retention counts from here; null while anything is owed
    size INTEGER NOT NULL,                  -- of the payload, in bytes
    tags TEXT,                              -- JSON list
    created_ts REAL NOT NULL,
    updated_at INTEGER NOT NULL,
    UNIQUE (tenant_id, id)
) STRICT;

CREATE INDEX messages_of_account ON messages (tenant_id, account_id, key);
CREATE INDEX messages_ready ON messages (tenant_id, account_id, priority, arrival, ready_ts)
    WHERE state = 'ready';
CREATE INDEX messages_scheduled ON messages (due, tenant_id, account_id) WHERE state = 'scheduled';
CREATE INDEX messages_retry ON messages (due, tenant_id, account_id) WHERE state = 'retry';
CREATE INDEX messages_orphaned ON messages (arrival) WHERE state = 'orphaned';
CREATE INDEX messages_claimed ON messages (tenant_id, account_id) WHERE state = 'claimed';
CREATE INDEX messages_done ON messages (tenant_id, account_id, done_ts) WHERE done_ts IS NOT NULL;

CREATE TABLE payloads (
    message_key INTEGER PRIMARY KEY,
    payload TEXT NOT NULL                   -- JSON
) STRICT;

-- Recipients that are not to be tried again, of messages that are only partly through.
CREATE TABLE settled (
    message_key INTEGER PRIMARY KEY,
    outcomes TEXT NOT NULL                  -- JSON list of [recipient, disposition, code, enhanced, text]
) STRICT;

-- SHA-256 of attachments as first fetched.
CREATE TABLE digests (
    message_key INTEGER PRIMARY KEY,
    digests TEXT NOT NULL                   -- JSON object by storage path
) STRICT;

CREATE TABLE attempts (
    message_key INTEGER NOT NULL,
    number INTEGER NOT NULL,                -- messages.recorded at that time
    generation INTEGER NOT NULL,
    started_ts REAL NOT NULL,
    ended_ts REAL NOT NULL,
    outcome TEXT NOT NULL,
    uncertain INTEGER NOT NULL,
    error TEXT,
    recipients TEXT NOT NULL,               -- JSON as settled.outcomes
    PRIMARY KEY (message_key, number)
) STRICT, WITHOUT ROWID;

-- What is told to sinks: the fields of a report as they were when the result was recorded.
CREATE TABLE results (
    message_key INTEGER NOT NULL,
    key INTEGER NOT NULL,                   -- rises from result to result
    tenant_id TEXT NOT NULL,
    id TEXT NOT NULL,
    account_id TEXT NOT NULL,
    priority INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    result_seq INTEGER NOT NULL,
    sent_ts INTEGER,
    error_ts INTEGER,
    error TEXT,
    deferred_ts INTEGER,
    tags TEXT,
    recorded_ts REAL NOT NULL,
    PRIMARY KEY (message_key, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE sinks (
    name TEXT PRIMARY KEY
) STRICT, WITHOUT ROWID;

-- What each sink made of a result.
CREATE TABLE reports (
    message_key INTEGER NOT NULL,
    result_key INTEGER NOT NULL,
    sink TEXT NOT NULL,
    not_before REAL NOT NULL DEFAULT 0,
    acknowledged_ts INTEGER,
    PRIMARY KEY (message_key, result_key, sink)
) STRICT, WITHOUT ROWID;

CREATE INDEX reports_pending ON reports (sink, result_key) WHERE acknowledged_ts IS NULL;

CREATE TABLE accounts (
    tenant_id TEXT NOT NULL,
    id TEXT NOT NULL,
    host TEXT NOT NULL,
    port INTEGER NOT NULL,
    user TEXT,
    password TEXT,                          -- encrypted, see asyncmail/store/keys.py
    ttl REAL NOT NULL,
    per_minute INTEGER,
    per_hour INTEGER,
    per_day INTEGER,
    error_over INTEGER NOT NULL,
    batch_size INTEGER,
    tls TEXT NOT NULL,
    verify INTEGER NOT NULL,
    max_connections INTEGER,
    transport TEXT NOT NULL,
    on_uncertain TEXT,
    timeouts TEXT NOT NULL,                 -- JSON object
    revision INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, id)
) STRICT, WITHOUT ROWID;

-- Units used, in parts of a 60th of each window. Not tied to accounts: a new one of that id inherits.
CREATE TABLE rate_buckets (
    tenant_id TEXT NOT NULL,
    account_id TEXT NOT NULL,
    window INTEGER NOT NULL,                -- seconds
    bucket INTEGER NOT NULL,                -- steady time divided by the width of a part
    used INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, account_id, window, bucket)
) STRICT, WITHOUT ROWID;
