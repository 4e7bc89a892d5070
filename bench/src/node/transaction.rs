//! Transactions as a mempool of mainnet has them: well-formed and sized like the real ones, spending
//! nothing that exists.

use super::hash::{Hash, sha256d};

/// Numbers without pattern, the same in every run (SplitMix64).
#[derive(Clone, Debug)]
pub struct Draw(pub u64);

impl Draw {
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.number() % limit
    }

    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| self.number() as u8)
    }
}

/// One transaction with what a template says of it.
#[derive(Clone, Debug)]
pub struct Transaction {
    pub data: Vec<u8>,
    pub txid: Hash,
    pub wtxid: Hash,
    pub weight: usize,
    pub fee_sats: u64,
}

/// How its coins are locked.
#[derive(Clone, Copy, PartialEq)]
enum Lock {
    /// Pay to a witness public key hash (BIP-0141): a signature and a key.
    KeyHash,
    /// Taproot's key path (BIP-0341): one signature.
    Taproot,
}

impl Transaction {
    /// Draws one. Of ten: six pay somebody from one coin, one or two from two coins, one or two are
    /// taproot, and one collects a dozen coins; together about 440 bytes and 970 weight units each,
    /// so four thousand fill a block.
    pub fn draw(draw: &mut Draw) -> Self {
        let (lock, inputs, outputs) = match draw.below(100) {
            0..60 => (Lock::KeyHash, 1, 2),
            60..75 => (Lock::KeyHash, 2, 2),
            75..90 => (Lock::Taproot, 1, 2),
            _ => (Lock::KeyHash, 10 + draw.below(8) as usize, 1 + draw.below(2) as usize),
        };
        let mut body = Vec::with_capacity(inputs * 41 + outputs * 43 + 2);
        body.push(inputs as u8);
        for _ in 0..inputs {
            body.extend(draw.bytes::<32>());
            body.extend((draw.below(4) as u32).to_le_bytes());
            body.push(0);
            body.extend(0xffff_fffd_u32.to_le_bytes());
        }
        body.push(outputs as u8);
        for _ in 0..outputs {
            body.extend((10_000 + draw.below(50_000_000)).to_le_bytes());
            match lock {
                Lock::KeyHash => {
                    body.extend([22, 0x00, 0x14]);
                    body.extend(draw.bytes::<20>());
                }
                Lock::Taproot => {
                    body.extend([34, 0x51, 0x20]);
                    body.extend(draw.bytes::<32>());
                }
            }
        }
        let mut witnesses = Vec::with_capacity(inputs * 108);
        for _ in 0..inputs {
            match lock {
                Lock::KeyHash => {
                    witnesses.extend([2, 71]);
                    witnesses.extend(draw.bytes::<71>());
                    witnesses.push(33);
                    witnesses.extend(draw.bytes::<33>());
                }
                Lock::Taproot => {
                    witnesses.extend([1, 64]);
                    witnesses.extend(draw.bytes::<64>());
                }
            }
        }
        let version = 2u32.to_le_bytes();
        let locktime = (800_000 + draw.below(40_000) as u32).to_le_bytes();
        let stripped = [&version[..], &body, &locktime].concat();
        let data = [&version[..], &[0, 1], &body, &witnesses, &locktime].concat();
        let weight = 3 * stripped.len() + data.len();
        Self {
            txid: sha256d(&stripped),
            wtxid: sha256d(&data),
            weight,
            fee_sats: weight as u64 / 4 * (1 + draw.below(20)),
            data,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_thousand_fill_a_block_and_no_more() {
        let mut draw = Draw(1);
        let all: Vec<_> = (0..4000).map(|_| Transaction::draw(&mut draw)).collect();
        let bytes: usize = all.iter().map(|transaction| transaction.data.len()).sum();
        let weight: usize = all.iter().map(|transaction| transaction.weight).sum();
        assert!((1_500_000..2_000_000).contains(&bytes), "{bytes} bytes");
        assert!((3_600_000..3_992_000).contains(&weight), "{weight} weight units");
    }

    #[test]
    fn another_reader_finds_the_same_ids() {
        let mut draw = Draw(2);
        for _ in 0..200 {
            let ours = Transaction::draw(&mut draw);
            let read = gopool_shards::work::transaction::Transaction::parse(ours.data).unwrap();
            assert_eq!((read.txid, read.wtxid), (ours.txid, ours.wtxid));
        }
    }
}
