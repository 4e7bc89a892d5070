//! Snapshots for tests: a pool that has just started, one in full swing, and one in trouble.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use gopool_shards::tally::{Accuracy, LastShareLook};

use crate::backup::{BackupFigures, UploadFigures};
use crate::history::{History, HistoryReader, MinuteSample};
use crate::node::peers::PeerCleaning;
use crate::notices::{ChannelFigures, NoticesFigures, WatchFigures};
use crate::price::{Price, PriceFigures};
use crate::rings::disconnects::DisconnectEvent;
use crate::rings::events::{ErrorEvents, EventType};
use crate::rings::histogram::{Histogram, HistogramSnapshot};
use crate::rings::latency::LatencyStatistics;
use crate::shown::Shown;
use crate::snapshot::*;
use crate::store::{BestShareRow, BlockState, StoreFigures};
use gopool_shards::link::Stages;
use gopool_shards::tally::{Pace, Times};

pub fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_769_889_302)
}

/// Milliseconds.
fn took(milliseconds: &[u64]) -> HistogramSnapshot {
    let histogram = Histogram::default();
    milliseconds.iter().for_each(|ms| histogram.record(Duration::from_millis(*ms)));
    histogram.snapshot()
}

/// Microseconds, and how often.
fn times(microseconds: &[(u64, u32)]) -> Times {
    let mut times = Times::default();
    microseconds.iter().for_each(|(us, count)| times.record(Duration::from_micros(*us), *count));
    times
}

pub fn empty() -> Snapshot {
    let peer_cleaning = PeerCleaning {
        is_enabled: true,
        ping_max: Some(Duration::from_millis(150)),
        peers_min: 20,
    };
    Snapshot {
        uptime: Duration::from_secs(3),
        version: "0.1.0",
        network: "regtest",
        shown: Arc::new(Shown {
            target_shares_per_min: 15.0,
            has_json: true,
            ..Default::default()
        }),
        pool_fee_percent: 2.0,
        pool_tag: "/goPool/".to_owned(),
        fiat_currency: "usd".to_owned(),
        ..Snapshot::blank(now(), peer_cleaning)
    }
}

pub fn busy() -> Snapshot {
    let ago = |seconds| now() - Duration::from_secs(seconds);
    let wallet = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4";
    let mut snapshot = empty();
    snapshot.uptime = Duration::from_secs(273_906);
    snapshot.network = "mainnet";
    Arc::make_mut(&mut snapshot.shown).tagline = "Your own block, or nothing".to_owned();
    let listener = |address: &str, tls| StratumListener { address: address.into(), tls };
    snapshot.stratum_listeners =
        vec![listener("0.0.0.0:3333", false), listener("pool.example:3334", true)];
    snapshot.rpc = RpcFigures {
        endpoint: "10.0.0.7:8332".to_owned(),
        healthy: true,
        disconnects: 1,
        reconnects: 1,
        last_error: Some("post http://pool:hunter2@10.0.0.7:8332/: reset by peer".to_owned()),
        errors: 3,
        gbt_seconds_last: 0.0123,
        gbt_seconds_max: 0.2104,
        gbt_count: 9120,
        gbt_hour: Some(LatencyStatistics {
            min: Duration::from_micros(4_100),
            mean: Duration::from_micros(11_900),
            max: Duration::from_micros(82_000),
        }),
        submit_seconds_last: 0.041,
        submit_seconds_max: 0.055,
        submit_count: 2,
        methods: [("getblocktemplate", 2), ("submitblock", 1)]
            .map(|(name, errors)| (name, MethodFigures { times: took(&[12, 400]), errors }))
            .into(),
    };
    snapshot.work_source = SourceFigures { trouble: None, blocks_behind: Some(0) };
    snapshot.block_submits = times(&[(180, 1)]);
    snapshot.parked = ParkedFigures { places: 4, shares: 612 };
    snapshot.feed = FeedFigures {
        last_error: Some("open /root/.bitcoin/.cookie: not found".to_owned()),
        last_error_at: Some(ago(40)),
        last_success_at: Some(ago(12)),
        error_history: vec!["event: job feed recovered (rpc 10.0.0.7:8332)".to_owned()],
        zmq_healthy: true,
        zmq_disconnects: 0,
        zmq_reconnects: 2,
        last_raw_block_at: Some(ago(412)),
        last_raw_block_bytes: 1_571_123,
        last_job_delay: Some(Duration::from_micros(1_400)),
        tip: Some(TipFigures {
            hash_hex: format!("{}a7c1{}", "0".repeat(19), "5e3".repeat(13) + "9f"),
            height: 934_217,
            time: ago(420),
            bits_hex: "17021369".to_owned(),
            difficulty: 1.3551e14,
        }),
        block_times: [2_900, 1_811, 1_304, 420].map(ago).into(),
    };
    let price = Price { value: 81_234.5, currency: "usd".to_owned(), at: ago(1_200) };
    snapshot.price = Some(price.clone());
    snapshot.prices = Arc::new(PriceFigures { is_on: true, last: Some(price), error: None });
    snapshot.node = Arc::new(node(ago(21)));
    snapshot.job = Some(JobFigures {
        height: 934_218,
        transactions: 3_214,
        coinbase_value_sats: 314_782_110,
        network_difficulty: 1.3551e14,
        built_at: ago(12),
    });
    snapshot.shares = ShareFigures {
        accepted: 1_284_402,
        mistakes: std::collections::BTreeMap::from([("other job", 4)]),
        vardiff_up: 12,
        vardiff_down: 7,
        accepted_difficulty: 8.4113e13,
        rejected: [("low difficulty share", 41), ("stale job", 312), ("duplicate share", 5)].into(),
        stale: 312,
        low_difficulty: 41,
        errors: 358,
        best_difficulty: 4.1204e12,
        hashrate: 1.3942e15,
        per_second: 5.2067,
        per_minute: 312.4,
        answers: times(&[(40, 1_284_000), (3_000, 760)]),
        first_told: times(&[(1_400, 3), (90_000, 1)]),
    };
    snapshot.connections = ConnectionFigures {
        open: 23,
        authorized: 21,
        authorized_tls: 2,
        tls: 3,
        stages: [
            Stages { connected: 1, subscribed: 1, authorized: 18 },
            Stages { connected: 0, subscribed: 0, authorized: 3 },
        ],
        accepted: 341,
        refused: 4,
        closed: [("hangup", 290), ("idle", 28)].into(),
    };
    snapshot.shards = (0..3)
        .map(|id| ShardFigures {
            id,
            core: id + 1,
            connections: 7,
            accepted: 428_134,
            rejected: 119,
            pace: Pace {
                turns: 500_000,
                batches: 400_000,
                starved: id as u64,
                answers: times(&[(40, 428_253)]),
                first_told: Times::default(),
                last_told: times(&[(2_300, 4)]),
            },
            memory_bytes: 1_433_600,
            outbox_bytes: 0,
            receive_buffers_peak: 12,
        })
        .collect();
    snapshot.blocks =
        [(934_101, 70_000, BlockState::Accepted), (930_555, 2_300_000, BlockState::Rejected)]
            .into_iter()
            .map(|(height, age, state)| BlockFigures {
                height,
                hash_hex: format!("{}{}", "0".repeat(20), &"7d4e19c2b6f0".repeat(4)[..44]),
                worker: format!("{wallet}.garage"),
                found_at: ago(age),
                share_difficulty: 1.812e14,
                coinbase_value_sats: 315_004_220,
                pool_fee_sats: 6_300_084,
                worker_payout_sats: 308_704_136,
                state,
                confirmations: u64::from(state == BlockState::Accepted) * 100,
                submitted_at: Some(ago(age)),
                settled_at: Some(ago(age)),
                reason: String::new(),
            })
            .collect();
    let rigs = ["garage", "attic.01", "heater", "s21\"<b>"];
    let named = rigs.map(|rig| Arc::from(format!("{wallet}.{rig}")));
    snapshot.recent_work = named.into_iter().zip(1..).map(recent_work).collect();
    let banned = |rig: &str, reason: &str, until| BannedFigures {
        worker: format!("{wallet}.{rig}").into(),
        until,
        reason: reason.into(),
        is_in_force: true,
        is_automatic: until.is_some(),
    };
    let in_an_hour = Some(now() + Duration::from_secs(3600));
    snapshot.banned = vec![
        banned("loud", "too many invalid submissions (40 in 5m0s)", in_an_hour),
        banned("rude", "asked for by user_2abc", None),
    ];
    snapshot.recent_hashrate =
        RecentHashrate { codes: vec![130, 148, 148], newest: Some((1.39e15, Some(934_217))) };
    snapshot.workers_connected = 5;
    snapshot.miner_types = vec![MinerType {
        name: "bitaxe".to_owned(),
        workers: 5,
        versions: vec![("BM1370/v2.6.5".to_owned(), 4), (String::new(), 1)],
    }];
    snapshot.best_shares = vec![BestShareRow {
        worker: "bc1qw508...7kv8f3t4.garage".to_owned(),
        difficulty: 4.1204e12,
        at: 1_769_800_000,
        hash: "...7d4e19c2b6f07d4e".to_owned(),
    }];
    snapshot.store = StoreFigures { transactions: took(&[3]), ..StoreFigures::default() };
    snapshot.backup = BackupFigures {
        path: Some("/var/lib/gopool/state/workers.db.bak".into()),
        last_attempt: Some(ago(600)),
        last_copy: Some(ago(43_800)),
        version: 812,
        outcome: Some("unchanged"),
        upload: Some(UploadFigures {
            is_reachable: Some(true),
            last_upload: Some(ago(43_790)),
            version: 812,
            outcome: Some("uploaded"),
            failures_total: 3,
            ..UploadFigures::default()
        }),
        ..BackupFigures::default()
    };
    snapshot.notices = NoticesFigures {
        watch: Some(WatchFigures {
            watches_from: Some(ago(43_000)),
            watched: 3,
            is_cut_off: false,
        }),
        channels: vec![ChannelFigures {
            delivered: 4,
            failed: 1,
            last_success: Some(ago(7200)),
            last_failure: Some(ago(7300)),
            ..ChannelFigures::of("ntfy")
        }],
    };
    let mut events = ErrorEvents::default();
    events.add(EventType::Share, ago(30), "stale job", 3);
    events.add(EventType::Rpc, ago(20), "post http://pool:hunter2@10.0.0.7:8332/: reset", 1);
    snapshot.error_events = events.recent(now());
    snapshot.disconnects = vec![DisconnectEvent {
        at: ago(90_000),
        disconnected: 20,
        reason: "node/job feed error".to_owned(),
        detail: "connect to 10.0.0.7:8332 refused".to_owned(),
    }];
    snapshot.disconnects_count = 1;
    snapshot.blocks_accepted = 1;
    snapshot.blocks_errored = 1;
    snapshot.process = ProcessFigures {
        threads: 9,
        rss_bytes: 48_201_728,
        cpu_percent: 3.214,
        allocated_bytes: 21_201_728,
        mapped_bytes: 32_505_856,
        memory_total_bytes: 16_700_000_000,
        memory_available_bytes: 11_200_000_000,
        load1: 0.42,
        load5: 0.38,
        load15: 0.35,
    };
    snapshot
}

/// A pool that has lost its node an hour ago.
pub fn unhealthy() -> Snapshot {
    let mut snapshot = busy();
    let lost_at = now() - Duration::from_secs(3600);
    snapshot.work_source.trouble = Some("node/job feed error");
    snapshot.rpc.healthy = false;
    snapshot.rpc.gbt_hour = None;
    snapshot.feed.last_success_at = Some(lost_at);
    snapshot.feed.zmq_healthy = false;
    snapshot.feed.tip = None;
    snapshot.feed.block_times.clear();
    snapshot.job.as_mut().expect("a busy pool has work").built_at = lost_at;
    snapshot.store.error = Some("open /var/lib/gopool/state/workers.db: disk full".to_owned());
    snapshot.backup.error = Some("copy /mnt/backup/workers.db: read-only".to_owned());
    snapshot.shares.hashrate = 0.0;
    snapshot.shares.per_minute = 0.0;
    snapshot.recent_work.clear();
    snapshot.banned[0].is_in_force = false;
    snapshot.disconnects[0].detail.clear();
    let node = Arc::make_mut(&mut snapshot.node);
    node.reach = None;
    node.best_block_hash = None;
    node.peers.as_mut().expect("a busy pool's node has peers").pings = None;
    snapshot
}

/// Ten minutes before `now`, with a gap.
pub fn history() -> HistoryReader {
    let mut history = History::default();
    let minute =
        (now().duration_since(SystemTime::UNIX_EPOCH).expect("later").as_secs() / 60) as u32;
    for ago in [10, 9, 8, 5, 4, 3, 2, 1] {
        let pool_hashrate = 1e15 + f64::from(ago) * 1e14;
        let pool_best = 1e9 * f64::from(ago);
        history.sample(&MinuteSample {
            minute: minute - ago,
            pool_hashrate,
            pool_best,
            workers: Vec::new(),
        });
    }
    history.into()
}

/// The `number`th of them, from 1: each has done less than the one before.
fn recent_work((name, number): (Arc<str>, u32)) -> WorkerView {
    let n = f64::from(number);
    let since_share = Duration::from_secs(u64::from(number.pow(3)));
    let at = (now() - since_share).duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    WorkerView {
        name,
        client_id: "bitaxe/BM1370/v2.6.5".into(),
        connections: number.into(),
        sequence: 57 + u64::from(number),
        is_tls: false,
        connected_at: 1_769_800_000,
        accepted: 41_233 * u64::from(number),
        rejected: 3 * u64::from(number),
        hashrate: 2.8e14 / n,
        accuracy: if number == 1 { Accuracy::Settling } else { Accuracy::Stable },
        share_rate: 62.5,
        window_started_at: 1_769_888_000,
        window_accepted: 100,
        window_submissions: 101,
        window_credit: 6.5e6,
        last_share: Some(LastShareLook {
            at: at.as_secs(),
            difficulty: 70_000.0,
            is_accepted: true,
            hash: [7; 32],
        }),
        last_reject: "stale job",
        difficulty: 65_536.0 / n,
        ideal_difficulty: 131_072.0 / n,
        round_trip: Some(Duration::from_millis(20)),
        first_share_p50: None,
        first_share_p95: None,
    }
}

fn node(updated_at: SystemTime) -> NodeFigures {
    let milliseconds = Duration::from_millis;
    NodeFigures {
        chain: Some(ChainFigures {
            chain: "main".to_owned(),
            blocks: 934_217,
            headers: 934_217,
            is_initial_download: false,
            is_pruned: false,
            size_on_disk_bytes: 812_000_000_000,
        }),
        reach: Some(ReachFigures {
            subversion: "/Satoshi:28.1.0/".to_owned(),
            connections: 41,
            split: Some((31, 10)),
        }),
        peers: Some(PeerFigures {
            count: 40,
            inbound: 30,
            pings: Some(PingFigures {
                peers: 39,
                min: milliseconds(9),
                median: milliseconds(48),
                max: milliseconds(612),
            }),
        }),
        genesis_hash: Some(
            "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f".to_owned(),
        ),
        best_block_hash: Some(format!("{}a7c1{}", "0".repeat(19), "5e3".repeat(13) + "9f")),
        updated_at: Some(updated_at),
    }
}
