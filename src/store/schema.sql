-- The state database, table by table as the reference's own, so that a folder can move between
-- the two (`state-and-services.md` §1.2, §1.3). Idempotent: run at every start.

CREATE TABLE IF NOT EXISTS bans (
    worker TEXT PRIMARY KEY, worker_hash TEXT NOT NULL, until_unix INTEGER NOT NULL, reason TEXT,
    updated_at_unix INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS bans_hash_idx ON bans (worker_hash);
CREATE INDEX IF NOT EXISTS bans_until_idx ON bans (until_unix);

CREATE TABLE IF NOT EXISTS best_shares (
    position INTEGER PRIMARY KEY, worker TEXT NOT NULL, difficulty REAL NOT NULL,
    timestamp_unix INTEGER NOT NULL, hash TEXT);

CREATE TABLE IF NOT EXISTS found_blocks_log (
    id INTEGER PRIMARY KEY AUTOINCREMENT, created_at_unix INTEGER NOT NULL, json TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS found_blocks_log_created_idx ON found_blocks_log (created_at_unix);

CREATE TABLE IF NOT EXISTS pending_submissions (
    submission_key TEXT PRIMARY KEY, timestamp_unix INTEGER NOT NULL, height INTEGER NOT NULL,
    hash TEXT, worker TEXT, block_hex TEXT NOT NULL, rpc_error TEXT, rpc_url TEXT,
    payout_addr TEXT, status TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS pending_submissions_status_idx ON pending_submissions (status);
CREATE INDEX IF NOT EXISTS pending_submissions_timestamp_idx
    ON pending_submissions (timestamp_unix);

CREATE TABLE IF NOT EXISTS db_change_state (key TEXT PRIMARY KEY, version INTEGER NOT NULL);
INSERT OR IGNORE INTO db_change_state (key, version) VALUES ('worker_db', 1);
