//! `tuning.toml` (`config.md` §3.6).

use super::{ANY, COUNT_MAX, above, at_least, between, section};

section! {
    /// How many may come, and how fast.
    pub struct RateLimits in Tuning "rate_limits" {
        max_conns: Integer(50_000), between(0.0, COUNT_MAX), Live, "connections at a time; 0 for no limit";
        max_accepts_per_second: Integer(500), at_least(0.0), Restart, commented,
            "new connections a second after a start; worked out from max_conns unless it is set";
        max_accept_burst: Integer(1000), at_least(0.0), Restart, commented,
            "new connections at once; worked out from max_conns unless it is set";
        disable_connect_rate_limits: Bool(false), ANY, Restart, "no limit for new connections";
        auto_accept_rate_limits: Bool(true), ANY, Restart, commented,
            "true works out the limits even where one is set";
        accept_reconnect_window: Integer(15), above(0.0).or_default(), Restart,
            "seconds in which all miners can come back after a start";
        accept_burst_window: Integer(5), above(0.0).or_default(), Restart, "the part of them that the burst serves";
        accept_steady_state_window: Integer(100), ANY, Restart,
            "seconds after a start from when on the steady rate holds; 0 never";
        accept_steady_state_rate: Integer(50), ANY, Restart, commented,
            "new connections a second from then on; worked out from max_conns unless it is set";
        accept_steady_state_reconnect_percent: Float(5.0), above(0.0).or_default(), Restart,
            "miners that come back in normal operation, of all";
        accept_steady_state_reconnect_window: Integer(60), above(0.0).or_default(), Restart, "seconds in which they do";
        stratum_messages_per_minute: Integer(0), between(0.0, COUNT_MAX), Live,
            "lines a miner may send in a minute before it is banned for an hour; 0 for no limit";
    }
}

section! {
    /// How hard shares are.
    pub struct Difficulty in Tuning "difficulty" {
        max_difficulty: Float(0.0), at_least(0.0), Live, "the highest; 0 for no limit";
        min_difficulty: Float(256.0), at_least(0.0), Live, "the lowest; 0 for no limit";
        default_difficulty: Float(0.0), at_least(0.0), Connect, "where miners start that ask for nothing; 0 is the lowest";
        target_shares_per_min: Float(15.0), above(0.0).or_default(), Live, "what each miner's difficulty is set for";
        vardiff_enabled: Bool(true), ANY, Live, "set difficulties by what miners do";
        lock_suggested_difficulty: Bool(false), ANY, Connect, "the first one a miner suggests stays";
        enforce_suggested_difficulty_limits: Bool(false), ANY, Connect,
            "a suggestion outside of the limits ends in a ban of an hour";
    }
}

section! {
    /// What is in a coinbase.
    pub struct CoinbaseTuning in Tuning "mining" {
        extranonce2_size: Integer(4), between(1.0, 16.0), Restart, "bytes that miners roll";
        template_extra_nonce2_size: Integer(8), between(0.0, 71.0), Job, "bytes that are kept for them in the coinbase";
        job_entropy: Integer(4), between(0.0, 16.0), Job, "characters of each job's own in the coinbase; 0 removes the pool's too";
        coinbase_scriptsig_max_bytes: Integer(100), between(0.0, COUNT_MAX), Job, "the tag is cut to fit; 0 is what consensus allows";
        disable_pool_job_entropy: Bool(false), ANY, Job, "true leaves both out, whatever job_entropy says";
        difficulty_step_granularity: Integer(10), between(1.0, COUNT_MAX).or_default(), Live,
            "steps of difficulty from one power of two to the next; whole numbers above 1 whatever stands here";
    }
}

section! {
    /// How hashrates are smoothed.
    pub struct HashrateTuning in Tuning "hashrate" {
        hashrate_ema_tau_seconds: Float(450.0), above(0.0).or_default(), Live, "time constant of a worker's average";
        hashrate_cumulative_enabled: Bool(false), ANY, Live, "blend the average of the whole connection into what is shown";
        hashrate_recent_cumulative_enabled: Bool(false), ANY, Live, "and that of the last minutes";
        saved_worker_history_flush_interval_seconds: Integer(10_800), above(0.0).or_default(), Live,
            "how often the history of saved workers is written";
    }
}

section! {
    /// Sockets.
    pub struct StratumTuning in Tuning "stratum" {
        tcp_read_buffer_bytes: Integer(0), between(0.0, COUNT_MAX).or_default(), Connect, "a miner's receive buffer; 0 is the system's own";
        tcp_write_buffer_bytes: Integer(0), between(0.0, COUNT_MAX).or_default(), Connect, "its send buffer; 0 is the system's own";
    }
}

section! {
    /// Slow peers of the node.
    pub struct PeerCleaning in Tuning "peer_cleaning" {
        enabled: Bool(false), ANY, Live, "have the node disconnect its slowest peers";
        max_ping_ms: Float(250.0), at_least(0.0).or_default(), Live, "what is slow; 0 is nothing";
        min_peers: Integer(30), between(0.0, COUNT_MAX).or_default(), Live, "never leave it with fewer; 0 is 20";
    }
}

section! {
    /// New: threads.
    pub struct Shards in Tuning "shards" {
        count: Integer(0), between(0.0, 1024.0), Restart, "threads that serve miners; 0 is one for each core but one";
    }
}
