//! A block that was handed in, judged as far as a stand-in can.

use super::hash::{Hash, merkle_root, sha256d};
use super::template::{Head, TransactionSet};

/// Why a block would not be taken, in the words of BIP-0022.
pub fn judge(hex: &str, head: &Head, set: &TransactionSet) -> Result<Hash, &'static str> {
    let coinbase_hex = hex.strip_suffix(&*set.block_tail_hex).ok_or("bad-txns")?;
    let start = const_hex::decode(coinbase_hex).map_err(|_| "bad-hex")?;
    let (header, rest) = start.split_at_checked(80).ok_or("bad-blk-length")?;
    let coinbase = match (rest, set.txids.len() + 1) {
        ([0xfd, low, high, coinbase @ ..], count)
            if usize::from(u16::from_le_bytes([*low, *high])) == count =>
        {
            coinbase
        }
        ([first, coinbase @ ..], count) if usize::from(*first) == count && count < 0xfd => coinbase,
        _ => return Err("bad-txns-count"),
    };
    let stripped = stripped_coinbase(coinbase).ok_or("bad-cb")?;
    let mut leaves = vec![sha256d(&stripped)];
    leaves.extend(&set.txids);
    if header[36..68] != merkle_root(&leaves) {
        return Err("bad-txnmrklroot");
    }
    if header[4..36] != head.prev_hash {
        return Err("stale-prevblk");
    }
    let hash = sha256d(header);
    let mut number = hash;
    number.reverse();
    let is_met = super::target_of(head.bits).is_some_and(|target| number <= target);
    if is_met { Ok(hash) } else { Err("high-hash") }
}

/// The coinbase without its witness: marker and flag, and a stack of one value of 32 bytes.
fn stripped_coinbase(coinbase: &[u8]) -> Option<Vec<u8>> {
    let (version, rest) = coinbase.split_at_checked(4)?;
    let rest = rest.strip_prefix(&[0, 1])?;
    let (rest, locktime) = rest.split_at_checked(rest.len().checked_sub(4)?)?;
    let body = rest.strip_suffix(&[0; 32])?.strip_suffix(&[1, 32])?;
    Some([version, body, locktime].concat())
}
