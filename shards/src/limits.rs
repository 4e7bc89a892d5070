//! Every bound of the data path, with its unit and its reason. What has no bound here must not
//! grow with what a miner sends.

use std::time::Duration;

/// Longest line a miner may send, line feed included (`stratum.md` §1.7).
pub const LINE_BYTES_MAX: usize = 64 * 1024;
/// Buffers that the sockets of a shard receive into, and their size: 16 shares of an eager miner
/// fill half of one, and a turn of the shard has one for each socket that has something to say.
pub const RECEIVE_BUFFERS: u16 = 512;
pub const RECEIVE_BUFFER_BYTES: usize = 4 * 1024;
/// Largest `mining.notify`: coinbase halves in hex and a branch of 16 levels, with room.
pub const NOTIFY_BYTES_MAX: usize = 16 * 1024;
/// Bytes waiting for one miner: one that stops reading costs this much and no more.
pub const OUTBOX_BYTES_MAX: usize = 256 * 1024;
const _: () =
    assert!(OUTBOX_BYTES_MAX >= 2 * NOTIFY_BYTES_MAX, "an unsent notify leaves room for the next");

/// How long bytes may wait before the miner counts as gone, in its outbox or in the kernel's buffer
/// (`stratum.md` §1.9).
pub const OUTBOX_WAIT_MAX: Duration = Duration::from_secs(60);
/// How long a closing connection may take to accept the bytes it is still owed.
pub const CLOSE_LINGER: Duration = Duration::from_secs(2);
/// How often every connection is looked at: the error of the idle timeout, at most.
pub const SWEEP_INTERVAL: Duration = Duration::from_secs(1);
/// Pause between authorization and first work for a client that may still negotiate
/// (`stratum.md` §5.8).
pub const FIRST_WORK_DELAY: Duration = Duration::from_millis(250);
/// How often a shard hands its tally to control.
pub const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// How often a shard looks whether it has a ban to report before that.
pub const BAN_REPORT_INTERVAL: Duration = Duration::from_millis(100);
/// After a difficulty change, shares for the previous difficulty are good for this long
/// (`stratum.md` §6.8): they were in flight.
pub const PREVIOUS_DIFFICULTY_GRACE: Duration = Duration::from_secs(60);

/// Notified jobs of a connection that shares may name (`stratum.md` §5.9).
pub const RECENT_JOBS_MAX: usize = 10;
/// Notified jobs of a connection that a *block* may name while their height is still being mined:
/// half an hour of one new template every thirty seconds.
pub const BLOCK_JOBS_MAX: usize = 64;
const _: () = assert!(BLOCK_JOBS_MAX >= RECENT_JOBS_MAX, "a share's job is good for a block too");
/// Shares remembered for one notified job. Duplicates are found exactly, so a job that has had
/// this many is retired and its miner given the next one, rather than forgetting any.
pub const SEEN_PER_JOB_MAX: usize = 1 << 14;
/// The same for all jobs of a connection: beyond it the oldest are retired. Half a megabyte, and a
/// miner at the usual 15 shares a minute remembers a few hundred.
pub const SEEN_PER_SESSION_MAX: usize = 1 << 15;
const _: () = assert!(SEEN_PER_SESSION_MAX >= 2 * SEEN_PER_JOB_MAX, "the newest two are whole");
/// Blocks a connection is remembered to have found.
pub const FOUND_BLOCKS_MAX: usize = 1024;

/// Longest worker name, client identifier and job id (`stratum.md` §0.2).
pub const WORKER_NAME_BYTES_MAX: usize = 256;
pub const CLIENT_ID_BYTES_MAX: usize = 256;
pub const JOB_ID_BYTES_MAX: usize = 128;
/// Longest session id a client may bring; longer ones are ignored (`stratum.md` §1.6).
pub const SESSION_ID_BYTES_MAX: usize = 64;
/// Longest request id that is echoed; nothing real comes near it.
pub const REQUEST_ID_BYTES_MAX: usize = 1024;

/// Between two explanations of a low share on one connection: each costs a few dozen hashes.
pub const EXPLAIN_INTERVAL: Duration = Duration::from_secs(10);
/// Miners of one shard that are asked to come back in the same second when the pool stops.
pub const RECONNECTS_PER_SECOND: usize = 250;
/// How long a miner is asked to wait before it comes back, at most.
pub const RECONNECT_WAIT_MAX: Duration = Duration::from_secs(120);

/// How long the place of a miner that has gone is kept: its own patience with a share that it could
/// not send is two minutes (cgminer).
pub const PARKING_TIME: Duration = Duration::from_secs(300);
/// Places that are kept at a time; a farm that loses its line comes back to all of them.
pub const PARKED_SESSIONS_MAX: usize = 1 << 16;
/// Shares remembered at all parked places together, 20 to 50 MB.
pub const PARKED_SHARES_MAX: usize = 1 << 21;

/// Largest `extranonce2_size`: its push must stay a plain length byte (`stratum.md` §14, 27).
pub const EXTRANONCE2_BYTES_MAX: usize = 16;
/// Bytes of extranonce1 (`mining.md` §0.1).
pub const EXTRANONCE1_BYTES: usize = 4;
/// Largest extranonce push: a plain push opcode (`mining.md` §4.2).
pub const EXTRANONCE_PUSH_MAX: usize = 75;
const _: () = assert!(EXTRANONCE1_BYTES + EXTRANONCE2_BYTES_MAX <= EXTRANONCE_PUSH_MAX);
/// Largest coinbase script that Bitcoin's consensus allows (`CheckTransaction` in
/// `src/consensus/tx_check.cpp`).
pub const COINBASE_SCRIPT_BYTES_MAX: usize = 100;

/// Submissions judged side by side: as many as the widest kernel has lanes, and what comes with
/// the last of them.
pub const JUDGE_BATCH_WANTED: usize = 16;
pub const JUDGE_BATCH_MAX: usize = 64;

/// Blocks on their way from a shard to control. When full the finder waits; a block is never
/// dropped. On a real network one is an event; on regtest every share is one.
pub const SOLVED_QUEUE: usize = 1024;
/// Reports on their way to control; what does not fit is merged into the next.
pub const REPORT_QUEUE: usize = 4;
/// Errands on their way to a shard: people ask for them, one page at a time.
pub const ERRAND_QUEUE: usize = 64;
/// Connections without an authorization that a page lists; the rest of a flood of them is a number.
pub const STRANGERS_LISTED_MAX: usize = 1000;
/// New bans that a report carries: more in one second are in force all the same, but do not outlive
/// the process.
pub const BANS_PER_REPORT_MAX: usize = 4096;
/// Looks at miners that a report carries: all of a full shard's in one sweep.
pub const OBSERVATIONS_PER_REPORT_MAX: usize = 100_000;
/// Ended connections that a report names. Control learns of them every second; only one that has
/// not listened for as long as this many take to come and go would list some for ever.
pub const GONE_PER_REPORT_MAX: usize = 1 << 20;
/// Best shares that are told of, and kept (`state-and-services.md` §4).
pub const BEST_SHARES_MAX: usize = 12;
/// Connections a listener's backlog holds while its shard is busy.
pub const ACCEPT_BACKLOG: i32 = 4096;
