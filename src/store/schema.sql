-- The state database, table by table as the reference's own, so that a folder can move between
-- the two (`state-and-services.md` §1.2). Idempotent: run whenever the file is opened.

CREATE TABLE IF NOT EXISTS bans (
    worker TEXT PRIMARY KEY, worker_hash TEXT NOT NULL, until_unix INTEGER NOT NULL, reason TEXT,
    updated_at_unix INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS bans_hash_idx ON bans (worker_hash);
CREATE INDEX IF NOT EXISTS bans_until_idx ON bans (until_unix);

CREATE TABLE IF NOT EXISTS best_shares (
    position INTEGER PRIMARY KEY, worker TEXT NOT NULL, difficulty REAL NOT NULL,
    timestamp_unix INTEGER NOT NULL, hash TEXT);

CREATE TABLE IF NOT EXISTS saved_workers (
    user_id TEXT NOT NULL, worker TEXT NOT NULL, worker_hash TEXT, worker_display TEXT,
    notify_enabled INTEGER NOT NULL DEFAULT 1, best_difficulty REAL NOT NULL DEFAULT 0,
    PRIMARY KEY (user_id, worker));

CREATE TABLE IF NOT EXISTS clerk_users (
    user_id TEXT PRIMARY KEY, first_seen_unix INTEGER NOT NULL, last_seen_unix INTEGER NOT NULL,
    seen_count INTEGER NOT NULL DEFAULT 0);
CREATE INDEX IF NOT EXISTS clerk_users_last_seen_idx ON clerk_users (last_seen_unix);

CREATE TABLE IF NOT EXISTS discord_links (
    user_id TEXT PRIMARY KEY, discord_user_id TEXT NOT NULL, enabled INTEGER NOT NULL DEFAULT 1,
    linked_at INTEGER NOT NULL, updated_at INTEGER NOT NULL);
CREATE UNIQUE INDEX IF NOT EXISTS discord_links_discord_user_idx
    ON discord_links (discord_user_id);

CREATE TABLE IF NOT EXISTS discord_worker_state (
    user_id TEXT NOT NULL, worker_hash TEXT NOT NULL, online INTEGER NOT NULL,
    since INTEGER NOT NULL, seen_online INTEGER NOT NULL, seen_offline INTEGER NOT NULL,
    offline_eligible INTEGER NOT NULL DEFAULT 0, offline_notified INTEGER NOT NULL,
    recovery_eligible INTEGER NOT NULL, recovery_notified INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (user_id, worker_hash));
CREATE INDEX IF NOT EXISTS discord_worker_state_user_idx ON discord_worker_state (user_id);

CREATE TABLE IF NOT EXISTS one_time_codes (
    user_id TEXT PRIMARY KEY, code TEXT NOT NULL, created_at_unix INTEGER NOT NULL,
    expires_at_unix INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS one_time_codes_expires_idx ON one_time_codes (expires_at_unix);

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

CREATE TABLE IF NOT EXISTS backup_state (
    key TEXT PRIMARY KEY, last_backup_unix INTEGER NOT NULL, data_version INTEGER NOT NULL,
    updated_at_unix INTEGER NOT NULL);

CREATE TABLE IF NOT EXISTS db_change_state (key TEXT PRIMARY KEY, version INTEGER NOT NULL);
INSERT OR IGNORE INTO db_change_state (key, version) VALUES ('worker_db', 1);

-- What follows is our own; the reference leaves it alone.

-- Where an automatic ban applies; a ban without a row here applies everywhere (FIX-9).
CREATE TABLE IF NOT EXISTS ban_sources (
    worker TEXT PRIMARY KEY, source TEXT NOT NULL);

-- The whole life of each block: `found`, `submitted` (the node has not answered), `accepted`,
-- `rejected`, `stale` (never in the best chain), `orphaned` (once in it).
CREATE TABLE IF NOT EXISTS block_life (
    hash TEXT PRIMARY KEY, height INTEGER NOT NULL, worker TEXT NOT NULL, state TEXT NOT NULL,
    found_at_unix INTEGER NOT NULL, submitted_at_unix INTEGER NOT NULL DEFAULT 0,
    settled_at_unix INTEGER NOT NULL DEFAULT 0, changed_at_unix INTEGER NOT NULL,
    confirmations INTEGER NOT NULL DEFAULT 0, reason TEXT NOT NULL DEFAULT '',
    json TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS block_life_found_idx ON block_life (found_at_unix);

-- Places of notices that have yet to be told of a found block; `notice_id` is the same at each try.
CREATE TABLE IF NOT EXISTS untold_blocks (
    place TEXT NOT NULL, hash TEXT NOT NULL, notice_id TEXT NOT NULL, PRIMARY KEY (place, hash));
