//! Eight messages at a time with AVX2: for CPUs without AVX-512 and without SHA extensions.
//!
//! Source: the Intel 64 manual's entries for VPSRLD, VPSLLD, VPSHUFB, VPUNPCKLDQ and VPERM2I128.

use core::arch::x86_64::{
    __m256i, _mm256_add_epi32, _mm256_and_si256, _mm256_blendv_epi8, _mm256_cmpeq_epi32,
    _mm256_loadu_si256, _mm256_or_si256, _mm256_permute2x128_si256, _mm256_set1_epi32,
    _mm256_setr_epi8, _mm256_setr_epi32, _mm256_shuffle_epi8, _mm256_slli_epi32, _mm256_srli_epi32,
    _mm256_storeu_si256, _mm256_unpackhi_epi32, _mm256_unpackhi_epi64, _mm256_unpacklo_epi32,
    _mm256_unpacklo_epi64, _mm256_xor_si256,
};

use super::engine;
use super::lanes::Lanes;
use super::{Block, HASH_BYTES, Hash};

/// Messages side by side.
pub(super) const LANES: usize = 8;

/// The proof that the CPU has AVX2.
#[derive(Clone, Copy)]
struct Avx2(());

impl Lanes<LANES> for Avx2 {
    type Vector = __m256i;

    #[inline(always)]
    fn splat(self, word: u32) -> __m256i {
        // SAFETY: needs AVX2 only, and `self` is the proof of it.
        unsafe { _mm256_set1_epi32(word as i32) }
    }

    #[inline(always)]
    fn add(self, a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: as in `splat`.
        unsafe { _mm256_add_epi32(a, b) }
    }

    #[inline(always)]
    fn big_sigma<const A: i32, const B: i32, const C: i32>(self, x: __m256i) -> __m256i {
        self.xor(self.xor(self.turn::<A>(x), self.turn::<B>(x)), self.turn::<C>(x))
    }

    #[inline(always)]
    fn small_sigma<const A: i32, const B: i32, const C: i32>(self, x: __m256i) -> __m256i {
        // SAFETY: as in `splat`.
        let shifted = unsafe { _mm256_srli_epi32::<C>(x) };
        self.xor(self.xor(self.turn::<A>(x), self.turn::<B>(x)), shifted)
    }

    #[inline(always)]
    fn choice(self, e: __m256i, f: __m256i, g: __m256i) -> __m256i {
        // SAFETY: as in `splat`.
        unsafe { _mm256_xor_si256(g, _mm256_and_si256(e, _mm256_xor_si256(f, g))) }
    }

    #[inline(always)]
    fn majority(self, a: __m256i, b: __m256i, c: __m256i) -> __m256i {
        // SAFETY: as in `splat`.
        unsafe {
            _mm256_or_si256(_mm256_and_si256(a, b), _mm256_and_si256(c, _mm256_or_si256(a, b)))
        }
    }

    #[inline(always)]
    fn select_word(self, lanes: u32, new: __m256i, old: __m256i) -> __m256i {
        // SAFETY: as in `splat`.
        unsafe {
            let bits = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
            let set = _mm256_and_si256(_mm256_set1_epi32(lanes as i32), bits);
            _mm256_blendv_epi8(old, new, _mm256_cmpeq_epi32(set, bits))
        }
    }

    #[inline(always)]
    fn transpose_blocks(self, blocks: &[&Block; LANES]) -> [__m256i; 16] {
        let mut halves = [[self.splat(0); 8]; 2];
        for lane in 0..LANES {
            for half in 0..2 {
                let bytes = &blocks[lane][32 * half..32 * half + 32];
                // SAFETY: as in `splat`; the slice is the 32 bytes that are read, unaligned.
                let words = unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) };
                halves[half][lane] = self.swap_bytes(words);
            }
        }
        let [a, b, c, d, e, f, g, h] = self.transpose(halves[0]);
        let [i, j, k, l, m, n, o, p] = self.transpose(halves[1]);
        [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]
    }

    #[inline(always)]
    fn transpose_hashes(self, hashes: &[&Hash; LANES]) -> [__m256i; 8] {
        let mut rows = [self.splat(0); 8];
        for lane in 0..LANES {
            // SAFETY: as in `splat`; a hash is the 32 bytes that are read, unaligned.
            let words = unsafe { _mm256_loadu_si256(hashes[lane].as_ptr().cast()) };
            rows[lane] = self.swap_bytes(words);
        }
        self.transpose(rows)
    }

    #[inline(always)]
    fn gather_hashes(self, hashes: [__m256i; 8]) -> [Hash; LANES] {
        let rows = self.transpose(hashes);
        let mut out = [[0; HASH_BYTES]; LANES];
        for lane in 0..LANES {
            let words = self.swap_bytes(rows[lane]);
            // SAFETY: as in `splat`; a hash is the 32 bytes that are written, unaligned.
            unsafe { _mm256_storeu_si256(out[lane].as_mut_ptr().cast(), words) };
        }
        out
    }
}

impl Avx2 {
    #[inline(always)]
    fn xor(self, a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: as in `splat`.
        unsafe { _mm256_xor_si256(a, b) }
    }

    /// Rotates every word right by `BITS`.
    #[inline(always)]
    fn turn<const BITS: i32>(self, x: __m256i) -> __m256i {
        // SAFETY: as in `splat`.
        unsafe {
            // The count of the left shift is a constant by the time it is compiled.
            let left = match BITS {
                2 => _mm256_slli_epi32::<30>(x),
                6 => _mm256_slli_epi32::<26>(x),
                7 => _mm256_slli_epi32::<25>(x),
                11 => _mm256_slli_epi32::<21>(x),
                13 => _mm256_slli_epi32::<19>(x),
                17 => _mm256_slli_epi32::<15>(x),
                18 => _mm256_slli_epi32::<14>(x),
                19 => _mm256_slli_epi32::<13>(x),
                22 => _mm256_slli_epi32::<10>(x),
                25 => _mm256_slli_epi32::<7>(x),
                _ => unreachable!("SHA-256 has no such rotation"),
            };
            _mm256_or_si256(_mm256_srli_epi32::<BITS>(x), left)
        }
    }

    /// Turns round the bytes of every word: messages are big-endian.
    #[inline(always)]
    fn swap_bytes(self, words: __m256i) -> __m256i {
        // SAFETY: as in `splat`.
        unsafe {
            let order = _mm256_setr_epi8(
                3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12, 3, 2, 1, 0, 7, 6, 5, 4, 11,
                10, 9, 8, 15, 14, 13, 12,
            );
            _mm256_shuffle_epi8(words, order)
        }
    }

    /// Word `i` of row `j` becomes word `j` of row `i`.
    #[inline(always)]
    fn transpose(self, rows: [__m256i; 8]) -> [__m256i; 8] {
        let mut twos = rows;
        let mut fours = rows;
        let mut out = rows;
        // SAFETY: as in `splat`.
        unsafe {
            for i in (0..8).step_by(2) {
                twos[i] = _mm256_unpacklo_epi32(rows[i], rows[i + 1]);
                twos[i + 1] = _mm256_unpackhi_epi32(rows[i], rows[i + 1]);
            }
            for i in (0..8).step_by(4) {
                fours[i] = _mm256_unpacklo_epi64(twos[i], twos[i + 2]);
                fours[i + 1] = _mm256_unpackhi_epi64(twos[i], twos[i + 2]);
                fours[i + 2] = _mm256_unpacklo_epi64(twos[i + 1], twos[i + 3]);
                fours[i + 3] = _mm256_unpackhi_epi64(twos[i + 1], twos[i + 3]);
            }
            // Half k of `fours[4j + i]` is word 4k + i of rows 4j to 4j + 3.
            for i in 0..4 {
                out[i] = _mm256_permute2x128_si256::<0x20>(fours[i], fours[i + 4]);
                out[i + 4] = _mm256_permute2x128_si256::<0x31>(fours[i], fours[i + 4]);
            }
        }
        out
    }
}

/// [`engine::hash`] for 1 to 8 messages.
///
/// # Safety
/// The CPU must have AVX2.
#[target_feature(enable = "avx2")]
pub(super) unsafe fn hash(messages: &[&[u8]], hashes: &mut [Hash]) {
    engine::hash(Avx2(()), messages, hashes);
}

/// [`engine::fold`] for 1 to 8 hashes.
///
/// # Safety
/// The CPU must have AVX2.
#[target_feature(enable = "avx2")]
pub(super) unsafe fn fold(hashes: &mut [Hash], branches: &[&[Hash]]) {
    engine::fold(Avx2(()), hashes, branches);
}

/// [`engine::pairs`] for 1 to 8 pairs.
///
/// # Safety
/// The CPU must have AVX2.
#[target_feature(enable = "avx2")]
pub(super) unsafe fn pairs(pairs: &[[Hash; 2]], hashes: &mut [Hash]) {
    engine::pairs(Avx2(()), pairs, hashes);
}
