//! Which instructions hash, and how many messages they take at a time. The CPU is asked once.

use std::fmt;
use std::sync::OnceLock;

use super::{Block, Hash, scalar};
#[cfg(target_arch = "x86_64")]
use super::{avx2, avx512, shani};

/// A way to hash. Every one of them gives the same hashes; [`Kernel::best`] is the fastest here,
/// the others are for tests and measurements.
#[derive(Clone, Copy)]
pub struct Kernel {
    name: &'static str,
    compress: fn(&mut [u32; 8], &[Block]),
    /// By how many messages there are: the last that needs no more than these is taken. The first
    /// needs one.
    groups: &'static [Group],
}

/// What hashes up to `lanes` messages at a time.
struct Group {
    /// From this many messages on it is faster than those before it.
    from: usize,
    lanes: usize,
    hash: fn(&[&[u8]], &mut [Hash]),
    fold: fn(&mut [Hash], &[&[Hash]]),
    pairs: fn(&[[Hash; 2]], &mut [Hash]),
}

impl Kernel {
    /// The fastest kernel this CPU can run.
    pub fn best() -> Self {
        static BEST: OnceLock<Kernel> = OnceLock::new();
        *BEST.get_or_init(|| Self::all().next().expect("scalar runs everywhere"))
    }

    /// Every kernel this CPU can run, the fastest first, the oracle last.
    pub fn all() -> impl Iterator<Item = Self> {
        usable().into_iter().flatten().chain([SCALAR])
    }

    /// The kernel with this name, if the CPU can run it.
    pub fn named(name: &str) -> Option<Self> {
        Self::all().find(|kernel| kernel.name == name)
    }

    pub fn name(&self) -> &'static str {
        self.name
    }

    /// SHA-256d of each message, of any length.
    ///
    /// # Panics
    /// When the slices differ in length: the caller's bug.
    pub fn sha256d_each(&self, messages: &[&[u8]], hashes: &mut [Hash]) {
        assert_eq!(messages.len(), hashes.len());
        self.in_groups(messages.len(), |group, range| {
            (group.hash)(&messages[range.clone()], &mut hashes[range]);
        });
    }

    /// Folds each hash with its branch, lowest level first: hash ← SHA-256d(hash, sibling).
    /// Branches may differ in length. Those that are one slice of memory are the fastest.
    ///
    /// # Panics
    /// When the slices differ in length: the caller's bug.
    pub fn fold_each(&self, hashes: &mut [Hash], branches: &[&[Hash]]) {
        assert_eq!(hashes.len(), branches.len());
        self.in_groups(branches.len(), |group, range| {
            (group.fold)(&mut hashes[range.clone()], &branches[range]);
        });
    }

    /// SHA-256d of each pair of hashes: one level of a merkle tree.
    ///
    /// # Panics
    /// When the slices differ in length: the caller's bug.
    pub fn sha256d_pairs(&self, pairs: &[[Hash; 2]], hashes: &mut [Hash]) {
        assert_eq!(pairs.len(), hashes.len());
        self.in_groups(pairs.len(), |group, range| {
            (group.pairs)(&pairs[range.clone()], &mut hashes[range]);
        });
    }

    /// Folds `blocks` into the state of one message.
    pub(super) fn compress(&self, state: &mut [u32; 8], blocks: &[Block]) {
        (self.compress)(state, blocks);
    }

    fn in_groups(&self, count: usize, mut hash: impl FnMut(&Group, std::ops::Range<usize>)) {
        let mut start = 0;
        while start < count {
            let left = count - start;
            let group = self.groups.iter().rev().find(|group| group.from <= left);
            let group = group.expect("the first takes a single message");
            let end = start + left.min(group.lanes);
            hash(group, start..end);
            start = end;
        }
    }
}

impl fmt::Debug for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

const SCALAR: Kernel =
    Kernel { name: "scalar", compress: scalar::compress, groups: &[SCALAR_GROUP] };

const SCALAR_GROUP: Group =
    Group { from: 1, lanes: 1, hash: scalar::hash, fold: scalar::fold, pairs: scalar::pairs };

#[cfg(not(target_arch = "x86_64"))]
fn usable() -> [Option<Kernel>; 0] {
    []
}

/// Fastest first.
#[cfg(target_arch = "x86_64")]
fn usable() -> [Option<Kernel>; 5] {
    let has_sha = is_x86_feature_detected!("sha")
        && is_x86_feature_detected!("ssse3")
        && is_x86_feature_detected!("sse4.1");
    let has_avx512 = is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw");
    let has_avx2 = is_x86_feature_detected!("avx2");
    [
        (has_avx512 && has_sha).then_some(x86::AVX512_AND_SHA_NI),
        has_avx512.then_some(x86::AVX512),
        has_sha.then_some(x86::SHA_NI),
        has_sha.then_some(x86::SHA_NI_ONE_BY_ONE),
        has_avx2.then_some(x86::AVX2),
    ]
}

/// The kernels of [`usable`], which alone may hand them out, and only to a CPU that has what they
/// need: each calls functions that are unsafe on any other.
#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{Group, Kernel, SCALAR_GROUP, avx2, avx512, scalar, shani};

    /// A group of an engine's three functions.
    macro_rules! group {
        ($from:literal, $lanes:expr, $engine:ident $(, $count:literal)?) => {
            Group {
                from: $from,
                lanes: $lanes,
                // SAFETY: the CPU has been asked for what the engine requires before its kernel
                // was handed out. It has no other precondition: slices carry their lengths.
                hash: |messages, hashes| unsafe { $engine::hash$(::<$count>)?(messages, hashes) },
                // SAFETY: as for `hash`.
                fold: |hashes, branches| unsafe { $engine::fold$(::<$count>)?(hashes, branches) },
                // SAFETY: as for `hash`.
                pairs: |pairs, hashes| unsafe { $engine::pairs$(::<$count>)?(pairs, hashes) },
            }
        };
    }

    /// Where one group takes over from another is measured (`bench/records/judge.md`).
    pub(super) const AVX512_AND_SHA_NI: Kernel = Kernel {
        name: "avx-512+sha-ni",
        // SAFETY: `shani::compress` requires SHA, SSE2 (part of x86-64), SSSE3 and SSE4.1, which
        // the CPU has been asked for before this kernel was handed out.
        compress: |state, blocks| unsafe { shani::compress(state, blocks) },
        groups: &[group!(1, 1, shani, 1), group!(2, 2, shani, 2), group!(7, avx512::LANES, avx512)],
    };
    pub(super) const AVX512: Kernel = Kernel {
        name: "avx-512",
        compress: scalar::compress,
        groups: &[group!(1, avx512::LANES, avx512)],
    };
    pub(super) const SHA_NI: Kernel = Kernel {
        name: "sha-ni",
        compress: AVX512_AND_SHA_NI.compress,
        groups: &[group!(1, 1, shani, 1), group!(2, 2, shani, 2), group!(4, 4, shani, 4)],
    };
    pub(super) const SHA_NI_ONE_BY_ONE: Kernel = Kernel {
        name: "sha-ni/1",
        compress: AVX512_AND_SHA_NI.compress,
        groups: &[group!(1, 1, shani, 1)],
    };
    pub(super) const AVX2: Kernel = Kernel {
        name: "avx2",
        compress: scalar::compress,
        groups: &[SCALAR_GROUP, group!(2, avx2::LANES, avx2)],
    };
}
