//! Double SHA-256 behind one safe door: which kernel runs is asked of the CPU once.
//!
//! Hashes here are in internal byte order, as SHA-256 puts them out; the reversed hex that people
//! read is made at the edges.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod engine;
mod kernel;
#[cfg(target_arch = "x86_64")]
mod lanes;
mod scalar;
mod schedule;
#[cfg(target_arch = "x86_64")]
mod shani;

pub use kernel::Kernel;

use engine::{hash_of, pad};
use schedule::{HASH_PADDING, INITIAL_STATE};

/// Bytes SHA-256 takes at a time.
pub const BLOCK_BYTES: usize = 64;
/// Bytes of a hash.
pub const HASH_BYTES: usize = 32;
/// A hash in internal byte order.
pub type Hash = [u8; HASH_BYTES];

type Block = [u8; BLOCK_BYTES];

/// SHA-256 of SHA-256 of `data`.
pub fn sha256d(data: &[u8]) -> Hash {
    let mut state = INITIAL_STATE;
    absorb(&mut state, data, data.len());
    hash_again(&state)
}

/// SHA-256d of two hashes side by side: one step of a merkle tree.
pub fn sha256d_pair(left: &Hash, right: &Hash) -> Hash {
    let mut data = [0; 2 * HASH_BYTES];
    data[..HASH_BYTES].copy_from_slice(left);
    data[HASH_BYTES..].copy_from_slice(right);
    sha256d(&data)
}

/// The state after the first 64 bytes of a message: a miner tries nonces in the last 16 bytes of
/// a header, so the rest need be hashed only once.
#[derive(Clone, Copy, Debug)]
pub struct Midstate([u32; 8]);

impl Midstate {
    /// Absorbs the message's first block.
    pub fn new(first: &Block) -> Self {
        let mut state = INITIAL_STATE;
        Kernel::best().compress(&mut state, std::slice::from_ref(first));
        Self(state)
    }

    /// SHA-256d of the first block and `rest` together.
    pub fn sha256d(&self, rest: &[u8]) -> Hash {
        let mut state = self.0;
        absorb(&mut state, rest, BLOCK_BYTES + rest.len());
        hash_again(&state)
    }
}

/// The name of the kernel in use, for a log line.
pub fn kernel_name() -> &'static str {
    Kernel::best().name()
}

/// Absorbs `data`, the end of a message of `message_bytes`, and the padding after it.
fn absorb(state: &mut [u32; 8], data: &[u8], message_bytes: usize) {
    let kernel = Kernel::best();
    let (blocks, tail) = data.as_chunks::<BLOCK_BYTES>();
    kernel.compress(state, blocks);
    let (end, count) = pad(tail, message_bytes);
    kernel.compress(state, &end[..count]);
}

/// The second SHA-256: of the 32 bytes of the first.
fn hash_again(first: &[u32; 8]) -> Hash {
    let mut block = [0u8; BLOCK_BYTES];
    block[..HASH_BYTES].copy_from_slice(&hash_of(first));
    block[HASH_BYTES..].copy_from_slice(&hash_of(&HASH_PADDING));
    let mut state = INITIAL_STATE;
    Kernel::best().compress(&mut state, std::slice::from_ref(&block));
    hash_of(&state)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::{Digest, Sha256};

    fn reference(data: &[u8]) -> Hash {
        Sha256::digest(Sha256::digest(data)).into()
    }

    /// Bytes that are neither constant nor periodic in a block.
    fn bytes(count: usize) -> Vec<u8> {
        (0..count).map(|i| (i * i + 31 * i + 7) as u8 ^ (i >> 8) as u8).collect()
    }

    #[test]
    fn every_length_hashes_as_the_reference_does() {
        for length in 0..300 {
            let data = bytes(length);
            assert_eq!(sha256d(&data), reference(&data), "length {length}");
        }
    }

    #[test]
    fn a_midstate_gives_the_hash_of_the_whole_message() {
        for length in [64, 65, 80, 119, 120, 128, 200] {
            let data = bytes(length);
            let first: &[u8; 64] = data[..64].try_into().unwrap();
            assert_eq!(Midstate::new(first).sha256d(&data[64..]), reference(&data), "{length}");
        }
    }

    #[test]
    fn a_pair_is_its_concatenation() {
        let data = bytes(64);
        let (left, right) = (data[..32].try_into().unwrap(), data[32..].try_into().unwrap());
        assert_eq!(sha256d_pair(left, right), reference(&data));
    }

    #[test]
    fn each_kernel_agrees_with_the_oracle_on_any_state() {
        let data = bytes(64 * 9);
        let (blocks, _) = data.as_chunks::<64>();
        for kernel in Kernel::all() {
            for count in 0..blocks.len() {
                let mut expected = [count as u32 ^ 0x9e37_79b9; 8];
                let mut found = expected;
                scalar::compress(&mut expected, &blocks[..count]);
                kernel.compress(&mut found, &blocks[..count]);
                assert_eq!(found, expected, "{kernel:?} with {count} blocks");
            }
        }
    }

    #[test]
    fn messages_side_by_side_hash_as_they_do_alone() {
        // All lengths around the ends of blocks meet in one group, in every number of lanes.
        let lengths = [0, 1, 32, 55, 56, 63, 64, 65, 80, 119, 120, 127, 128, 183, 184, 270, 500];
        let data = bytes(1000);
        for kernel in Kernel::all() {
            for count in 0..=40 {
                for turn in 0..lengths.len() {
                    let messages: Vec<&[u8]> = (0..count)
                        .map(|i| &data[i..i + lengths[(i * 5 + turn) % lengths.len()]])
                        .collect();
                    let mut hashes = vec![[0; 32]; count];
                    kernel.sha256d_each(&messages, &mut hashes);
                    let expected: Vec<Hash> = messages.iter().map(|m| reference(m)).collect();
                    assert_eq!(hashes, expected, "{kernel:?}, {count} messages, turn {turn}");
                }
            }
        }
    }

    #[test]
    fn messages_of_one_length_hash_as_they_do_alone() {
        let data = bytes(600);
        for kernel in Kernel::all() {
            for length in 0..300 {
                let messages: Vec<&[u8]> = (0..19).map(|i| &data[i..i + length]).collect();
                let mut hashes = vec![[0; 32]; messages.len()];
                kernel.sha256d_each(&messages, &mut hashes);
                let expected: Vec<Hash> = messages.iter().map(|m| reference(m)).collect();
                assert_eq!(hashes, expected, "{kernel:?}, {length} bytes");
            }
        }
    }

    #[test]
    fn branches_fold_as_they_do_one_by_one() {
        let siblings: Vec<Hash> = (0..60u32).map(|i| reference(&i.to_le_bytes())).collect();
        let fold = |hash: Hash, branch: &[Hash]| {
            branch.iter().fold(hash, |hash, sibling| reference(&[hash, *sibling].concat()))
        };
        for kernel in Kernel::all() {
            for count in 0..=40 {
                let leaves: Vec<Hash> = (0..count as u32).map(|i| siblings[i as usize]).collect();
                // One branch for all, beginnings of one branch, one for each, none.
                for shape in 0..4 {
                    let branches: Vec<&[Hash]> = (0..count)
                        .map(|i| match shape {
                            0 => &siblings[..12],
                            1 => &siblings[..i * 7 % 15],
                            2 => &siblings[i..i + i * 7 % 15],
                            _ => &siblings[..0],
                        })
                        .collect();
                    let mut found = leaves.clone();
                    kernel.fold_each(&mut found, &branches);
                    let expected: Vec<Hash> =
                        leaves.iter().zip(&branches).map(|(l, b)| fold(*l, b)).collect();
                    assert_eq!(found, expected, "{kernel:?}, {count} hashes, shape {shape}");
                }
            }
        }
    }

    #[test]
    fn pairs_side_by_side_are_their_concatenations() {
        let hashes: Vec<Hash> = (0..82u32).map(|i| reference(&i.to_le_bytes())).collect();
        let (pairs, _) = hashes.as_chunks::<2>();
        for kernel in Kernel::all() {
            for count in 0..=pairs.len() {
                let mut found = vec![[0; 32]; count];
                kernel.sha256d_pairs(&pairs[..count], &mut found);
                let expected: Vec<Hash> =
                    pairs[..count].iter().map(|pair| reference(&pair.concat())).collect();
                assert_eq!(found, expected, "{kernel:?}, {count} pairs");
            }
        }
    }

    #[test]
    fn the_genesis_header_has_its_hash() {
        let mut header = vec![1, 0, 0, 0];
        header.extend([0; 32]);
        header.extend([
            0x3b, 0xa3, 0xed, 0xfd, 0x7a, 0x7b, 0x12, 0xb2, 0x7a, 0xc7, 0x2c, 0x3e, 0x67, 0x76,
            0x8f, 0x61, 0x7f, 0xc8, 0x1b, 0xc3, 0x88, 0x8a, 0x51, 0x32, 0x3a, 0x9f, 0xb8, 0xaa,
            0x4b, 0x1e, 0x5e, 0x4a,
        ]);
        header.extend(1_231_006_505u32.to_le_bytes());
        header.extend(0x1d00_ffffu32.to_le_bytes());
        header.extend(2_083_236_893u32.to_le_bytes());
        let hash = sha256d(&header);
        assert_eq!(hash[24..], [0x68, 0xd6, 0x19, 0, 0, 0, 0, 0]);
    }
}
