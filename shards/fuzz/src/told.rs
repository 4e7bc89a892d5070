//! A `mining.notify` as a miner reads it, and the header that a miner builds from it.

use gopool_shards::sha256d::{Hash, sha256d};
use serde_json::Value;

use super::ear::fold;

#[derive(Clone, Debug)]
pub struct Told {
    pub id: String,
    pub prev_hash_hex: String,
    pub version: u32,
    pub ntime: u32,
    /// What its shares must have.
    pub difficulty: f64,
    coinb1: Vec<u8>,
    coinb2: Vec<u8>,
    branch: Vec<Hash>,
    bits: u32,
}

impl Told {
    pub fn read(params: &[Value], difficulty: f64) -> Self {
        assert_eq!(params.len(), 9);
        let text = |at: usize| params[at].as_str().expect("a string");
        let bytes = |text: &str| const_hex::decode(text).expect("hex");
        let number = |at: usize| {
            assert_eq!(text(at).len(), 8);
            hex_number(text(at)).expect("hex")
        };
        let branch = params[4].as_array().expect("a branch").iter();
        assert!(params[8].is_boolean() && text(1).len() == 64 && text(0).len() <= 128);
        Self {
            id: text(0).to_owned(),
            prev_hash_hex: text(1).to_owned(),
            coinb1: bytes(text(2)),
            coinb2: bytes(text(3)),
            branch: branch
                .map(|side| bytes(side.as_str().expect("a hash")).try_into().expect("32 bytes"))
                .collect(),
            version: number(5),
            bits: number(6),
            ntime: number(7),
            difficulty,
        }
    }

    pub fn coinbase(&self, extranonce1: &str, extranonce2: &[u8]) -> Vec<u8> {
        let extranonce1 = const_hex::decode(extranonce1).expect("hex");
        [&self.coinb1, &extranonce1[..], extranonce2, &self.coinb2].concat()
    }

    pub fn hash(
        &self,
        extranonce1: &str,
        extranonce2: &[u8],
        version: u32,
        ntime: u32,
        nonce: u32,
    ) -> Hash {
        let mut header = version.to_le_bytes().to_vec();
        // Eight words, each with its bytes the wrong way round.
        for word in const_hex::decode(&self.prev_hash_hex).expect("hex").chunks(4) {
            header.extend(word.iter().rev());
        }
        header.extend(fold(&self.coinbase(extranonce1, extranonce2), &self.branch));
        for number in [ntime, self.bits, nonce] {
            header.extend(number.to_le_bytes());
        }
        sha256d(&header)
    }
}

/// A number in 1 to 8 hex digits.
pub fn hex_number(text: &str) -> Option<u32> {
    let is_hex = (1..=8).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit());
    is_hex.then(|| u32::from_str_radix(text, 16).ok()).flatten()
}
