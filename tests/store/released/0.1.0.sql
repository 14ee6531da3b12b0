PRAGMA application_id = 1634562353;
PRAGMA user_version = 0;
BEGIN TRANSACTION;
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
INSERT INTO "accounts" VALUES('default','shop','smtp.example.org',587,NULL,NULL,300.0,NULL,100,NULL,0,NULL,'required',1,NULL,'smtp',NULL,'{}',1);
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
INSERT INTO "attempts" VALUES(1,1,1,1750000000.0,1750000000.0,'sent',0,NULL,'[["b@example.org","accepted",250,"2.0.0","as told"]]');
INSERT INTO "attempts" VALUES(2,1,1,1750000000.0,1750000000.0,'sent',0,NULL,'[["b@example.org","accepted",250,"2.0.0","as told"]]');
CREATE TABLE digests (
    message_key INTEGER PRIMARY KEY,
    digests TEXT NOT NULL                   -- JSON object by storage path
) STRICT;
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
INSERT INTO "messages" VALUES(1,'default','reported',1,'shop',2,1,'sent',NULL,NULL,1750000000.0,NULL,NULL,NULL,0,0,0,0,0,0,0,0,1,1,1750000000,NULL,NULL,1750000000,1750000000.0,82,NULL,1750000000.0,1750000000);
INSERT INTO "messages" VALUES(2,'default','sent',1,'shop',2,2,'sent',NULL,NULL,1750000000.0,NULL,NULL,NULL,0,0,0,0,0,0,0,0,1,1,1750000000,NULL,NULL,NULL,NULL,82,NULL,1750000000.0,1750000000);
INSERT INTO "messages" VALUES(3,'default','error',1,'shop',2,3,'error',NULL,NULL,1750000000.0,NULL,NULL,NULL,0,0,0,0,0,0,0,0,1,1,NULL,1750000000,'550 no',NULL,NULL,82,NULL,1750000000.0,1750000000);
INSERT INTO "messages" VALUES(4,'default','retry',1,'shop',2,4,'retry',1750003600.0,1750003600,1750000000.0,NULL,NULL,NULL,0,0,0,0,1,0,0,0,1,0,NULL,NULL,'451 later',NULL,NULL,82,NULL,1750000000.0,1750000000);
INSERT INTO "messages" VALUES(5,'default','claimed',1,'shop',2,5,'claimed',NULL,NULL,1750000000.0,NULL,NULL,'492003ab7d048097913bb96531c4083c1f27e141dabe98cf8449903f8711ca2c',1,0,0,0,0,0,0,0,0,0,NULL,NULL,NULL,NULL,NULL,82,NULL,1750000000.0,1750000000);
INSERT INTO "messages" VALUES(6,'default','deferred',1,'shop',2,6,'scheduled',1750086400.0,1750086400,1750086400.0,NULL,NULL,NULL,0,0,0,0,0,0,0,0,0,0,NULL,NULL,NULL,NULL,NULL,82,NULL,1750000000.0,1750000000);
INSERT INTO "messages" VALUES(7,'default','queued',1,'shop',2,7,'ready',NULL,NULL,1750000000.0,NULL,NULL,NULL,0,0,0,0,0,0,0,0,0,0,NULL,NULL,NULL,NULL,NULL,82,NULL,1750000000.0,1750000000);
CREATE TABLE meta (
    name TEXT PRIMARY KEY,
    value ANY NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO "meta" VALUES('active',1);
INSERT INTO "meta" VALUES('arrival',7);
INSERT INTO "meta" VALUES('database_id','9a8444d6-4820-475c-82d6-b55912a0d25f');
INSERT INTO "meta" VALUES('min_compatible',1);
INSERT INTO "meta" VALUES('probe',0);
INSERT INTO "meta" VALUES('result',3);
INSERT INTO "meta" VALUES('revision',1);
INSERT INTO "meta" VALUES('version',1);
CREATE TABLE payloads (
    message_key INTEGER PRIMARY KEY,
    payload TEXT NOT NULL                   -- JSON
) STRICT;
INSERT INTO "payloads" VALUES(1,'{"from": "a@example.org", "to": ["b@example.org"], "subject": "s", "body": "text"}');
INSERT INTO "payloads" VALUES(2,'{"from": "a@example.org", "to": ["b@example.org"], "subject": "s", "body": "text"}');
INSERT INTO "payloads" VALUES(3,'{"from": "a@example.org", "to": ["b@example.org"], "subject": "s", "body": "text"}');
INSERT INTO "payloads" VALUES(4,'{"from": "a@example.org", "to": ["b@example.org"], "subject": "s", "body": "text"}');
INSERT INTO "payloads" VALUES(5,'{"from": "a@example.org", "to": ["b@example.org"], "subject": "s", "body": "text"}');
INSERT INTO "payloads" VALUES(6,'{"from": "a@example.org", "to": ["b@example.org"], "subject": "s", "body": "text"}');
INSERT INTO "payloads" VALUES(7,'{"from": "a@example.org", "to": ["b@example.org"], "subject": "s", "body": "text"}');
CREATE TABLE rate_buckets (
    tenant_id TEXT NOT NULL,
    account_id TEXT NOT NULL,
    window INTEGER NOT NULL,                -- seconds
    bucket INTEGER NOT NULL,                -- steady time divided by the width of a part
    used INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, account_id, window, bucket)
) STRICT, WITHOUT ROWID;
INSERT INTO "rate_buckets" VALUES('default','shop',60,1750000000,3);
INSERT INTO "rate_buckets" VALUES('default','shop',3600,29166666,3);
INSERT INTO "rate_buckets" VALUES('default','shop',86400,1215277,3);
CREATE TABLE reports (
    message_key INTEGER NOT NULL,
    result_key INTEGER NOT NULL,
    sink TEXT NOT NULL,
    not_before REAL NOT NULL DEFAULT 0,
    acknowledged_ts INTEGER,
    PRIMARY KEY (message_key, result_key, sink)
) STRICT, WITHOUT ROWID;
INSERT INTO "reports" VALUES(1,1,'app',0.0,1750000000);
INSERT INTO "reports" VALUES(2,2,'app',0.0,NULL);
INSERT INTO "reports" VALUES(3,3,'app',0.0,NULL);
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
INSERT INTO "results" VALUES(1,1,'default','reported','shop',2,1,1,1750000000,NULL,NULL,NULL,NULL,1750000000.0);
INSERT INTO "results" VALUES(2,2,'default','sent','shop',2,1,1,1750000000,NULL,NULL,NULL,NULL,1750000000.0);
INSERT INTO "results" VALUES(3,3,'default','error','shop',2,1,1,NULL,1750000000,'550 no',NULL,NULL,1750000000.0);
CREATE TABLE settled (
    message_key INTEGER PRIMARY KEY,
    outcomes TEXT NOT NULL                  -- JSON list of [recipient, disposition, code, enhanced, text]
) STRICT;
CREATE TABLE sinks (
    name TEXT PRIMARY KEY
) STRICT, WITHOUT ROWID;
INSERT INTO "sinks" VALUES('app');
CREATE INDEX messages_of_account ON messages (tenant_id, account_id, key);
CREATE INDEX messages_ready ON messages (tenant_id, account_id, priority, arrival, ready_ts)
    WHERE state = 'ready';
CREATE INDEX messages_scheduled ON messages (due, tenant_id, account_id) WHERE state = 'scheduled';
CREATE INDEX messages_retry ON messages (due, tenant_id, account_id) WHERE state = 'retry';
CREATE INDEX messages_orphaned ON messages (arrival) WHERE state = 'orphaned';
CREATE INDEX messages_claimed ON messages (tenant_id, account_id) WHERE state = 'claimed';
CREATE INDEX messages_done ON messages (tenant_id, account_id, done_ts) WHERE done_ts IS NOT NULL;
CREATE INDEX reports_pending ON reports (sink, result_key) WHERE acknowledged_ts IS NULL;
COMMIT;
