//! SHA-256 in vectors: word `t` of every message lies in one register, one message to a lane, so
//! that each instruction does the same step of all of them.
//!
//! Source: FIPS 180-4 §4.1.2, §6.2.2.

use super::engine::{Engine, words_of};
use super::schedule::{HASH_PADDING, INITIAL_STATE, ROUND_CONSTANTS};
use super::{Block, Hash};

/// The instructions of a vector of `N` words. A value of the type is the proof that the CPU has
/// them, as for [`Engine`].
pub(super) trait Lanes<const N: usize>: Copy {
    type Vector: Copy;

    fn splat(self, word: u32) -> Self::Vector;
    fn add(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// x ⊕ y ⊕ z of x turned right by `A`, `B` and `C`: Σ0 and Σ1.
    fn big_sigma<const A: i32, const B: i32, const C: i32>(self, x: Self::Vector) -> Self::Vector;
    /// The same with the last one shifted instead: σ0 and σ1.
    fn small_sigma<const A: i32, const B: i32, const C: i32>(self, x: Self::Vector)
    -> Self::Vector;
    fn choice(self, e: Self::Vector, f: Self::Vector, g: Self::Vector) -> Self::Vector;
    fn majority(self, a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;
    /// `new` in the lanes whose bit is set, `old` in the others.
    fn select_word(self, lanes: u32, new: Self::Vector, old: Self::Vector) -> Self::Vector;
    /// Word `t` of all blocks in vector `t`.
    fn transpose_blocks(self, blocks: &[&Block; N]) -> [Self::Vector; 16];
    /// Word `t` of all hashes in vector `t`.
    fn transpose_hashes(self, hashes: &[&Hash; N]) -> [Self::Vector; 8];
    /// The inverse of [`Self::transpose_hashes`].
    fn gather_hashes(self, hashes: [Self::Vector; 8]) -> [Hash; N];
}

/// One round; the caller turns the names instead of moving the words.
macro_rules! round {
    ($v:ident, $sum:expr, $a:ident $b:ident $c:ident $d:ident $e:ident $f:ident $g:ident $h:ident) => {
        let sum = $v.add($h, $sum);
        let sum = $v.add(sum, $v.choice($e, $f, $g));
        let t1 = $v.add(sum, $v.big_sigma::<6, 11, 25>($e));
        $d = $v.add($d, t1);
        let t2 = $v.add($v.big_sigma::<2, 13, 22>($a), $v.majority($a, $b, $c));
        $h = $v.add(t1, t2);
    };
}

/// Sixteen rounds, after which every name is back in its place. `$sum!(t)` is what round `t` adds.
macro_rules! sixteen_rounds {
    ($v:ident, $sum:ident, $a:ident $b:ident $c:ident $d:ident $e:ident $f:ident $g:ident $h:ident) => {
        round!($v, $sum!(0), $a $b $c $d $e $f $g $h);
        round!($v, $sum!(1), $h $a $b $c $d $e $f $g);
        round!($v, $sum!(2), $g $h $a $b $c $d $e $f);
        round!($v, $sum!(3), $f $g $h $a $b $c $d $e);
        round!($v, $sum!(4), $e $f $g $h $a $b $c $d);
        round!($v, $sum!(5), $d $e $f $g $h $a $b $c);
        round!($v, $sum!(6), $c $d $e $f $g $h $a $b);
        round!($v, $sum!(7), $b $c $d $e $f $g $h $a);
        round!($v, $sum!(8), $a $b $c $d $e $f $g $h);
        round!($v, $sum!(9), $h $a $b $c $d $e $f $g);
        round!($v, $sum!(10), $g $h $a $b $c $d $e $f);
        round!($v, $sum!(11), $f $g $h $a $b $c $d $e);
        round!($v, $sum!(12), $e $f $g $h $a $b $c $d);
        round!($v, $sum!(13), $d $e $f $g $h $a $b $c);
        round!($v, $sum!(14), $c $d $e $f $g $h $a $b);
        round!($v, $sum!(15), $b $c $d $e $f $g $h $a);
    };
}

impl<const N: usize, L: Lanes<N>> Engine<N> for L {
    type State = [L::Vector; 8];
    type Words = [L::Vector; 16];

    #[inline(always)]
    fn initial(self) -> Self::State {
        splat_all(self, &INITIAL_STATE)
    }

    #[inline(always)]
    fn load(self, blocks: &[&Block; N]) -> Self::Words {
        self.transpose_blocks(blocks)
    }

    #[inline(always)]
    fn load_hashes(self, hashes: &[&Hash; N]) -> Self::State {
        self.transpose_hashes(hashes)
    }

    #[inline(always)]
    fn spread_hash(self, hash: &Hash) -> Self::State {
        splat_all(self, &words_of(hash))
    }

    #[inline(always)]
    fn store_hashes(self, hashes: Self::State) -> [Hash; N] {
        self.gather_hashes(hashes)
    }

    #[inline(always)]
    fn pair(self, left: Self::State, right: Self::State) -> Self::Words {
        let [a, b, c, d, e, f, g, h] = left;
        let [i, j, k, l, m, n, o, p] = right;
        [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]
    }

    #[inline(always)]
    fn padded(self, hash: Self::State) -> Self::Words {
        self.pair(hash, splat_all(self, &HASH_PADDING))
    }

    #[inline(always)]
    fn compress(self, state: Self::State, mut w: Self::Words) -> Self::State {
        let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = state;
        let (first_48, last_16) = ROUND_CONSTANTS.split_at(48);
        for constants in first_48.as_chunks::<16>().0 {
            // A round's word is replaced by the one that takes its place sixteen rounds on.
            macro_rules! sum_and_next {
                ($t:literal) => {{
                    let sum = self.add(w[$t], self.splat(constants[$t]));
                    let old = self.add(w[$t], w[($t + 9) % 16]);
                    let sigmas = self.add(
                        self.small_sigma::<7, 18, 3>(w[($t + 1) % 16]),
                        self.small_sigma::<17, 19, 10>(w[($t + 14) % 16]),
                    );
                    w[$t] = self.add(old, sigmas);
                    sum
                }};
            }
            sixteen_rounds!(self, sum_and_next, a b c d e f g h);
        }
        macro_rules! sum {
            ($t:literal) => {
                self.add(w[$t], self.splat(last_16[$t]))
            };
        }
        sixteen_rounds!(self, sum, a b c d e f g h);
        add_all(self, state, [a, b, c, d, e, f, g, h])
    }

    #[inline(always)]
    fn compress_known(self, state: Self::State, sums: &[u32; 64]) -> Self::State {
        let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = state;
        for sums in sums.as_chunks::<16>().0 {
            macro_rules! sum {
                ($t:literal) => {
                    self.splat(sums[$t])
                };
            }
            sixteen_rounds!(self, sum, a b c d e f g h);
        }
        add_all(self, state, [a, b, c, d, e, f, g, h])
    }

    #[inline(always)]
    fn select(self, lanes: u32, new: Self::State, old: Self::State) -> Self::State {
        let mut out = old;
        for i in 0..8 {
            out[i] = self.select_word(lanes, new[i], old[i]);
        }
        out
    }
}

#[inline(always)]
fn splat_all<const N: usize, L: Lanes<N>>(lanes: L, words: &[u32; 8]) -> [L::Vector; 8] {
    let mut out = [lanes.splat(words[0]); 8];
    for i in 1..8 {
        out[i] = lanes.splat(words[i]);
    }
    out
}

#[inline(always)]
fn add_all<const N: usize, L: Lanes<N>>(
    lanes: L,
    a: [L::Vector; 8],
    b: [L::Vector; 8],
) -> [L::Vector; 8] {
    let mut out = a;
    for i in 0..8 {
        out[i] = lanes.add(a[i], b[i]);
    }
    out
}
