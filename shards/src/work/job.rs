//! A job: one template compiled into what every miner of the pool needs, once.

use std::sync::Arc;

use crate::sha256d::Hash;
use crate::work::coinbase::{CoinbaseError, CoinbaseInputs, CoinbaseTemplate};
use crate::work::merkle;
use crate::work::payout::PayoutPolicy;
use crate::work::tag;
use crate::work::target::Target;
use crate::work::template::Template;
use crate::work::transactions::Transactions;

/// Bits a miner may roll (BIP-0320), on every network: the wider mask some pools use on regtest
/// overlaps the prefix of BIP-0009.
pub const VERSION_MASK: u32 = 0x1fff_e000;
/// The bit that signals BIP-0110.
const BIP110_BIT: u32 = 1 << 4;

/// Everything configurable that goes into a job: one immutable value, so that a job and the
/// coinbases made from it can never disagree.
#[derive(Clone, Debug)]
pub struct JobInputs {
    pub payout: Arc<PayoutPolicy>,
    /// `/goPool/` or with a prefix.
    pub brand_tag: String,
    pub pool_entropy: String,
    pub script_bytes_max: usize,
    pub extranonce2_size: usize,
    pub template_extranonce2_size: usize,
    pub bip110_enabled: bool,
    /// `version_bits.toml`, in file order: bit and whether it is set.
    pub version_bits: Vec<(u32, bool)>,
}

/// Work that can be handed to miners. Immutable, shared by all shards.
#[derive(Debug)]
pub struct Job {
    /// Process-wide number, from 0.
    pub id: u64,
    pub height: u64,
    /// As advertised: no bit of [`Self::version_mask`] is set, so that a miner's bits mean the
    /// same whether they are added, exchanged or set (`miners.md`).
    pub version: u32,
    pub version_mask: u32,
    pub prev_hash: Hash,
    pub bits: u32,
    /// The network's target: a hash that meets it is a block.
    pub target: Target,
    pub curtime: u32,
    /// The earliest time a share may carry.
    pub ntime_min: u32,
    pub branch: Vec<Hash>,
    pub coinbase: CoinbaseTemplate,
    pub payout: Arc<PayoutPolicy>,
    pub transactions: Transactions,
}

/// What differs from job to job without coming from the template.
#[derive(Clone, Debug)]
pub struct JobStamp {
    pub id: u64,
    /// Unix seconds.
    pub built_at: u64,
    /// Random letters and digits, fresh for each job; empty when switched off.
    pub entropy: String,
}

impl Job {
    pub fn compile(
        template: &Template,
        inputs: &JobInputs,
        stamp: &JobStamp,
    ) -> Result<Self, CoinbaseError> {
        let coinbase = CoinbaseTemplate::new(&CoinbaseInputs {
            height: template.height,
            flags: &template.coinbase_flags,
            script_time: stamp.built_at,
            tag: &tag::job_tag(&inputs.brand_tag, &inputs.pool_entropy, &stamp.entropy),
            script_bytes_max: inputs.script_bytes_max,
            extranonce2_size: inputs.extranonce2_size,
            template_extranonce2_size: inputs.template_extranonce2_size,
            witness_commitment: &template.witness_commitment,
            value: template.coinbase_value,
        })?;
        // A template that fixes every bit would leave ASICs without any to roll; the base mask
        // is what they get then (`mining.md` §6.5).
        let version_mask = match VERSION_MASK & !template.version_bits_fixed {
            0 => VERSION_MASK,
            mask => mask,
        };
        Ok(Self {
            id: stamp.id,
            height: template.height,
            version: apply_version_policy(template.version, inputs) & !version_mask,
            version_mask,
            prev_hash: template.prev_hash,
            bits: template.bits,
            target: template.target,
            curtime: template.curtime,
            ntime_min: template.curtime.max(template.mintime),
            branch: merkle::branch(&template.txids()),
            coinbase,
            payout: Arc::clone(&inputs.payout),
            transactions: template.transactions.clone(),
        })
    }

    /// Whether both are for the same block: what a miner hashes for one can still win the other's.
    pub fn is_same_tip_as(&self, other: &Self) -> bool {
        self.prev_hash == other.prev_hash && self.height == other.height && self.bits == other.bits
    }
}

/// Bit 4 as configured, then `version_bits.toml`, whose last word on a bit stands
/// (`mining.md` §6.4).
fn apply_version_policy(version: u32, inputs: &JobInputs) -> u32 {
    let start = if inputs.bip110_enabled { version | BIP110_BIT } else { version };
    inputs.version_bits.iter().fold(start, |version, (bit, enabled)| {
        if *enabled { version | 1 << bit } else { version & !(1 << bit) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inputs(bip110_enabled: bool, version_bits: Vec<(u32, bool)>) -> JobInputs {
        JobInputs {
            payout: Arc::new(PayoutPolicy {
                pool_address: String::new(),
                pool_script: vec![0x51],
                fee_percent: 2.0,
                donation: None,
            }),
            brand_tag: "/goPool/".into(),
            pool_entropy: String::new(),
            script_bytes_max: 100,
            extranonce2_size: 4,
            template_extranonce2_size: 8,
            bip110_enabled,
            version_bits,
        }
    }

    fn template(version: u32, version_bits_fixed: u32) -> Template {
        Template {
            height: 1,
            version,
            prev_hash: [0; 32],
            bits: 0x207f_ffff,
            target: Target::from_bits(0x207f_ffff).unwrap(),
            curtime: 1_700_000_000,
            mintime: 1_600_000_000,
            coinbase_value: 5_000_000_000,
            coinbase_flags: vec![],
            witness_commitment: vec![0x6a],
            transactions: Transactions::default(),
            version_bits_fixed,
        }
    }

    fn compiled(version: u32, fixed: u32, inputs: &JobInputs) -> (u32, u32) {
        let stamp = JobStamp { id: 0, built_at: 1_700_000_000, entropy: String::new() };
        let job = Job::compile(&template(version, fixed), inputs, &stamp).unwrap();
        (job.version, job.version_mask)
    }

    #[test]
    fn version_overrides_have_the_last_word() {
        let on = inputs(true, vec![(1, true)]);
        assert_eq!(compiled(0x2000_0000, 0, &on).0, 0x2000_0012);
        let off = inputs(true, vec![(1, true), (4, false)]);
        assert_eq!(compiled(0x2000_0000, 0, &off).0, 0x2000_0002);
    }

    #[test]
    fn an_advertised_version_is_clear_inside_the_mask() {
        let (version, mask) = compiled(0x32ef_0000, 0, &inputs(false, vec![]));
        assert_eq!((version, mask), (0x2000_0000, 0x1fff_e000));
        assert_eq!(version & mask, 0);
    }

    #[test]
    fn fixed_bits_leave_the_mask_unless_none_would_remain() {
        let none = inputs(false, vec![]);
        assert_eq!(compiled(0x2000_0000, 1 << 28, &none).1, 0x0fff_e000);
        assert_eq!(compiled(0x2000_0000, u32::MAX, &none).1, VERSION_MASK);
    }
}
