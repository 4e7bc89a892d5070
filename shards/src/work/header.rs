//! The 80 bytes that are hashed (`mining.md` §6.2).

use crate::sha256d::{HASH_BYTES, Hash};

pub const HEADER_BYTES: usize = 80;

/// A block header. Hashes are in internal order; integers are written little-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    pub version: u32,
    pub prev_hash: Hash,
    pub merkle_root: Hash,
    pub time: u32,
    pub bits: u32,
    pub nonce: u32,
}

impl Header {
    /// Source: `CBlockHeader` in `src/primitives/block.h`.
    pub fn serialize(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..4].copy_from_slice(&self.version.to_le_bytes());
        bytes[4..36].copy_from_slice(&self.prev_hash);
        bytes[36..68].copy_from_slice(&self.merkle_root);
        bytes[68..72].copy_from_slice(&self.time.to_le_bytes());
        bytes[72..76].copy_from_slice(&self.bits.to_le_bytes());
        bytes[76..].copy_from_slice(&self.nonce.to_le_bytes());
        bytes
    }
}

/// A hash as people read it: reversed, in lower-case hex.
pub fn display_hex(hash: &Hash) -> String {
    let mut reversed = *hash;
    reversed.reverse();
    const_hex::encode(reversed)
}

/// The inverse of [`display_hex`]. `None` unless it is 64 hex digits.
pub fn hash_from_display_hex(text: &str) -> Option<Hash> {
    // The decoder skips `0x`; a hash has none.
    if text.len() != 2 * HASH_BYTES {
        return None;
    }
    let mut hash: Hash = const_hex::decode_to_array(text).ok()?;
    hash.reverse();
    Some(hash)
}

/// The previous block's hash as `mining.notify` writes it: every four bytes of the internal order
/// turned round (`mining.md` §6.3).
pub fn stratum_hex(prev_hash: &Hash) -> String {
    let mut words = *prev_hash;
    for word in words.chunks_exact_mut(4) {
        word.reverse();
    }
    const_hex::encode(words)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sha256d::sha256d;

    const PREV_HASH: &str = "000000000002d01c1fccc21636b607dfd930d31d01c3a62104612a1719011250";

    #[test]
    fn block_100000_serialises_and_hashes_as_it_did() {
        let header = Header {
            version: 1,
            prev_hash: hash_from_display_hex(PREV_HASH).unwrap(),
            merkle_root: hash_from_display_hex(
                "f3e94742aca4b5ef85488dc37c06c3282295ffec960994b2c0d5ac2a25a95766",
            )
            .unwrap(),
            time: 0x4d1b_2237,
            bits: 0x1b04_864c,
            nonce: 0x1057_2b0f,
        };
        let bytes = header.serialize();
        assert_eq!(
            const_hex::encode(bytes),
            "0100000050120119172a610421a6c3011dd330d9df07b63616c2cc1f1cd00200000000006657a9252aacd5c0b2940996ecff952228c3067cc38d4885efb5a4ac4247e9f337221b4d4c86041b0f2b5710"
        );
        assert_eq!(
            display_hex(&sha256d(&bytes)),
            "000000000003ba27aa200b1cecaad478d2b00432346c3f1f3986da1afd33e506"
        );
    }

    #[test]
    fn stratum_turns_each_word_round() {
        assert_eq!(
            stratum_hex(&hash_from_display_hex(PREV_HASH).unwrap()),
            "1901125004612a1701c3a621d930d31d36b607df1fccc2160002d01c00000000"
        );
    }

    #[test]
    fn only_whole_hashes_are_read() {
        for bad in ["", "00", &PREV_HASH[2..], &format!("0x{PREV_HASH}"), &"g".repeat(64)] {
            assert_eq!(hash_from_display_hex(bad), None, "{bad}");
        }
    }
}
