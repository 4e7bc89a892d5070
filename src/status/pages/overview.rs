//! The overview: how to connect, how the pool and the network do, who was best.

use minijinja::context;
use minijinja::value::Value;
use serde::Serialize;

use super::chart::Chart;
use super::public::{Donation, Facts};
use crate::shown::{Password, Shown};
use crate::snapshot::{Snapshot, StratumListener};
use crate::status::events::Figures;
use crate::status::format;
use crate::status::health::Health;
use crate::status::json::{Overview, blocks};

/// Stands for the pool's host name in a rendered page until a request tells it.
pub const HOST_PLACEHOLDER: &str = "@HOST@";
/// A listener on all addresses has no name of its own.
const EVERY_ADDRESS: [&str; 4] = ["", "0.0.0.0", "[::]", "::"];
/// Rows of the table; all of them are on a page of their own.
const BLOCKS_SHOWN: usize = 10;
/// Hashes that a share of difficulty 1 takes on average.
const HASHES_PER_DIFFICULTY: f64 = 4_294_967_296.0;
const BLOCKS_PER_YEAR: f64 = 52_560.0;
const BLOCK_SECONDS: f64 = 600.0;

pub fn context(facts: &Facts<'_>) -> Value {
    let Facts { snapshot, hashrate, .. } = *facts;
    let miners = snapshot.connections.authorized;
    let list = blocks::list(snapshot);
    context! {
            notice => Notice::new(snapshot),
            connect => Connect::new(snapshot),
            figures => Figures::new(snapshot),
            miners_tls => snapshot.connections.authorized_tls,
            shares_each => snapshot.shares.per_minute / (miners.max(1)) as f64,
            fee => format::percent(snapshot.pool_fee_percent),
            has_fee => snapshot.pool_fee_percent > 0.0,
            donation => Donation::new(&snapshot.shown),
            odds => odds(snapshot.shares.hashrate, hashrate.block_difficulty),
            network_hashrate => hashrate.block_difficulty * HASHES_PER_DIFFICULTY / BLOCK_SECONDS,
            intervals => intervals(&snapshot.feed.block_times),
            blocks => &list[..list.len().min(BLOCKS_SHOWN)],
            has_more_blocks => list.len() > BLOCKS_SHOWN,
            reward => snapshot.job.as_ref().map(|job| job.coinbase_value_sats),
            chart => hashrate.ph24.as_ref().and_then(Chart::of),
            hashrate,
            overview => Overview::new(snapshot),
    }
}

/// The chance that the pool finds one block or more in a year, as people say it.
pub fn odds(pool: f64, network_difficulty: f64) -> Option<String> {
    let network = network_difficulty * HASHES_PER_DIFFICULTY / BLOCK_SECONDS;
    if !(network > 0.0 && pool > 0.0) {
        return None;
    }
    let share = (pool / network).min(1.0);
    // Exact for the tiny shares that miners at home have, where 1 − share would be 1.
    let chance = -(BLOCKS_PER_YEAR * (-share).ln_1p()).exp_m1();
    Some(format::odds(chance))
}

/// Between the newest blocks of the chain, newest first, as people say it.
fn intervals(times: &[std::time::SystemTime]) -> Vec<String> {
    let pairs = times.windows(2).rev();
    let text = |pair: &[std::time::SystemTime]| match pair[1].duration_since(pair[0]) {
        Ok(interval) if !interval.is_zero() => format::interval(interval),
        // Miners choose the time in a header, within bounds.
        _ => "0s".to_owned(),
    };
    pairs.map(text).collect()
}

/// What a miner has to be told.
#[derive(Serialize)]
struct Connect<'a> {
    plain: Vec<String>,
    tls: Vec<String>,
    extra: &'a str,
    extra_url: &'a str,
    /// None when the operator tells it.
    password: Option<&'a str>,
    is_password_free: bool,
    lowest: Option<Limit>,
    highest: Option<Limit>,
    target: f64,
    blocked_clients: &'a [String],
}

/// The hashrate at which a miner keeps the target at that difficulty.
#[derive(Serialize)]
struct Limit {
    difficulty: f64,
    hashrate: f64,
}

impl<'a> Connect<'a> {
    fn new(snapshot: &'a Snapshot) -> Self {
        let shown = &snapshot.shown;
        let addresses = |tls| {
            let listeners = snapshot.stratum_listeners.iter();
            listeners.filter(move |one| one.tls == tls).map(|one| address(one, shown)).collect()
        };
        let target = shown.target_shares_per_min;
        let limit = |difficulty: f64| {
            let hashrate = difficulty * HASHES_PER_DIFFICULTY * target / 60.0;
            (difficulty > 0.0).then_some(Limit { difficulty, hashrate })
        };
        Self {
            plain: addresses(false),
            tls: addresses(true),
            extra: &shown.connect_extra,
            extra_url: &shown.connect_extra_url,
            password: match &shown.password {
                Password::None => Some("x"),
                Password::Public(password) => Some(password),
                Password::Secret => None,
            },
            is_password_free: shown.password == Password::None,
            lowest: limit(shown.difficulty_min),
            highest: limit(shown.difficulty_max),
            target,
            blocked_clients: &shown.blocked_clients,
        }
    }
}

/// What a miner enters for a listener.
fn address(listener: &StratumListener, shown: &Shown) -> String {
    let (host, port) = listener.address.rsplit_once(':').unwrap_or((&listener.address, ""));
    let host = match EVERY_ADDRESS.contains(&host) {
        true if !shown.domain.is_empty() => &shown.domain,
        true => HOST_PLACEHOLDER,
        false => host,
    };
    let scheme = if listener.tls { "stratum+tls" } else { "stratum+tcp" };
    format!("{scheme}://{host}:{port}")
}

/// Stands in place of the figures while the pool cannot do its work.
#[derive(Serialize)]
struct Notice {
    is_error: bool,
    title: &'static str,
    text: &'static str,
    reason: Option<&'static str>,
    /// Of the node's chain, when it is not whole yet.
    sync: Option<Sync>,
    job_at: Option<String>,
    success_at: Option<String>,
}

#[derive(Serialize)]
struct Sync {
    is_initial_download: bool,
    blocks: u64,
    headers: u64,
}

impl Notice {
    fn new(snapshot: &Snapshot) -> Option<Self> {
        let chain = snapshot.node.chain.as_ref();
        let behind = chain.filter(|c| c.is_initial_download || c.blocks < c.headers);
        let is_catching_up = behind.is_some() && snapshot.work_source.blocks_behind.is_some();
        let (is_error, title, text, reason) = match Health::of(snapshot) {
            Health::Good => return None,
            Health::Starting => (
                false,
                "Waiting for the node",
                "The pool is running and asks its Bitcoin node for work. Miners can connect as soon \
                 as the first block template is here.",
                None,
            ),
            // It answers, and has told so lately: that it gives no work follows from this.
            Health::Degraded(reason) if is_catching_up => (
                true,
                "The node is catching up",
                "Work is paused until the Bitcoin node has the whole chain.",
                Some(reason),
            ),
            Health::Degraded(reason @ "no job template available") => (
                true,
                "The node gives no work",
                "The Bitcoin node can be reached and has no block template that can be mined.",
                Some(reason),
            ),
            Health::Degraded(reason) => (
                true,
                "No connection to the node",
                "The pool hears nothing from its Bitcoin node, so there is no fresh work.",
                Some(reason),
            ),
        };
        Some(Self {
            is_error,
            title,
            text,
            reason,
            sync: behind.map(|chain| Sync {
                is_initial_download: chain.is_initial_download,
                blocks: chain.blocks,
                headers: chain.headers,
            }),
            job_at: snapshot.job.as_ref().map(|job| format::rfc3339(job.built_at)),
            success_at: snapshot.feed.last_success_at.map(format::rfc3339),
        })
    }
}
