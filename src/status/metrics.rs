//! The figures of `/api/server` for Prometheus: one description of every metric, which both text
//! formats are written from. Labels have few values: a shard, a reason, a state, a method of the node,
//! a place of notices; never a worker or a wallet. `documentation/metrics.md` has them all, which a test makes sure of.

use std::collections::BTreeMap;

use gopool_shards::link::Stages;

use super::api::{Server, Shard};
use super::exposition::{self, Family, Format, Kind, Sample};
use crate::notices::ChannelFigures;
use crate::rings::histogram::HistogramSnapshot;
use crate::snapshot::MethodFigures;

pub fn render(server: &Server, format: Format) -> String {
    exposition::write(&families(server), format)
}

/// Every metric there is. One that does not apply, such as the job's height before the first job,
/// is described but has no sample.
fn families(server: &Server) -> Vec<Family> {
    let gauge = |name, unit, help, value: f64| family(Kind::Gauge, name, unit, help, vec![value]);
    let counter = |name, help, value: f64| family(Kind::Counter, name, "", help, vec![value]);
    let maybe = |name, unit, help, value: Option<f64>| {
        family(Kind::Gauge, name, unit, help, value.into_iter().collect())
    };
    let by_reason = |name, help, counts: &BTreeMap<&'static str, u64>| Family {
        samples: counts
            .iter()
            .map(|(reason, count)| Sample::new("reason", reason, *count as f64))
            .collect(),
        ..family(Kind::Counter, name, "", help, Vec::new())
    };
    let by_shard = |kind, name, help, value: fn(&Shard) -> u64| Family {
        samples: server
            .shards
            .iter()
            .map(|shard| Sample::new("shard", &shard.id.to_string(), value(shard) as f64))
            .collect(),
        ..family(kind, name, "", help, Vec::new())
    };
    let histogram = |name, help, times: &HistogramSnapshot| Family {
        samples: Sample::of_histogram(&[], times),
        ..family(Kind::Histogram, name, "seconds", help, Vec::new())
    };
    let methods = &server.measured.rpc_methods;
    let by_method =
        |kind, name, unit, help, samples: fn(&str, &MethodFigures) -> Vec<Sample>| Family {
            samples: methods
                .iter()
                .flat_map(|(method, figures)| samples(method, figures))
                .collect(),
            ..family(kind, name, unit, help, Vec::new())
        };
    let info = Family {
        samples: vec![Sample::with(
            vec![
                ("version", server.build_version.to_owned()),
                ("network", server.network.to_owned()),
            ],
            1.0,
        )],
        ..family(Kind::Info, "gopool_build", "", "The running build and its network.", Vec::new())
    };

    let (feed, job, process) = (&server.job_feed, server.job.as_ref(), &server.process);
    let (shares, connections, blocks) = (&server.shares, &server.connections, &server.blocks);
    let (measured, upload) = (&server.measured, server.backup.upload.as_ref());
    vec![
        info,
        gauge(
            "gopool_uptime_seconds",
            "seconds",
            "Time since the process started.",
            server.uptime as f64 / 1e9,
        ),
        // Work.
        counter("gopool_shares_accepted", "Shares accepted.", shares.accepted as f64),
        by_reason("gopool_shares_rejected", "Shares rejected, by reason.", &shares.rejected),
        by_reason(
            "gopool_shares_explained",
            "Low shares whose cause was found out, by the cause.",
            &shares.mistakes,
        ),
        counter(
            "gopool_vardiff_raises",
            "Difficulties raised because of what a miner did.",
            shares.vardiff_up as f64,
        ),
        counter(
            "gopool_vardiff_reductions",
            "Difficulties lowered because of what a miner did.",
            shares.vardiff_down as f64,
        ),
        counter(
            "gopool_shares_difficulty",
            "Sum of the difficulties credited for accepted shares.",
            shares.accepted_difficulty,
        ),
        gauge(
            "gopool_share_best_difficulty",
            "",
            "Difficulty of the best share since the start.",
            shares.best_difficulty,
        ),
        gauge(
            "gopool_shares_per_minute",
            "",
            "Shares accepted in the last minute.",
            shares.per_minute,
        ),
        gauge(
            "gopool_hashrate_hashes_per_second",
            "hashes_per_second",
            "Hashrate that the recently accepted work stands for.",
            shares.hashrate,
        ),
        histogram(
            "gopool_share_answer_seconds",
            "From the turn that took a submission from its socket until the answer was sent.",
            &measured.share_answers,
        ),
        counter(
            "gopool_blocks_accepted",
            "Found blocks the node accepted.",
            blocks.accepted as f64,
        ),
        counter(
            "gopool_blocks_errored",
            "Found blocks that came to nothing.",
            blocks.errored as f64,
        ),
        gauge("gopool_blocks_pending", "", "Found blocks not settled yet.", blocks.pending as f64),
        histogram(
            "gopool_block_submit_seconds",
            "From a found block until its first byte left for the node.",
            &measured.block_submits,
        ),
        // The database.
        gauge(
            "gopool_database_waiting",
            "",
            "Changes that are not on the disk yet.",
            server.database.waiting as f64,
        ),
        counter(
            "gopool_database_failures",
            "Transactions that failed; each try counts.",
            server.database.failures as f64,
        ),
        counter(
            "gopool_database_bans_dropped",
            "Bans that are in force and could not be kept for the next start.",
            server.database.bans_dropped as f64,
        ),
        histogram(
            "gopool_snapshot_build_seconds",
            "What pages, JSON and metrics are made of: from the begin to the end of gathering it.",
            &measured.snapshot_times,
        ),
        histogram(
            "gopool_database_transaction_seconds",
            "From the begin of a transaction until its commit was on the disk.",
            &server.database.transaction_times,
        ),
        maybe(
            "gopool_backup_timestamp_seconds",
            "seconds",
            "When the database was last copied.",
            server.backup.last_copy_unix.map(|unix| unix as f64),
        ),
        gauge(
            "gopool_backup_failures",
            "",
            "Backups in a row that failed.",
            f64::from(server.backup.failures),
        ),
        maybe(
            "gopool_backup_upload_timestamp_seconds",
            "seconds",
            "When a copy of the database was last uploaded.",
            upload.and_then(|upload| upload.last_unix).map(|unix| unix as f64),
        ),
        family(
            Kind::Counter,
            "gopool_backup_upload_failures",
            "",
            "Uploads and looks for the bucket that failed.",
            upload.iter().map(|upload| upload.failures as f64).collect(),
        ),
        maybe(
            "gopool_backup_bucket_reachable",
            "",
            "1 while the bucket was there when it was asked for last.",
            upload.and_then(|upload| upload.is_reachable).map(flag),
        ),
        // Notices.
        Family {
            samples: measured.channels.iter().flat_map(notice_samples).collect(),
            ..family(
                Kind::Counter,
                "gopool_notices",
                "",
                "What has become of notices, by where they go.",
                Vec::new(),
            )
        },
        Family {
            samples: measured
                .channels
                .iter()
                .map(|channel| Sample::new("channel", channel.name, channel.waiting as f64))
                .collect(),
            ..family(
                Kind::Gauge,
                "gopool_notices_waiting",
                "",
                "Notices that wait to be told, by where they go.",
                Vec::new(),
            )
        },
        // Miners.
        gauge("gopool_connections_open", "", "Open Stratum connections.", connections.open as f64),
        gauge(
            "gopool_connections_authorized",
            "",
            "Open Stratum connections with an authorized worker.",
            connections.authorized as f64,
        ),
        gauge(
            "gopool_connections_tls",
            "",
            "Open Stratum connections over TLS.",
            connections.tls as f64,
        ),
        Family {
            samples: connection_samples(&measured.stages),
            ..family(
                Kind::Gauge,
                "gopool_connections",
                "",
                "Open Stratum connections, by how far they have come and by transport.",
                Vec::new(),
            )
        },
        gauge(
            "gopool_parked_places",
            "",
            "Places kept for miners that have gone and may come back.",
            measured.parked.places as f64,
        ),
        gauge(
            "gopool_parked_shares",
            "",
            "Shares remembered at parked places.",
            measured.parked.shares as f64,
        ),
        counter(
            "gopool_connections_accepted",
            "Stratum connections taken.",
            connections.accepted as f64,
        ),
        counter(
            "gopool_connections_refused",
            "Stratum connections turned away.",
            connections.refused as f64,
        ),
        by_reason(
            "gopool_connections_closed",
            "Stratum connections ended, by reason.",
            &connections.closed,
        ),
        by_shard(
            Kind::Gauge,
            "gopool_shard_connections",
            "Open connections of a shard.",
            |shard| shard.connections,
        ),
        by_shard(
            Kind::Counter,
            "gopool_shard_shares_accepted",
            "Shares a shard accepted.",
            |shard| shard.accepted,
        ),
        by_shard(
            Kind::Counter,
            "gopool_shard_shares_rejected",
            "Shares a shard rejected.",
            |shard| shard.rejected,
        ),
        by_shard(
            Kind::Counter,
            "gopool_shard_turns",
            "Turns in which a shard took what had come from all of its sockets.",
            |shard| shard.pace.turns,
        ),
        by_shard(
            Kind::Counter,
            "gopool_shard_batches",
            "Batches of submissions a shard judged side by side.",
            |shard| shard.pace.batches,
        ),
        by_shard(
            Kind::Counter,
            "gopool_shard_submissions_judged",
            "Submissions in those batches.",
            |shard| shard.pace.answers.count(),
        ),
        by_shard(
            Kind::Gauge,
            "gopool_shard_receive_buffers_peak",
            "Receive buffers of a shard that were full at once, at most, in the last second.",
            |shard| shard.receive_buffers_peak,
        ),
        by_shard(
            Kind::Counter,
            "gopool_shard_receive_starved",
            "Receives that had to wait because all buffers of the shard were full.",
            |shard| shard.pace.starved,
        ),
        Family {
            unit: "bytes",
            ..by_shard(
                Kind::Gauge,
                "gopool_shard_outbox_bytes",
                "Bytes that the miners of a shard have not taken yet.",
                |shard| shard.outbox_bytes,
            )
        },
        Family {
            unit: "bytes",
            ..by_shard(
                Kind::Gauge,
                "gopool_shard_memory_bytes",
                "Heap that a shard has taken and not given back.",
                |shard| shard.memory_bytes,
            )
        },
        // The chain and the work handed out.
        maybe("gopool_job_height", "", "Height being mined.", job.map(|job| job.height as f64)),
        maybe(
            "gopool_job_transactions",
            "",
            "Transactions in the current job, without the coinbase.",
            job.map(|job| job.transactions as f64),
        ),
        maybe(
            "gopool_job_coinbase_value_satoshis",
            "satoshis",
            "Subsidy and fees of the current job.",
            job.map(|job| job.coinbase_value_sats as f64),
        ),
        maybe(
            "gopool_job_network_difficulty",
            "",
            "Difficulty a block of the current job has to meet.",
            job.map(|job| job.network_difficulty),
        ),
        maybe(
            "gopool_job_built_timestamp_seconds",
            "seconds",
            "When the current job was built, in Unix time.",
            job.and_then(|job| unix_seconds(&job.built_at)),
        ),
        maybe(
            "gopool_job_age_seconds",
            "seconds",
            "Time since the current job was built.",
            measured.job_age.map(|age| age.as_secs_f64()),
        ),
        histogram(
            "gopool_work_first_notify_seconds",
            "From when the pool could know of a new tip until the first miner was told.",
            &measured.first_notify,
        ),
        Family {
            samples: server.shards.iter().flat_map(last_miner_samples).collect(),
            ..family(
                Kind::Histogram,
                "gopool_work_last_miner_seconds",
                "seconds",
                "From a new tip's being sent to a shard until its last miner was told.",
                Vec::new(),
            )
        },
        maybe(
            "gopool_tip_height",
            "",
            "Height of the newest block.",
            feed.block_height.map(|h| h as f64),
        ),
        maybe(
            "gopool_tip_difficulty",
            "",
            "Difficulty of the newest block.",
            feed.block_difficulty,
        ),
        maybe(
            "gopool_tip_timestamp_seconds",
            "seconds",
            "Header time of the newest block, in Unix time.",
            feed.block_time.as_deref().and_then(unix_seconds),
        ),
        // The node.
        gauge("gopool_rpc_up", "", "1 while the node answers RPC.", flag(server.rpc_healthy)),
        gauge(
            "gopool_node_healthy",
            "",
            "1 while the node gives fresh work and is in step with its chain.",
            flag(measured.node.trouble.is_none()),
        ),
        maybe(
            "gopool_node_blocks_behind",
            "",
            "Headers whose blocks the node does not have yet.",
            measured.node.blocks_behind.map(|blocks| blocks as f64),
        ),
        by_method(
            Kind::Histogram,
            "gopool_rpc_seconds",
            "seconds",
            "Duration of RPC attempts, failed ones included and long polls excluded, by method.",
            |method, figures| Sample::of_histogram(&[("method", method)], &figures.times),
        ),
        by_method(
            Kind::Counter,
            "gopool_rpc_errors",
            "",
            "Failed RPC attempts, by method.",
            |method, figures| vec![Sample::new("method", method, figures.errors as f64)],
        ),
        counter(
            "gopool_rpc_disconnects",
            "Times the node was lost.",
            server.rpc_disconnects as f64,
        ),
        counter("gopool_rpc_reconnects", "Times the node came back.", server.rpc_reconnects as f64),
        counter(
            "gopool_rpc_getblocktemplate_calls",
            "Calls of getblocktemplate, long polls excluded.",
            server.rpc_gbt_count as f64,
        ),
        gauge(
            "gopool_rpc_getblocktemplate_last_seconds",
            "seconds",
            "Duration of the last getblocktemplate.",
            server.rpc_gbt_last_sec,
        ),
        gauge(
            "gopool_rpc_getblocktemplate_max_seconds",
            "seconds",
            "Longest getblocktemplate since the start.",
            server.rpc_gbt_max_sec,
        ),
        counter(
            "gopool_rpc_submitblock_calls",
            "Calls of submitblock.",
            server.rpc_submit_count as f64,
        ),
        gauge(
            "gopool_rpc_submitblock_last_seconds",
            "seconds",
            "Duration of the last submitblock.",
            server.rpc_submit_last_sec,
        ),
        gauge(
            "gopool_rpc_submitblock_max_seconds",
            "seconds",
            "Longest submitblock since the start.",
            server.rpc_submit_max_sec,
        ),
        gauge(
            "gopool_feed_failing",
            "",
            "1 while the job feed reports an error.",
            flag(feed.last_error.is_some()),
        ),
        gauge("gopool_zmq_up", "", "1 while a ZMQ topic is connected.", flag(feed.zmq_healthy)),
        counter("gopool_zmq_disconnects", "ZMQ connections lost.", feed.zmq_disconnects as f64),
        counter("gopool_zmq_reconnects", "ZMQ connections made.", feed.zmq_reconnects as f64),
        maybe(
            "gopool_raw_block_timestamp_seconds",
            "seconds",
            "When the last raw block came over ZMQ, in Unix time.",
            feed.last_raw_block_at.as_deref().and_then(unix_seconds),
        ),
        maybe(
            "gopool_raw_block_bytes",
            "bytes",
            "Size of the last raw block.",
            feed.last_raw_block_bytes.map(|bytes| bytes as f64),
        ),
        // The process and its machine.
        gauge(
            "gopool_process_cpu_ratio",
            "ratio",
            "Share of all CPU capacity this process uses.",
            process.process_cpu_percent / 100.0,
        ),
        gauge("gopool_process_threads", "", "Threads.", process.process_goroutines as f64),
        gauge(
            "gopool_process_resident_memory_bytes",
            "bytes",
            "Resident memory.",
            process.process_rss_bytes as f64,
        ),
        gauge(
            "gopool_process_heap_allocated_bytes",
            "bytes",
            "Heap in use.",
            process.go_mem_alloc_bytes as f64,
        ),
        gauge(
            "gopool_process_heap_mapped_bytes",
            "bytes",
            "Heap obtained from the system.",
            process.go_mem_sys_bytes as f64,
        ),
        gauge(
            "gopool_system_memory_total_bytes",
            "bytes",
            "Memory of the machine.",
            process.system_mem_total_bytes as f64,
        ),
        gauge(
            "gopool_system_memory_available_bytes",
            "bytes",
            "Memory of the machine that is available.",
            process.system_mem_free_bytes as f64,
        ),
        gauge("gopool_system_load1", "", "Load average over 1 minute.", process.system_load1),
        gauge("gopool_system_load5", "", "Load average over 5 minutes.", process.system_load5),
        gauge("gopool_system_load15", "", "Load average over 15 minutes.", process.system_load15),
    ]
}

fn family(
    kind: Kind,
    name: &'static str,
    unit: &'static str,
    help: &'static str,
    values: Vec<f64>,
) -> Family {
    let samples = values.into_iter().map(|value| Sample::with(Vec::new(), value)).collect();
    Family { kind, name, unit, help, samples }
}

/// A try that failed comes again, unless the notice is dropped then.
fn notice_samples(channel: &ChannelFigures) -> Vec<Sample> {
    let results = [
        ("delivered", channel.delivered),
        ("failed", channel.failed),
        ("dropped", channel.dropped),
    ];
    let sample = |(result, count): (&str, u64)| {
        let labels = vec![("channel", channel.name.to_owned()), ("result", result.to_owned())];
        Sample::with(labels, count as f64)
    };
    results.map(sample).into()
}

/// Their sum is what is open.
fn connection_samples(stages: &[Stages; 2]) -> Vec<Sample> {
    let of = |transport: &str, state: &str, count: u64| {
        let labels = vec![("state", state.to_owned()), ("transport", transport.to_owned())];
        Sample::with(labels, count as f64)
    };
    let transports = ["tcp", "tls"].into_iter().zip(stages);
    transports
        .flat_map(|(transport, stages)| {
            [
                of(transport, "connected", stages.connected),
                of(transport, "subscribed", stages.subscribed),
                of(transport, "authorized", stages.authorized),
            ]
        })
        .collect()
}

fn last_miner_samples(shard: &Shard) -> Vec<Sample> {
    Sample::of_histogram(&[("shard", &shard.id.to_string())], &(&shard.pace.last_told).into())
}

fn flag(is_set: bool) -> f64 {
    f64::from(u8::from(is_set))
}

/// Metrics carry Unix time where JSON carries text.
fn unix_seconds(rfc3339: &str) -> Option<f64> {
    rfc3339.parse::<jiff::Timestamp>().ok().map(|time| time.as_second() as f64)
}

#[cfg(test)]
mod tests;
