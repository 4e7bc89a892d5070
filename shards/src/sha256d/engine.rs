//! Messages side by side: what an engine must be able to do, and the three ways a pool hashes with
//! it. Written once, compiled for each engine with the instructions it needs.
//!
//! Everything here is `#[inline(always)]`, because a function that is not inlined into one with
//! `#[target_feature]` is compiled without the feature, and its instructions become calls.

use super::schedule::PAIR_PADDING;
use super::{BLOCK_BYTES, Block, HASH_BYTES, Hash};

/// Hashes `N` messages at a time, one to a lane.
///
/// A value of the type is the proof that the CPU has the instructions: it is made only where the
/// CPU has been asked for them.
pub(super) trait Engine<const N: usize>: Copy {
    /// Eight words of each lane: a running state, or a finished hash.
    type State: Copy;
    /// Sixteen words of each lane: one block.
    type Words: Copy;

    fn initial(self) -> Self::State;
    fn load(self, blocks: &[&Block; N]) -> Self::Words;
    fn load_hashes(self, hashes: &[&Hash; N]) -> Self::State;
    /// The same hash in every lane.
    fn spread_hash(self, hash: &Hash) -> Self::State;
    fn store_hashes(self, hashes: Self::State) -> [Hash; N];
    /// The block that is two hashes side by side.
    fn pair(self, left: Self::State, right: Self::State) -> Self::Words;
    /// The only block of a message that is one hash.
    fn padded(self, hash: Self::State) -> Self::Words;
    fn compress(self, state: Self::State, words: Self::Words) -> Self::State;
    /// The same for a block that is known beforehand: `sums` are its schedule and the round
    /// constants, already added.
    fn compress_known(self, state: Self::State, sums: &[u32; 64]) -> Self::State;
    /// `new` in the lanes whose bit is set, `old` in the others.
    fn select(self, lanes: u32, new: Self::State, old: Self::State) -> Self::State;
}

/// SHA-256d of 1 to `N` messages of any lengths.
#[inline(always)]
pub(super) fn hash<const N: usize, E: Engine<N>>(
    engine: E,
    messages: &[&[u8]],
    hashes: &mut [Hash],
) {
    // Lanes without a message of their own repeat the last; what they find is not kept.
    let last = messages.len() - 1;
    let messages: [Message<'_>; N] =
        std::array::from_fn(|lane| Message::new(messages[lane.min(last)]));
    let longest = messages.iter().map(|message| message.blocks).max().expect("N is not zero");
    let mut state = engine.initial();
    for index in 0..longest {
        let blocks = std::array::from_fn(|lane| messages[lane].block(index));
        let next = engine.compress(state, engine.load(&blocks));
        state = engine.select(lanes_where::<N>(|lane| index < messages[lane].blocks), next, state);
    }
    hashes.copy_from_slice(&engine.store_hashes(again(engine, state))[..=last]);
}

/// Folds each of 1 to `N` hashes with its branch, of any length. Between the levels the hashes
/// stay where they are, in the lanes.
#[inline(always)]
pub(super) fn fold<const N: usize, E: Engine<N>>(
    engine: E,
    hashes: &mut [Hash],
    branches: &[&[Hash]],
) {
    let last = hashes.len() - 1;
    let branches: [&[Hash]; N] = std::array::from_fn(|lane| branches[lane.min(last)]);
    let longest = branches.into_iter().max_by_key(|branch| branch.len()).expect("N is not zero");
    // Shares of one job have one branch, in one place: its hashes need no transposition.
    let is_shared = branches.iter().all(|branch| std::ptr::eq(branch.as_ptr(), longest.as_ptr()));
    let mut state = engine.load_hashes(&std::array::from_fn(|lane| &hashes[lane.min(last)]));
    for (level, sibling) in longest.iter().enumerate() {
        let siblings = if is_shared {
            engine.spread_hash(sibling)
        } else {
            let own = std::array::from_fn(|lane| branches[lane].get(level).unwrap_or(sibling));
            engine.load_hashes(&own)
        };
        let next = pair_hash(engine, engine.pair(state, siblings));
        state = engine.select(lanes_where::<N>(|lane| level < branches[lane].len()), next, state);
    }
    hashes.copy_from_slice(&engine.store_hashes(state)[..=last]);
}

/// SHA-256d of 1 to `N` pairs of hashes.
#[inline(always)]
pub(super) fn pairs<const N: usize, E: Engine<N>>(
    engine: E,
    pairs: &[[Hash; 2]],
    hashes: &mut [Hash],
) {
    let last = pairs.len() - 1;
    let blocks = std::array::from_fn(|lane| {
        pairs[lane.min(last)].as_flattened().try_into().expect("two hashes are a block")
    });
    let found = pair_hash(engine, engine.load(&blocks));
    hashes.copy_from_slice(&engine.store_hashes(found)[..=last]);
}

/// SHA-256d of messages of one whole block.
#[inline(always)]
fn pair_hash<const N: usize, E: Engine<N>>(engine: E, words: E::Words) -> E::State {
    let state = engine.compress(engine.initial(), words);
    again(engine, engine.compress_known(state, &PAIR_PADDING))
}

/// The second SHA-256: of the 32 bytes of the first.
#[inline(always)]
fn again<const N: usize, E: Engine<N>>(engine: E, first: E::State) -> E::State {
    engine.compress(engine.initial(), engine.padded(first))
}

#[inline(always)]
fn lanes_where<const N: usize>(is_set: impl Fn(usize) -> bool) -> u32 {
    (0..N).fold(0, |lanes, lane| lanes | u32::from(is_set(lane)) << lane)
}

/// A message and its padding, cut into blocks.
struct Message<'a> {
    whole: &'a [Block],
    end: [Block; 2],
    blocks: usize,
}

impl<'a> Message<'a> {
    #[inline(always)]
    fn new(message: &'a [u8]) -> Self {
        let (whole, tail) = message.as_chunks::<BLOCK_BYTES>();
        let (end, count) = pad(tail, message.len());
        Self { whole, end, blocks: whole.len() + count }
    }

    /// The block with this index, or any block when it has no more.
    #[inline(always)]
    fn block(&self, index: usize) -> &Block {
        match self.whole.get(index) {
            Some(block) => block,
            None => &self.end[(index - self.whole.len()) & 1],
        }
    }
}

/// The last bytes of a message, fewer than a block, with the padding (FIPS 180-4 §5.1.1); and how
/// many blocks that is.
#[inline(always)]
pub(super) fn pad(tail: &[u8], message_bytes: usize) -> ([Block; 2], usize) {
    let mut padded = [[0u8; BLOCK_BYTES]; 2];
    let flat = padded.as_flattened_mut();
    flat[..tail.len()].copy_from_slice(tail);
    flat[tail.len()] = 0x80;
    let count = if tail.len() + 9 <= BLOCK_BYTES { 1 } else { 2 };
    let bits = (message_bytes as u64) * 8;
    flat[count * BLOCK_BYTES - 8..count * BLOCK_BYTES].copy_from_slice(&bits.to_be_bytes());
    (padded, count)
}

/// The words of a hash, as SHA-256 counts them.
#[inline(always)]
pub(super) fn words_of(hash: &Hash) -> [u32; 8] {
    let (words, _) = hash.as_chunks::<4>();
    std::array::from_fn(|i| u32::from_be_bytes(words[i]))
}

#[inline(always)]
pub(super) fn hash_of(words: &[u32; 8]) -> Hash {
    let mut hash = [0; HASH_BYTES];
    for (bytes, word) in hash.as_chunks_mut::<4>().0.iter_mut().zip(words) {
        *bytes = word.to_be_bytes();
    }
    hash
}
