//! SHA-256's compression function, written to be read: the oracle that every faster kernel is
//! tested against, and the kernel where the CPU has nothing better.
//!
//! Source: FIPS 180-4 §4.1.2, §4.2.2, §6.2.2.

use super::engine::{self, Engine, hash_of, words_of};
use super::schedule::{HASH_PADDING, INITIAL_STATE, ROUND_CONSTANTS, message_schedule};
use super::{Block, Hash};

/// Folds `blocks` into `state`, one after the other.
pub(crate) fn compress(state: &mut [u32; 8], blocks: &[Block]) {
    for block in blocks {
        *state = compress_words(*state, block_words(block));
    }
}

fn compress_words(state: [u32; 8], words: [u32; 16]) -> [u32; 8] {
    let mut sums = message_schedule(words);
    for (sum, constant) in sums.iter_mut().zip(ROUND_CONSTANTS) {
        *sum = sum.wrapping_add(constant);
    }
    rounds(state, &sums)
}

/// The 64 rounds; `sums` are the schedule's words and the constants, added.
fn rounds(state: [u32; 8], sums: &[u32; 64]) -> [u32; 8] {
    let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = state;
    for sum in sums {
        let big_sigma_1 = e.rotate_right(6) ^ e.rotate_right(11) ^ e.rotate_right(25);
        let choice = (e & f) ^ (!e & g);
        let t1 = h.wrapping_add(big_sigma_1).wrapping_add(choice).wrapping_add(*sum);
        let big_sigma_0 = a.rotate_right(2) ^ a.rotate_right(13) ^ a.rotate_right(22);
        let majority = (a & b) ^ (a & c) ^ (b & c);
        let t2 = big_sigma_0.wrapping_add(majority);
        h = g;
        g = f;
        f = e;
        e = d.wrapping_add(t1);
        d = c;
        c = b;
        b = a;
        a = t1.wrapping_add(t2);
    }
    let mut out = state;
    for (word, round) in out.iter_mut().zip([a, b, c, d, e, f, g, h]) {
        *word = word.wrapping_add(round);
    }
    out
}

fn block_words(block: &Block) -> [u32; 16] {
    let (words, _) = block.as_chunks::<4>();
    std::array::from_fn(|i| u32::from_be_bytes(words[i]))
}

/// One message at a time.
#[derive(Clone, Copy)]
struct Scalar;

impl Engine<1> for Scalar {
    type State = [u32; 8];
    type Words = [u32; 16];

    fn initial(self) -> [u32; 8] {
        INITIAL_STATE
    }

    fn load(self, blocks: &[&Block; 1]) -> [u32; 16] {
        block_words(blocks[0])
    }

    fn load_hashes(self, hashes: &[&Hash; 1]) -> [u32; 8] {
        words_of(hashes[0])
    }

    fn spread_hash(self, hash: &Hash) -> [u32; 8] {
        words_of(hash)
    }

    fn store_hashes(self, hashes: [u32; 8]) -> [Hash; 1] {
        [hash_of(&hashes)]
    }

    fn pair(self, left: [u32; 8], right: [u32; 8]) -> [u32; 16] {
        std::array::from_fn(|i| if i < 8 { left[i] } else { right[i - 8] })
    }

    fn padded(self, hash: [u32; 8]) -> [u32; 16] {
        self.pair(hash, HASH_PADDING)
    }

    fn compress(self, state: [u32; 8], words: [u32; 16]) -> [u32; 8] {
        compress_words(state, words)
    }

    fn compress_known(self, state: [u32; 8], sums: &[u32; 64]) -> [u32; 8] {
        rounds(state, sums)
    }

    fn select(self, lanes: u32, new: [u32; 8], old: [u32; 8]) -> [u32; 8] {
        if lanes == 0 { old } else { new }
    }
}

/// [`engine::hash`] for one message.
pub(super) fn hash(messages: &[&[u8]], hashes: &mut [Hash]) {
    engine::hash(Scalar, messages, hashes);
}

/// [`engine::fold`] for one hash.
pub(super) fn fold(hashes: &mut [Hash], branches: &[&[Hash]]) {
    engine::fold(Scalar, hashes, branches);
}

/// [`engine::pairs`] for one pair.
pub(super) fn pairs(pairs: &[[Hash; 2]], hashes: &mut [Hash]) {
    engine::pairs(Scalar, pairs, hashes);
}
