//! The proof of a payout: what the coinbase that a miner has in hand pays whom, and all that is
//! needed to check it without believing the page (`web.md` §4.10).

use gopool_shards::session::ShownWork;
use gopool_shards::work::address::{Network, address_of};
use serde::Serialize;

use super::coinbase::{Coinbase, Output};
use crate::privacy;
use crate::shown::Shown;
use crate::status::json::subsidy;

/// What a worker's page tells of its current work.
#[derive(Debug, Serialize)]
pub struct Payout {
    job_id: String,
    height: u64,
    difficulty: f64,
    /// Display order.
    prev_hash: String,
    version: i32,
    locktime: u32,
    /// As the coinbase itself has it.
    coinbase_height: Option<u64>,
    total_sats: u64,
    subsidy_sats: u64,
    fees_sats: Option<u64>,
    /// What the miner gets, and in percent of all.
    worker_sats: u64,
    worker_percent: String,
    parts: Vec<Part>,
    /// Left out while the visitor wants privacy: they name the wallet.
    proof: Option<Proof>,
}

/// An output.
#[derive(Debug, Serialize)]
struct Part {
    index: usize,
    role: &'static str,
    /// For its colour: `mine`, `fee`, `gift` or none.
    kind: &'static str,
    name: String,
    sats: u64,
    percent: String,
    /// Of 1000, for the bar.
    width: u64,
    address: String,
    /// Where an explorer shows it.
    url: String,
    script_hex: String,
}

/// The miner's own words for its work.
#[derive(Debug, Serialize)]
struct Proof {
    coinbase_hex: String,
    first_half: String,
    second_half: String,
    extranonce1: String,
    extranonce2_bytes: usize,
    branch: Vec<String>,
    version_hex: String,
    bits_hex: String,
}

impl Payout {
    /// None when our own coinbase cannot be read, which would be a defect.
    pub fn new(
        work: &ShownWork,
        network: Network,
        shown: &Shown,
        is_private: bool,
    ) -> Option<Self> {
        let bytes = work.coinbase();
        let coinbase = Coinbase::parse(&bytes).ok()?;
        let total = coinbase.total();
        let subsidy = subsidy(work.job.height, network.name());
        let parts: Vec<Part> = coinbase
            .outputs
            .iter()
            .enumerate()
            .map(|(index, output)| part(index, output, work, total, network, shown, is_private))
            .collect();
        let worker_sats = parts.iter().filter(|part| part.kind == "mine").map(|p| p.sats).sum();
        let mut prev_hash = work.job.prev_hash;
        prev_hash.reverse();
        Some(Self {
            job_id: work.job_id.clone(),
            height: work.job.height,
            difficulty: work.difficulty,
            prev_hash: const_hex::encode(prev_hash),
            version: coinbase.version,
            locktime: coinbase.locktime,
            coinbase_height: coinbase.height,
            total_sats: total,
            subsidy_sats: subsidy,
            fees_sats: total.checked_sub(subsidy),
            worker_sats,
            worker_percent: percent(worker_sats, total),
            parts,
            proof: (!is_private).then(|| Proof::new(work, &bytes)),
        })
    }
}

fn percent(sats: u64, total: u64) -> String {
    format!("{:.4}%", sats as f64 * 100.0 / total.max(1) as f64)
}

fn part(
    index: usize,
    output: &Output,
    work: &ShownWork,
    total: u64,
    network: Network,
    shown: &Shown,
    is_private: bool,
) -> Part {
    let policy = &work.job.payout;
    let donation = policy.donation.as_ref().map(|donation| &donation.script);
    let (role, kind) = match &output.script {
        _ if output.is_witness_commitment() => ("witness commitment", ""),
        script if *script == work.payee.script => ("the miner", "mine"),
        script if *script == policy.pool_script => ("the pool's fee", "fee"),
        script if Some(script) == donation => ("donation", "gift"),
        _ => ("somebody else", ""),
    };
    let name = match (&shown.operator_donation, kind) {
        (Some(donation), "gift") => donation.name.clone(),
        _ => String::new(),
    };
    let address = address_of(&output.script, network).unwrap_or_default();
    // What goes to others than the miner is the pool's to tell; the miner's own is not shown to who
    // looks over its shoulder.
    let (address, url) = match is_private {
        true => (privacy::worker_name(&address), String::new()),
        false if address.is_empty() || shown.address_url.is_empty() => (address, String::new()),
        false => {
            let url = format!("{}{address}", shown.address_url);
            (address, url)
        }
    };
    Part {
        index,
        role,
        kind,
        name,
        sats: output.sats,
        percent: percent(output.sats, total),
        width: output.sats.saturating_mul(1000) / total.max(1),
        address,
        url,
        script_hex: if is_private { String::new() } else { const_hex::encode(&output.script) },
    }
}

impl Proof {
    fn new(work: &ShownWork, bytes: &[u8]) -> Self {
        let (first, second) = work.halves();
        let job = &work.job;
        Self {
            coinbase_hex: const_hex::encode(bytes),
            first_half: const_hex::encode(first),
            second_half: const_hex::encode(second),
            extranonce1: const_hex::encode(work.extranonce1),
            extranonce2_bytes: job.coinbase.extranonce2_size(),
            branch: job.branch.iter().map(const_hex::encode).collect(),
            version_hex: format!("{:08x}", job.version),
            bits_hex: format!("{:08x}", job.bits),
        }
    }
}
