//! Just enough of a transaction: its two ids, taken from its bytes (`mining.md` §3.1).

use crate::sha256d::{Hash, sha256d};
use crate::work::reader::{Reader, Truncated};

/// One transaction of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// As delivered, witnesses included.
    pub data: Vec<u8>,
    /// As in [`Ids`].
    pub txid: Hash,
    pub wtxid: Hash,
}

/// The two names of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ids {
    /// Of the serialisation without witnesses.
    pub txid: Hash,
    /// Of the whole serialisation (BIP-0141).
    pub wtxid: Hash,
}

/// Why bytes are no transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransactionError {
    #[error(transparent)]
    Truncated(#[from] Truncated),
    #[error("{0} bytes follow the end")]
    TrailingBytes(usize),
    #[error("the witness flag is {0:#04x}, only 0x01 is known")]
    UnknownFlag(u8),
}

impl Transaction {
    /// Parses exactly one transaction.
    pub fn parse(data: Vec<u8>) -> Result<Self, TransactionError> {
        let Ids { txid, wtxid } = Ids::of(&data)?;
        Ok(Self { data, txid, wtxid })
    }

    pub fn ids(&self) -> Ids {
        Ids { txid: self.txid, wtxid: self.wtxid }
    }
}

impl Ids {
    /// Those of exactly one transaction. Source: `UnserializeTransaction` in
    /// `src/primitives/transaction.h`.
    pub fn of(data: &[u8]) -> Result<Self, TransactionError> {
        let mut reader = Reader(data);
        let version = reader.take(4)?;
        // No inputs is how the witness marker reads; a flag must follow it.
        let has_witness = matches!(reader.0, [0, flag, ..] if *flag != 0);
        if has_witness {
            let flag = reader.take(2)?[1];
            if flag != 1 {
                return Err(TransactionError::UnknownFlag(flag));
            }
        }
        let body_start = data.len() - reader.0.len();
        let inputs = reader.compact_size()?;
        for _ in 0..inputs {
            reader.take(36)?;
            reader.take_sized()?;
            reader.take(4)?;
        }
        for _ in 0..reader.compact_size()? {
            reader.take(8)?;
            reader.take_sized()?;
        }
        let body = &data[body_start..data.len() - reader.0.len()];
        if has_witness {
            for _ in 0..inputs {
                for _ in 0..reader.compact_size()? {
                    reader.take_sized()?;
                }
            }
        }
        let locktime = reader.take(4)?;
        if !reader.0.is_empty() {
            return Err(TransactionError::TrailingBytes(reader.0.len()));
        }
        let wtxid = sha256d(data);
        let txid = if has_witness { sha256d(&[version, body, locktime].concat()) } else { wtxid };
        Ok(Self { txid, wtxid })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEGWIT: &str = "01000000000101db6b1b20aa0fd7b23880be2ecbd4a98130974cf4748fb66092ac4d3ceb1a5477010000001716001479091972186c449eb1ded22b78e40d009bdf0089feffffff02b8b4eb0b000000001976a914a457b684d7f0d539a46a45bbc043f35b59d0d96388ac0008af2f000000001976a914fd270b1ee6abcaea97fea7ad0402e8bd8ad6d77c88ac02473044022047ac8e878352d3ebbde1c94ce3a10d057c24175747116f8288e5d794d12d482f0220217f36a485cae903c713331d877c1f64677e3622ad4010726870540656fe9dcb012103ad1d8e89212f0b92c74d23bb710c00662ad1470198ac48c43f7d6f93a2a2687392040000";
    const LEGACY: &str = "010000000111111111111111111111111111111111111111111111111111111111111111110000000000ffffffff01e803000000000000015100000000";

    fn display(hash: Hash) -> String {
        const_hex::encode(hash.iter().rev().copied().collect::<Vec<_>>())
    }

    #[test]
    fn a_witness_transaction_has_two_ids() {
        let parsed = Transaction::parse(const_hex::decode(SEGWIT).unwrap()).unwrap();
        assert_eq!(
            display(parsed.txid),
            "ef48d9d0f595052e0f8cdcf825f7a5e50b6a388a81f206f3f4846e5ecd7a0c23"
        );
        assert_eq!(
            display(parsed.wtxid),
            "680f483b2bf6c5dcbf111e69e885ba248a41a5e92070cfb0afec3cfc49a9fabb"
        );
    }

    #[test]
    fn a_legacy_transaction_has_one() {
        let parsed = Transaction::parse(const_hex::decode(LEGACY).unwrap()).unwrap();
        assert_eq!(
            display(parsed.txid),
            "99296a9c40f5e307530147cc99133f35ae866b280d362d7c487bfd30ea1d72d8"
        );
        assert_eq!(parsed.txid, parsed.wtxid);
    }

    #[test]
    fn a_transaction_cut_anywhere_is_an_error_and_so_is_a_byte_more() {
        for hex in [SEGWIT, LEGACY] {
            let data = const_hex::decode(hex).unwrap();
            for length in 0..data.len() {
                assert_eq!(
                    Transaction::parse(data[..length].to_vec()),
                    Err(TransactionError::Truncated(Truncated)),
                    "{length} bytes"
                );
            }
            let longer = [&data[..], &[0]].concat();
            assert_eq!(Transaction::parse(longer), Err(TransactionError::TrailingBytes(1)));
        }
    }

    #[test]
    fn absurd_lengths_and_flags_are_refused() {
        let mut data = const_hex::decode(SEGWIT).unwrap();
        data[5] = 2;
        assert_eq!(Transaction::parse(data), Err(TransactionError::UnknownFlag(2)));
        // An input script that claims the whole address space.
        let mut data = vec![1, 0, 0, 0, 1];
        data.extend([0; 36]);
        data.extend([0xff; 9]);
        assert_eq!(Transaction::parse(data), Err(TransactionError::Truncated(Truncated)));
    }
}
