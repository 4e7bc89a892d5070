//! What a `rawblock` message says of the new tip (`mining.md` §2.9).

use std::time::{Duration, SystemTime};

use gopool_shards::sha256d::sha256d;
use gopool_shards::work::block::{coinbase_parts, script_height};
use gopool_shards::work::header::{HEADER_BYTES, display_hex};
use gopool_shards::work::target::Target;

use crate::snapshot::TipFigures;

/// Reads header and height from a serialised block. `None` when the bytes are no block.
pub fn tip_of(block: &[u8]) -> Option<TipFigures> {
    let header = block.first_chunk::<HEADER_BYTES>()?;
    let bits = u32::from_le_bytes(header[72..76].try_into().ok()?);
    let time = u32::from_le_bytes(header[68..72].try_into().ok()?);
    Some(TipFigures {
        hash_hex: display_hex(&sha256d(header)),
        height: script_height(coinbase_parts(block).ok()?.script)?,
        time: SystemTime::UNIX_EPOCH + Duration::from_secs(u64::from(time)),
        bits_hex: format!("{bits:08x}"),
        difficulty: Target::from_bits(bits).map_or(0.0, |target| target.difficulty()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: &str = include_str!("../../shards/tests/vectors/example_a.hex");
    const SMALL_HEIGHT: &str = include_str!("../../shards/tests/vectors/example_c.hex");

    #[test]
    fn the_examples_block_says_what_the_specification_says() {
        let block = const_hex::decode(BLOCK.trim()).unwrap();
        let tip = tip_of(&block).unwrap();
        assert_eq!(tip.height, 840_000);
        assert_eq!(tip.time, SystemTime::UNIX_EPOCH + Duration::from_secs(1_713_572_400));
        assert_eq!(tip.bits_hex, "17034219");
        assert_eq!(
            tip.hash_hex,
            "6627dad31cafe77c8ece5ca0e1359591ae4f8d05412c1dd8d4ed8fd6454c0ffa"
        );
        assert!((tip.difficulty / 86_388_558_925_171.02 - 1.0).abs() < 1e-14);
        let block = const_hex::decode(SMALL_HEIGHT.trim()).unwrap();
        assert_eq!(tip_of(&block).unwrap().height, 1);
    }

    #[test]
    fn a_block_cut_anywhere_is_none_and_never_a_panic() {
        let block = const_hex::decode(BLOCK.trim()).unwrap();
        let outputs_end = block.len() - 34 - 4;
        for length in 0..block.len() {
            assert_eq!(tip_of(&block[..length]).is_some(), length >= outputs_end, "{length}");
        }
    }
}
