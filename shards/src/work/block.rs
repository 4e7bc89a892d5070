//! A solved block in the form that `submitblock` takes (`mining.md` §7.2).

use crate::work::coinbase::witness_form;
use crate::work::header::HEADER_BYTES;
use crate::work::reader::{Reader, Truncated};
use crate::work::script::write_compact_size;
use crate::work::transactions::Transactions;

/// What stands in front of the template's transactions: header, count, and the coinbase in witness
/// form. `coinbase` is the form without witness, the one that was hashed.
pub fn head(header: &[u8; HEADER_BYTES], coinbase: &[u8], transactions: usize) -> Vec<u8> {
    let mut head = Vec::with_capacity(HEADER_BYTES + 9 + coinbase.len() + 36);
    head.extend(header);
    write_compact_size(&mut head, 1 + transactions);
    head.extend(witness_form(coinbase));
    head
}

/// A whole block: its head, and the template's transactions as delivered.
pub fn serialize(
    header: &[u8; HEADER_BYTES],
    coinbase: &[u8],
    transactions: &Transactions,
) -> Vec<u8> {
    let mut block = head(header, coinbase, transactions.len());
    block.reserve_exact(transactions.list().iter().map(|transaction| transaction.data.len()).sum());
    for transaction in transactions.list() {
        block.extend(&transaction.data);
    }
    block
}

/// What stands in the coinbase of a serialised block.
#[derive(Debug, PartialEq, Eq)]
pub struct CoinbaseParts<'a> {
    pub script: &'a [u8],
    /// Value in satoshis and scriptPubKey.
    pub outputs: Vec<(u64, &'a [u8])>,
}

/// Reads the coinbase of a block, in either form.
pub fn coinbase_parts(block: &[u8]) -> Result<CoinbaseParts<'_>, Truncated> {
    let mut reader = Reader(block);
    reader.take(HEADER_BYTES)?;
    let transactions = reader.compact_size()?;
    reader.take(4)?;
    if reader.0.starts_with(&[0x00, 0x01]) {
        reader.take(2)?;
    }
    let inputs = reader.compact_size()?;
    if transactions == 0 || inputs == 0 {
        return Err(Truncated);
    }
    reader.take(36)?;
    let script = reader.take_sized()?;
    reader.take(4)?;
    let count = reader.compact_size()?;
    let mut outputs = Vec::new();
    for _ in 0..count {
        outputs.push((reader.number(8)?, reader.take_sized()?));
    }
    Ok(CoinbaseParts { script, outputs })
}

/// The height that a coinbase script starts with (BIP-0034). `None` where there is none.
pub fn script_height(script: &[u8]) -> Option<u64> {
    let mut reader = Reader(script);
    let pushed = match reader.take(1).ok()?[0] {
        0 => return Some(0),
        opcode @ 0x51..=0x60 => return Some(u64::from(opcode - 0x50)),
        length @ 0x01..=0x4b => u64::from(length),
        0x4c => reader.number(1).ok()?,
        0x4d => reader.number(2).ok()?,
        0x4e => reader.number(4).ok()?,
        _ => return None,
    };
    let width = usize::try_from(pushed).ok().filter(|width| *width <= 8)?;
    reader.number(width).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRIPLE: &str = include_str!("../../tests/vectors/example_a.hex");

    #[test]
    fn a_blocks_coinbase_can_be_read_back() {
        let block = const_hex::decode(TRIPLE.trim()).unwrap();
        let parts = coinbase_parts(&block).unwrap();
        let values: Vec<u64> = parts.outputs.iter().map(|(value, _)| *value).collect();
        assert_eq!(values, [0, 312_384_144, 5_578_289, 796_898]);
        assert_eq!(script_height(parts.script), Some(840_000));
        let outputs_end = block.len() - 34 - 4;
        for length in 0..block.len() {
            assert_eq!(coinbase_parts(&block[..length]).is_ok(), length >= outputs_end, "{length}");
        }
    }

    #[test]
    fn heights_are_read_in_every_push() {
        for (script, height) in [
            ("51", Some(1)),
            ("60", Some(16)),
            ("00", Some(0)),
            ("0340d10c", Some(840_000)),
            ("4c0340d10c", Some(840_000)),
            ("4d030040d10c", Some(840_000)),
            ("4e0300000040d10c", Some(840_000)),
            ("0340d1", None),
            ("ff", None),
            ("", None),
            ("09010203040506070809", None),
            ("4effffffff", None),
        ] {
            let script = const_hex::decode(script).unwrap();
            assert_eq!(script_height(&script), height);
        }
    }
}
