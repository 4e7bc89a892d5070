//! `policy.toml` (`config.md` §3.5).

use super::{ANY, COUNT_MAX, above, at_least, between, section};

section! {
    /// The shape of answers.
    pub struct PolicyStratum in Policy "stratum" {
        ckpool_emulate: Bool(true), ANY, Live, "advertise mining.notify alone when a miner subscribes, as ckpool does";
    }
}

section! {
    /// Which shares pass. A block passes whatever stands here.
    pub struct ShareChecks in Policy "mining" {
        share_job_freshness_mode: Integer(1), between(0.0, 2.0).or_default(), Live,
            "0 takes shares for any job, 1 for known jobs, 2 for known jobs on the current tip";
        share_check_ntime_window: Bool(true), ANY, Live, "a share's time must be within its job's";
        share_check_version_rolling: Bool(true), ANY, Live, "its version must keep to the mask";
        share_require_authorized_connection: Bool(true), ANY, Live, "its miner must have authorized";
        share_check_param_format: Bool(true), ANY, Live, "its fields must have the right length and digits";
        share_require_worker_match: Bool(false), ANY, Live, "its worker must be the one that has authorized";
        submit_process_inline: Bool(false), ANY, Live, "kept for old files; shares are always judged at once";
        share_check_duplicate: Bool(true), ANY, Live, "it must not have been there before";
    }
}

section! {
    /// How far time may run ahead.
    pub struct PolicyHashrate in Policy "hashrate" {
        share_ntime_max_forward_seconds: Integer(7000), above(0.0).or_default(), Live,
            "how far a share's time may run ahead of its job's";
    }
}

section! {
    /// Header versions.
    pub struct Version in Policy "version" {
        min_version_bits: Integer(1), between(0.0, 16.0), Connect, "bits that version rolling offers to miners";
        share_allow_out_of_mask_version_bits: Bool(false), ANY, Live, ["share_allow_version_mask_mismatch"],
            "take shares that change other bits, such as bit 4 for BIP-110";
        share_allow_degraded_version_bits: Bool(true), ANY, Live, "kept for old files, without effect";
        bip110_enabled: Bool(false), ANY, Job, "set bit 4 in the version of new work";
    }
}

section! {
    /// Who is turned away.
    pub struct Bans in Policy "bans" {
        clean_expired_on_startup: Bool(true), ANY, Restart, "forget bans that have ended";
        ban_invalid_submissions_after: Integer(40), between(0.0, COUNT_MAX).or_default(), Live,
            "invalid shares in the window below that end in a ban; 0 never";
        ban_invalid_submissions_window_seconds: Integer(300), above(0.0).or_default(), Live, "the window";
        ban_invalid_submissions_duration_seconds: Integer(900), above(0.0).or_default(), Live, "how long a ban lasts";
        reconnect_ban_threshold: Integer(60), between(0.0, COUNT_MAX).or_default(), Live,
            "connections from one address in the window below that are too many; 0 never";
        reconnect_ban_window_seconds: Integer(60), above(0.0).or_default(), Live, "the window";
        reconnect_ban_duration_seconds: Integer(3600), above(0.0).or_default(), Live, "how long it is refused then";
        banned_miner_types: Texts(()), ANY, Live,
            "clients that are turned away, by identifier or name; miner_blacklist.json wins over it";
    }
}

section! {
    /// When a miner is taken for gone.
    pub struct Timeouts in Policy "timeouts" {
        connection_timeout_seconds: Integer(180), at_least(30.0), Live, "a miner that says nothing for so long is closed";
    }
}
