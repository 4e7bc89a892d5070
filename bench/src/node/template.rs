//! The parts of `getblocktemplate`'s answer, written once per set of transactions and put together
//! when somebody asks.

use std::sync::Arc;

use super::hash::{Hash, display_hex, merkle_root, sha256d};
use super::transaction::{Draw, Transaction};

/// How the script of a witness commitment begins (BIP-0141).
pub const WITNESS_COMMITMENT_HEAD: [u8; 6] = [0x6a, 0x24, 0xaa, 0x21, 0xa9, 0xed];
const SUBSIDY_SATS: u64 = 312_500_000;

/// Transactions of one template, and what is said of them.
#[derive(Debug)]
pub struct TransactionSet {
    pub txids: Vec<Hash>,
    /// All of them, one after the other, in hex: how a block with them ends.
    pub block_tail_hex: String,
    /// The JSON array.
    pub json: String,
    pub commitment_hex: String,
    pub coinbase_value: u64,
}

impl TransactionSet {
    fn new(transactions: &[Arc<Transaction>]) -> Self {
        let mut json = String::from("[");
        let mut block_tail_hex = String::new();
        for transaction in transactions {
            let hex = const_hex::encode(&transaction.data);
            if json.len() > 1 {
                json.push(',');
            }
            json += &format!(
                "{{\"data\":\"{hex}\",\"txid\":\"{}\",\"hash\":\"{}\",\"depends\":[],\
                 \"fee\":{},\"sigops\":1,\"weight\":{}}}",
                display_hex(&transaction.txid),
                display_hex(&transaction.wtxid),
                transaction.fee_sats,
                transaction.weight
            );
            block_tail_hex += &hex;
        }
        json.push(']');
        let mut leaves = vec![[0; 32]];
        leaves.extend(transactions.iter().map(|transaction| transaction.wtxid));
        let commitment = sha256d(&[merkle_root(&leaves), [0; 32]].concat());
        let fees: u64 = transactions.iter().map(|transaction| transaction.fee_sats).sum();
        Self {
            txids: transactions.iter().map(|transaction| transaction.txid).collect(),
            block_tail_hex,
            json,
            commitment_hex: const_hex::encode([&WITNESS_COMMITMENT_HEAD[..], &commitment].concat()),
            coinbase_value: SUBSIDY_SATS + fees,
        }
    }

    /// As many sets as are used in turn, tip after tip. A block takes most of a mempool with it, so
    /// each set has one transaction in ten from the set before and the rest is new. They are made
    /// before anything is measured, so that a new tip costs nothing but what it costs.
    pub fn series(count: usize, transactions: usize, draw: &mut Draw) -> Vec<Arc<Self>> {
        let mut last: Vec<Arc<Transaction>> = Vec::new();
        let mut sets = Vec::with_capacity(count);
        for _ in 0..count {
            let kept = last.iter().take(transactions / 10).cloned();
            let mut current: Vec<_> = kept.collect();
            while current.len() < transactions {
                current.push(Arc::new(Transaction::draw(draw)));
            }
            sets.push(Arc::new(Self::new(&current)));
            current.reverse();
            last = current;
        }
        sets
    }
}

/// What a template says besides its transactions.
#[derive(Clone, Debug)]
pub struct Head {
    pub prev_hash: Hash,
    pub height: u64,
    pub bits: u32,
    pub target_hex: String,
    /// Number of the tip, from 0.
    pub tip: u64,
}

impl Head {
    pub fn long_poll_id(&self) -> String {
        format!("{}{}", display_hex(&self.prev_hash), self.tip)
    }
}

/// The answer's `result`, for a node whose clock says `now`.
pub fn render(head: &Head, set: &TransactionSet, now: u64) -> String {
    format!(
        "{{\"capabilities\":[\"proposal\"],\"version\":536870912,\
         \"rules\":[\"csv\",\"!segwit\",\"taproot\"],\"vbavailable\":{{}},\"vbrequired\":0,\
         \"previousblockhash\":\"{}\",\"transactions\":{},\"coinbaseaux\":{{}},\
         \"coinbasevalue\":{},\"longpollid\":\"{}\",\"target\":\"{}\",\"mintime\":{},\
         \"mutable\":[\"time\",\"transactions\",\"prevblock\"],\"noncerange\":\"00000000ffffffff\",\
         \"sigoplimit\":80000,\"sizelimit\":4000000,\"weightlimit\":4000000,\"curtime\":{now},\
         \"bits\":\"{:08x}\",\"height\":{},\"default_witness_commitment\":\"{}\"}}",
        display_hex(&head.prev_hash),
        set.json,
        set.coinbase_value,
        head.long_poll_id(),
        head.target_hex,
        now - 3600,
        head.bits,
        head.height,
        set.commitment_hex,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn a_template_is_json_and_says_the_truth_about_its_transactions() {
        let set = &TransactionSet::series(2, 50, &mut Draw(3))[1];
        let head = Head {
            prev_hash: [7; 32],
            height: 900_000,
            bits: 0x1703_4219,
            target_hex: const_hex::encode(super::super::target_of(0x1703_4219).unwrap()),
            tip: 1,
        };
        let template: Value = serde_json::from_str(&render(&head, set, 1_800_000_000)).unwrap();
        let transactions = template["transactions"].as_array().unwrap();
        assert_eq!(transactions.len(), 50);
        let mut leaves = vec![[0; 32]];
        for transaction in transactions {
            let data = const_hex::decode(transaction["data"].as_str().unwrap()).unwrap();
            assert_eq!(transaction["hash"], display_hex(&sha256d(&data)));
            leaves.push(sha256d(&data));
        }
        let commitment = sha256d(&[merkle_root(&leaves), [0; 32]].concat());
        let script = template["default_witness_commitment"].as_str().unwrap();
        assert_eq!(script, format!("6a24aa21a9ed{}", const_hex::encode(commitment)));
        assert!(template["coinbasevalue"].as_u64().unwrap() > SUBSIDY_SATS);
    }

    #[test]
    fn most_of_a_set_is_new() {
        let sets = TransactionSet::series(3, 100, &mut Draw(4));
        for pair in sets.windows(2) {
            let kept = pair[1].txids.iter().filter(|txid| pair[0].txids.contains(txid)).count();
            assert_eq!(kept, 10);
        }
    }
}
