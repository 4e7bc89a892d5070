//! Double SHA-256 behind one safe door: which kernel runs is asked of the CPU once.
//!
//! Hashes here are in internal byte order, as SHA-256 puts them out; the reversed hex that people
//! read is made at the edges.

mod scalar;
#[cfg(target_arch = "x86_64")]
mod shani;

use std::sync::OnceLock;

/// Bytes SHA-256 takes at a time.
pub const BLOCK_BYTES: usize = 64;
/// Bytes of a hash.
pub const HASH_BYTES: usize = 32;
/// A hash in internal byte order.
pub type Hash = [u8; HASH_BYTES];

type Compress = fn(&mut [u32; 8], &[[u8; BLOCK_BYTES]]);

/// SHA-256's initial state (FIPS 180-4 §5.3.3).
const INITIAL_STATE: [u32; 8] = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];

/// SHA-256's round constants (FIPS 180-4 §4.2.2).
#[rustfmt::skip]
const ROUND_CONSTANTS: [u32; 64] = [
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
];

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
    pub fn new(first: &[u8; BLOCK_BYTES]) -> Self {
        let mut state = INITIAL_STATE;
        kernel().compress(&mut state, std::slice::from_ref(first));
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
    kernel().name
}

/// Absorbs `data`, the end of a message of `message_bytes`, and the padding after it.
fn absorb(state: &mut [u32; 8], data: &[u8], message_bytes: usize) {
    let kernel = kernel();
    let (blocks, tail) = data.as_chunks::<BLOCK_BYTES>();
    kernel.compress(state, blocks);
    let mut padded = [[0u8; BLOCK_BYTES]; 2];
    let flat = padded.as_flattened_mut();
    flat[..tail.len()].copy_from_slice(tail);
    flat[tail.len()] = 0x80;
    let count = if tail.len() + 9 <= BLOCK_BYTES { 1 } else { 2 };
    let bits = (message_bytes as u64) * 8;
    flat[count * BLOCK_BYTES - 8..count * BLOCK_BYTES].copy_from_slice(&bits.to_be_bytes());
    kernel.compress(state, &padded[..count]);
}

/// The second SHA-256: of the 32 bytes of the first.
fn hash_again(first: &[u32; 8]) -> Hash {
    let mut block = [0u8; BLOCK_BYTES];
    block[..HASH_BYTES].copy_from_slice(&to_bytes(first));
    block[HASH_BYTES] = 0x80;
    block[BLOCK_BYTES - 8..].copy_from_slice(&(HASH_BYTES as u64 * 8).to_be_bytes());
    let mut state = INITIAL_STATE;
    kernel().compress(&mut state, std::slice::from_ref(&block));
    to_bytes(&state)
}

fn to_bytes(state: &[u32; 8]) -> Hash {
    let mut bytes = [0; HASH_BYTES];
    for (out, word) in bytes.chunks_exact_mut(4).zip(state) {
        out.copy_from_slice(&word.to_be_bytes());
    }
    bytes
}

struct Kernel {
    name: &'static str,
    compress: Compress,
}

impl Kernel {
    fn compress(&self, state: &mut [u32; 8], blocks: &[[u8; BLOCK_BYTES]]) {
        (self.compress)(state, blocks);
    }
}

const SCALAR: Kernel = Kernel { name: "scalar", compress: scalar::compress };

/// The fastest kernel this CPU can run. Each is proven against [`scalar`] before it is used.
fn kernel() -> &'static Kernel {
    static KERNEL: OnceLock<Kernel> = OnceLock::new();
    KERNEL.get_or_init(|| {
        #[cfg(target_arch = "x86_64")]
        if let Some(kernel) = sha_ni() {
            return kernel;
        }
        SCALAR
    })
}

#[cfg(target_arch = "x86_64")]
fn sha_ni() -> Option<Kernel> {
    let usable = is_x86_feature_detected!("sha")
        && is_x86_feature_detected!("ssse3")
        && is_x86_feature_detected!("sse4.1");
    usable.then_some(Kernel {
        name: "sha-ni",
        compress: |state, blocks| {
            // SAFETY: `shani::compress` requires SHA, SSE2 (part of x86-64), SSSE3 and SSE4.1,
            // which the CPU has been asked for before this closure can be reached. It has no
            // other precondition: the arguments carry their lengths.
            unsafe { shani::compress(state, blocks) }
        },
    })
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
        let kernels = [
            Some(SCALAR),
            #[cfg(target_arch = "x86_64")]
            sha_ni(),
        ];
        for kernel in kernels.into_iter().flatten() {
            for count in 0..blocks.len() {
                let mut expected = [count as u32 ^ 0x9e37_79b9; 8];
                let mut found = expected;
                scalar::compress(&mut expected, &blocks[..count]);
                kernel.compress(&mut found, &blocks[..count]);
                assert_eq!(found, expected, "{} with {count} blocks", kernel.name);
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
