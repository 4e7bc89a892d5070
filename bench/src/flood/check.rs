//! A job, checked from the wire alone: what a miner would hash, with hashing that is not the pool's.

use serde_json::Value;

use crate::node::{Hash, WITNESS_COMMITMENT_HEAD, merkle_root, sha256d, target_of};

/// What is wrong with a job.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckError {
    #[error("the notify cannot be read: {0}")]
    Unreadable(&'static str),
    #[error("the coinbase is no transaction: {0}")]
    Coinbase(&'static str),
    #[error("the coinbase does not commit to witnesses (BIP-0141)")]
    NoCommitment,
    #[error("the branch does not lead to the root over the node's transactions")]
    Branch,
}

/// `mining.notify`, decoded. Hashes are in internal byte order.
#[derive(Clone, Debug)]
pub struct Job {
    pub id: String,
    prev_hash: Hash,
    coinb1: Vec<u8>,
    coinb2: Vec<u8>,
    branch: Vec<Hash>,
    version: u32,
    bits: u32,
    ntime: u32,
}

impl Job {
    /// Reads the line of a notify.
    pub fn read(line: &[u8]) -> Result<Self, CheckError> {
        let value: Value =
            serde_json::from_slice(line).map_err(|_| CheckError::Unreadable("no JSON"))?;
        let text = |index: usize, name| {
            value["params"][index].as_str().ok_or(CheckError::Unreadable(name))
        };
        let bytes = |index: usize, name| {
            const_hex::decode(text(index, name)?).map_err(|_| CheckError::Unreadable(name))
        };
        let number = |index: usize, name| {
            u32::from_str_radix(text(index, name)?, 16).map_err(|_| CheckError::Unreadable(name))
        };
        let mut prev_hash: Hash = bytes(1, "previous hash")?
            .try_into()
            .map_err(|_| CheckError::Unreadable("previous hash"))?;
        // Stratum writes it as eight words, each with its bytes the other way round.
        for word in prev_hash.chunks_mut(4) {
            word.reverse();
        }
        let levels = value["params"][4].as_array().ok_or(CheckError::Unreadable("branch"))?;
        let branch = levels.iter().map(|level| {
            let level = level.as_str().and_then(|hex| const_hex::decode_to_array(hex).ok());
            level.ok_or(CheckError::Unreadable("branch"))
        });
        Ok(Self {
            id: text(0, "job id")?.to_owned(),
            prev_hash,
            coinb1: bytes(2, "coinb1")?,
            coinb2: bytes(3, "coinb2")?,
            branch: branch.collect::<Result<_, _>>()?,
            version: number(5, "version")?,
            bits: number(6, "nbits")?,
            ntime: number(7, "ntime")?,
        })
    }

    fn coinbase(&self, extranonce1: &[u8], extranonce2: &[u8]) -> Vec<u8> {
        [&self.coinb1[..], extranonce1, extranonce2, &self.coinb2].concat()
    }

    /// The 80 bytes that are hashed, with nonce 0 in the last four.
    pub fn header(&self, extranonce1: &[u8], extranonce2: &[u8]) -> [u8; 80] {
        let coinbase = sha256d(&self.coinbase(extranonce1, extranonce2));
        let fold = |hash: Hash, sibling: &Hash| sha256d(&[hash, *sibling].concat());
        let root = self.branch.iter().fold(coinbase, fold);
        let mut header = [0; 80];
        header[..4].copy_from_slice(&self.version.to_le_bytes());
        header[4..36].copy_from_slice(&self.prev_hash);
        header[36..68].copy_from_slice(&root);
        header[68..72].copy_from_slice(&self.ntime.to_le_bytes());
        header[72..76].copy_from_slice(&self.bits.to_le_bytes());
        header
    }

    /// The first nonce from `start` on with which this is a block. None when there is none within
    /// `tries`.
    pub fn find_block(&self, mut header: [u8; 80], start: u32, tries: u32) -> Option<u32> {
        let target = target_of(self.bits)?;
        (0..tries).map(|step| start.wrapping_add(step)).find(|nonce| {
            header[76..].copy_from_slice(&nonce.to_le_bytes());
            let mut hash = sha256d(&header);
            // Nearly all are decided by the first byte; the whole is compared as a number.
            hash.reverse();
            hash <= target
        })
    }

    /// Checks that a block of it would be one, with these transactions after the coinbase.
    pub fn check(
        &self,
        extranonce1: &[u8],
        extranonce2_bytes: usize,
        txids: Option<&[Hash]>,
    ) -> Result<(), CheckError> {
        let extranonce2 = vec![0; extranonce2_bytes];
        let coinbase = self.coinbase(extranonce1, &extranonce2);
        check_coinbase(&coinbase)?;
        if memchr::memmem::find(&coinbase, &WITNESS_COMMITMENT_HEAD).is_none() {
            return Err(CheckError::NoCommitment);
        }
        let Some(txids) = txids else { return Ok(()) };
        let mut leaves = vec![sha256d(&coinbase)];
        leaves.extend(txids);
        let header = self.header(extranonce1, &extranonce2);
        if header[36..68] == merkle_root(&leaves) { Ok(()) } else { Err(CheckError::Branch) }
    }
}

/// One input without a source, outputs, and nothing after the lock time.
fn check_coinbase(bytes: &[u8]) -> Result<(), CheckError> {
    let cut = CheckError::Coinbase("it is cut off");
    let script_bytes = match bytes.get(4..42) {
        Some([1, outpoint @ .., length]) if outpoint[..32] == [0; 32] => usize::from(*length),
        Some(_) => return Err(CheckError::Coinbase("it spends something")),
        None => return Err(cut),
    };
    if !(2..=100).contains(&script_bytes) {
        return Err(CheckError::Coinbase("its script is not of 2 to 100 bytes"));
    }
    let outputs_at = 42 + script_bytes + 4;
    let Some((&count, mut rest)) = bytes.get(outputs_at..).and_then(<[u8]>::split_first) else {
        return Err(cut);
    };
    for _ in 0..count {
        let Some(length) = rest.get(8).filter(|length| **length < 0xfd) else { return Err(cut) };
        let Some(after) = rest.get(9 + usize::from(*length)..) else { return Err(cut) };
        rest = after;
    }
    match rest.len() {
        4 => Ok(()),
        0..4 => Err(cut),
        _ => Err(CheckError::Coinbase("something follows its lock time")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The genesis block's coinbase, cut where extranonces might be.
    const COINB1: &str = "01000000010000000000000000000000000000000000000000000000000000000000000000\
        ffffffff4d";
    const EXTRANONCE1: &str = "04ffff001d";
    const COINB2: &str = "0104455468652054696d65732030332f4a616e2f32303039204368616e63656c6c6f72206f6e\
        206272696e6b206f66207365636f6e64206261696c6f757420666f722062616e6b73ffffffff0100f2052a01000000\
        434104678afdb0fe5548271967f1a67130b7105cd6a828e03909a67962e0ea1f61deb649f6bc3f4cef38c4f3550\
        4e51ec112de5c384df7ba0b8d578a4c702b6bf11d5fac00000000";

    fn genesis() -> Job {
        let line = format!(
            r#"{{"id":null,"method":"mining.notify","params":["1-1","{}","{COINB1}","{COINB2}",[],"00000001","1d00ffff","495fab29",true]}}"#,
            "0".repeat(64)
        );
        Job::read(line.as_bytes()).unwrap()
    }

    #[test]
    fn the_genesis_block_is_found_where_it_is() {
        let job = genesis();
        let extranonce1 = const_hex::decode(EXTRANONCE1).unwrap();
        let header = job.header(&extranonce1, &[]);
        let nonce = 2_083_236_893;
        assert_eq!(job.find_block(header, nonce - 3, 10), Some(nonce));
        assert_eq!(job.find_block(header, nonce + 1, 10), None);
        assert_eq!(job.check(&extranonce1, 0, None), Err(CheckError::NoCommitment));
    }

    #[test]
    fn a_coinbase_that_is_none_is_told() {
        let whole = const_hex::decode([COINB1, EXTRANONCE1, COINB2].concat()).unwrap();
        assert_eq!(check_coinbase(&whole), Ok(()));
        for length in 0..whole.len() {
            assert!(check_coinbase(&whole[..length]).is_err(), "{length} bytes");
        }
        let longer = [&whole[..], &[0]].concat();
        let error = CheckError::Coinbase("something follows its lock time");
        assert_eq!(check_coinbase(&longer), Err(error));
    }
}
