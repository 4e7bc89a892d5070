//! What the node says the next block can be: the checked content of `getblocktemplate`
//! (BIP-0022, BIP-0023, BIP-0141), free of JSON and hex.

use crate::sha256d::{Hash, sha256d_pair};
use crate::work::merkle;
use crate::work::target::Target;
use crate::work::transactions::Transactions;

/// Leading bytes of a witness commitment script: OP_RETURN, a push of 36, and BIP-0141's header.
const WITNESS_COMMITMENT_PREFIX: [u8; 6] = [0x6a, 0x24, 0xaa, 0x21, 0xa9, 0xed];

#[derive(Clone, Debug)]
pub struct Template {
    pub height: u64,
    pub version: u32,
    pub prev_hash: Hash,
    pub bits: u32,
    /// What `bits` decodes to.
    pub target: Target,
    pub curtime: u32,
    pub mintime: u32,
    /// Subsidy and fees, in satoshis.
    pub coinbase_value: u64,
    /// `coinbaseaux.flags`, copied into the coinbase script as it is.
    pub coinbase_flags: Vec<u8>,
    /// scriptPubKey of the commitment output.
    pub witness_commitment: Vec<u8>,
    pub transactions: Transactions,
    /// Version bits that the template itself says must not be rolled; all others may.
    pub version_bits_fixed: u32,
}

impl Template {
    pub fn txids(&self) -> Vec<Hash> {
        self.transactions.iter().map(|transaction| transaction.txid).collect()
    }

    /// Whether `witness_commitment` commits to exactly these transactions (BIP-0141).
    pub fn commits_to_its_witnesses(&self) -> bool {
        let mut leaves = vec![[0; 32]];
        leaves.extend(self.transactions.iter().map(|transaction| transaction.wtxid));
        let commitment = sha256d_pair(&merkle::root(&leaves), &[0; 32]);
        let expected = [&WITNESS_COMMITMENT_PREFIX[..], &commitment].concat();
        self.witness_commitment.starts_with(&expected)
    }

    /// Whether a job built from `self` still fits `newer`: same tip, same transactions
    /// (`mining.md` §2.3).
    pub fn is_same_work_as(&self, newer: &Self) -> bool {
        self.is_same_tip_as(newer)
            && self.transactions.len() == newer.transactions.len()
            && self
                .transactions
                .iter()
                .zip(newer.transactions.iter())
                .all(|(a, b)| a.txid == b.txid)
    }

    /// Whether both build on the same block under the same rules.
    pub fn is_same_tip_as(&self, other: &Self) -> bool {
        self.prev_hash == other.prev_hash && self.height == other.height && self.bits == other.bits
    }
}
