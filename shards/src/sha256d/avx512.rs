//! Sixteen messages at a time with AVX-512: rotations and three-way logic are single instructions.
//!
//! Source: the Intel 64 manual's entries for VPRORD, VPTERNLOGD, VPSHUFB, VPUNPCKLDQ and VSHUFI32X4.

use core::arch::x86_64::{
    __m512i, _mm256_loadu_si256, _mm256_storeu_si256, _mm512_add_epi32, _mm512_castsi256_si512,
    _mm512_castsi512_si256, _mm512_loadu_si512, _mm512_mask_mov_epi32, _mm512_ror_epi32,
    _mm512_set1_epi32, _mm512_set4_epi32, _mm512_shuffle_epi8, _mm512_shuffle_i32x4,
    _mm512_srli_epi32, _mm512_ternarylogic_epi32, _mm512_unpackhi_epi32, _mm512_unpackhi_epi64,
    _mm512_unpacklo_epi32, _mm512_unpacklo_epi64,
};

use super::engine;
use super::lanes::Lanes;
use super::{Block, HASH_BYTES, Hash};

/// Messages side by side.
pub(super) const LANES: usize = 16;

/// VPTERNLOGD's tables: bit `4x + 2y + z` is the result for the bits x, y and z.
const XOR: i32 = 0x96;
const CHOICE: i32 = 0xca;
const MAJORITY: i32 = 0xe8;

/// The proof that the CPU has AVX-512 F and BW.
#[derive(Clone, Copy)]
struct Avx512(());

impl Lanes<LANES> for Avx512 {
    type Vector = __m512i;

    #[inline(always)]
    fn splat(self, word: u32) -> __m512i {
        // SAFETY: needs AVX-512 F only, and `self` is the proof of it.
        unsafe { _mm512_set1_epi32(word as i32) }
    }

    #[inline(always)]
    fn add(self, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: as in `splat`.
        unsafe { _mm512_add_epi32(a, b) }
    }

    #[inline(always)]
    fn big_sigma<const A: i32, const B: i32, const C: i32>(self, x: __m512i) -> __m512i {
        // SAFETY: as in `splat`.
        unsafe {
            _mm512_ternarylogic_epi32::<XOR>(
                _mm512_ror_epi32::<A>(x),
                _mm512_ror_epi32::<B>(x),
                _mm512_ror_epi32::<C>(x),
            )
        }
    }

    #[inline(always)]
    fn small_sigma<const A: i32, const B: i32, const C: i32>(self, x: __m512i) -> __m512i {
        let shifted = match C {
            // SAFETY: as in `splat`.
            3 => unsafe { _mm512_srli_epi32::<3>(x) },
            // SAFETY: as in `splat`.
            10 => unsafe { _mm512_srli_epi32::<10>(x) },
            _ => unreachable!("SHA-256 shifts by 3 and 10"),
        };
        // SAFETY: as in `splat`.
        unsafe {
            _mm512_ternarylogic_epi32::<XOR>(
                _mm512_ror_epi32::<A>(x),
                _mm512_ror_epi32::<B>(x),
                shifted,
            )
        }
    }

    #[inline(always)]
    fn choice(self, e: __m512i, f: __m512i, g: __m512i) -> __m512i {
        // SAFETY: as in `splat`.
        unsafe { _mm512_ternarylogic_epi32::<CHOICE>(e, f, g) }
    }

    #[inline(always)]
    fn majority(self, a: __m512i, b: __m512i, c: __m512i) -> __m512i {
        // SAFETY: as in `splat`.
        unsafe { _mm512_ternarylogic_epi32::<MAJORITY>(a, b, c) }
    }

    #[inline(always)]
    fn select_word(self, lanes: u32, new: __m512i, old: __m512i) -> __m512i {
        // SAFETY: as in `splat`.
        unsafe { _mm512_mask_mov_epi32(old, lanes as u16, new) }
    }

    #[inline(always)]
    fn transpose_blocks(self, blocks: &[&Block; LANES]) -> [__m512i; 16] {
        let mut rows = [self.splat(0); 16];
        for lane in 0..LANES {
            // SAFETY: as in `splat`; a block is the 64 bytes that are read, unaligned.
            rows[lane] =
                self.swap_bytes(unsafe { _mm512_loadu_si512(blocks[lane].as_ptr().cast()) });
        }
        self.transpose(rows)
    }

    #[inline(always)]
    fn transpose_hashes(self, hashes: &[&Hash; LANES]) -> [__m512i; 8] {
        let mut rows = [self.splat(0); 16];
        for lane in 0..LANES {
            // SAFETY: as in `splat`; a hash is the 32 bytes that are read, unaligned. What the
            // upper half becomes does not matter: it ends in vectors that are not kept.
            rows[lane] = self.swap_bytes(unsafe {
                _mm512_castsi256_si512(_mm256_loadu_si256(hashes[lane].as_ptr().cast()))
            });
        }
        let [a, b, c, d, e, f, g, h, ..] = self.transpose(rows);
        [a, b, c, d, e, f, g, h]
    }

    #[inline(always)]
    fn gather_hashes(self, hashes: [__m512i; 8]) -> [Hash; LANES] {
        let [a, b, c, d, e, f, g, h] = hashes;
        let rows = self.transpose([a, b, c, d, e, f, g, h, a, b, c, d, e, f, g, h]);
        let mut out = [[0; HASH_BYTES]; LANES];
        for lane in 0..LANES {
            let words = self.swap_bytes(rows[lane]);
            // SAFETY: as in `splat`; a hash is the 32 bytes that are written, unaligned.
            unsafe {
                let half = _mm512_castsi512_si256(words);
                _mm256_storeu_si256(out[lane].as_mut_ptr().cast(), half);
            }
        }
        out
    }
}

impl Avx512 {
    /// Turns round the bytes of every word: messages are big-endian.
    #[inline(always)]
    fn swap_bytes(self, words: __m512i) -> __m512i {
        // SAFETY: needs AVX-512 F and BW, and `self` is the proof of them.
        unsafe {
            let order = _mm512_set4_epi32(0x0c0d_0e0f, 0x0809_0a0b, 0x0405_0607, 0x0001_0203);
            _mm512_shuffle_epi8(words, order)
        }
    }

    /// Word `i` of row `j` becomes word `j` of row `i`.
    #[inline(always)]
    fn transpose(self, rows: [__m512i; 16]) -> [__m512i; 16] {
        let mut twos = rows;
        let mut fours = rows;
        let mut out = rows;
        // SAFETY: as in `splat`.
        unsafe {
            for i in (0..16).step_by(2) {
                twos[i] = _mm512_unpacklo_epi32(rows[i], rows[i + 1]);
                twos[i + 1] = _mm512_unpackhi_epi32(rows[i], rows[i + 1]);
            }
            for i in (0..16).step_by(4) {
                fours[i] = _mm512_unpacklo_epi64(twos[i], twos[i + 2]);
                fours[i + 1] = _mm512_unpackhi_epi64(twos[i], twos[i + 2]);
                fours[i + 2] = _mm512_unpacklo_epi64(twos[i + 1], twos[i + 3]);
                fours[i + 3] = _mm512_unpackhi_epi64(twos[i + 1], twos[i + 3]);
            }
            // Quarter k of `fours[4j + i]` is word 4k + i of rows 4j to 4j + 3.
            for i in 0..4 {
                let low_01 = _mm512_shuffle_i32x4::<0x44>(fours[i], fours[i + 4]);
                let low_23 = _mm512_shuffle_i32x4::<0x44>(fours[i + 8], fours[i + 12]);
                let high_01 = _mm512_shuffle_i32x4::<0xee>(fours[i], fours[i + 4]);
                let high_23 = _mm512_shuffle_i32x4::<0xee>(fours[i + 8], fours[i + 12]);
                out[i] = _mm512_shuffle_i32x4::<0x88>(low_01, low_23);
                out[i + 4] = _mm512_shuffle_i32x4::<0xdd>(low_01, low_23);
                out[i + 8] = _mm512_shuffle_i32x4::<0x88>(high_01, high_23);
                out[i + 12] = _mm512_shuffle_i32x4::<0xdd>(high_01, high_23);
            }
        }
        out
    }
}

/// [`engine::hash`] for 1 to 16 messages.
///
/// # Safety
/// The CPU must have AVX-512 F and BW.
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) unsafe fn hash(messages: &[&[u8]], hashes: &mut [Hash]) {
    engine::hash(Avx512(()), messages, hashes);
}

/// [`engine::fold`] for 1 to 16 hashes.
///
/// # Safety
/// The CPU must have AVX-512 F and BW.
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) unsafe fn fold(hashes: &mut [Hash], branches: &[&[Hash]]) {
    engine::fold(Avx512(()), hashes, branches);
}

/// [`engine::pairs`] for 1 to 16 pairs.
///
/// # Safety
/// The CPU must have AVX-512 F and BW.
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) unsafe fn pairs(pairs: &[[Hash; 2]], hashes: &mut [Hash]) {
    engine::pairs(Avx512(()), pairs, hashes);
}
