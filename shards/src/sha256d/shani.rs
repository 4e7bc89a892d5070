//! SHA-256's compression function with Intel's SHA extensions: two rounds an instruction.
//!
//! Source: Intel, "Intel SHA Extensions" (2013), and the Intel 64 manual's entries for
//! SHA256RNDS2, SHA256MSG1 and SHA256MSG2.

use core::arch::x86_64::{
    __m128i, _mm_add_epi32, _mm_alignr_epi8, _mm_blend_epi16, _mm_loadu_si128, _mm_set_epi64x,
    _mm_sha256msg1_epu32, _mm_sha256msg2_epu32, _mm_sha256rnds2_epu32, _mm_shuffle_epi8,
    _mm_shuffle_epi32, _mm_storeu_si128,
};

use super::{BLOCK_BYTES, ROUND_CONSTANTS};

/// Folds `blocks` into `state`, one after the other.
///
/// # Safety
/// The CPU must have SHA, SSE2, SSSE3 and SSE4.1.
#[target_feature(enable = "sha,sse2,ssse3,sse4.1")]
pub(crate) unsafe fn compress(state: &mut [u32; 8], blocks: &[[u8; BLOCK_BYTES]]) {
    // The instructions want the eight words as (a, b, e, f) and (c, d, g, h), high lane first.
    // SAFETY: `state` is 32 bytes, read as two unaligned 16-byte halves.
    let (abcd, efgh) = unsafe {
        (_mm_loadu_si128(state.as_ptr().cast()), _mm_loadu_si128(state.as_ptr().add(4).cast()))
    };
    let cdab = _mm_shuffle_epi32::<0xB1>(abcd);
    let hgfe = _mm_shuffle_epi32::<0x1B>(efgh);
    let mut abef = _mm_alignr_epi8::<8>(cdab, hgfe);
    let mut cdgh = _mm_blend_epi16::<0xF0>(hgfe, cdab);

    for block in blocks {
        let (abef_before, cdgh_before) = (abef, cdgh);
        let mut w = load_words(block);
        // Sixteen groups of four rounds; the first twelve also prepare the words four groups on.
        for group in 0..16 {
            let current = w[group % 4];
            four_rounds(&mut abef, &mut cdgh, current, group);
            if group < 12 {
                w[group % 4] =
                    next_words(current, w[(group + 1) % 4], w[(group + 2) % 4], w[(group + 3) % 4]);
            }
        }
        abef = _mm_add_epi32(abef, abef_before);
        cdgh = _mm_add_epi32(cdgh, cdgh_before);
    }

    let feba = _mm_shuffle_epi32::<0x1B>(abef);
    let dchg = _mm_shuffle_epi32::<0xB1>(cdgh);
    // SAFETY: `state` is 32 bytes, written as two unaligned 16-byte halves.
    unsafe {
        _mm_storeu_si128(state.as_mut_ptr().cast(), _mm_blend_epi16::<0xF0>(feba, dchg));
        _mm_storeu_si128(state.as_mut_ptr().add(4).cast(), _mm_alignr_epi8::<8>(dchg, feba));
    }
}

/// The block's sixteen big-endian words, four to a register.
#[inline]
#[target_feature(enable = "sse2,ssse3")]
fn load_words(block: &[u8; BLOCK_BYTES]) -> [__m128i; 4] {
    let swap_bytes_of_words = _mm_set_epi64x(0x0c0d_0e0f_0809_0a0b, 0x0405_0607_0001_0203);
    let load = |offset: usize| {
        // SAFETY: `offset` is 0, 16, 32 or 48, so 16 bytes lie inside the 64 of the block.
        let bytes = unsafe { _mm_loadu_si128(block.as_ptr().add(offset).cast()) };
        _mm_shuffle_epi8(bytes, swap_bytes_of_words)
    };
    [load(0), load(16), load(32), load(48)]
}

#[inline]
#[target_feature(enable = "sha,sse2")]
fn four_rounds(abef: &mut __m128i, cdgh: &mut __m128i, words: __m128i, group: usize) {
    let constants: &[u32] = &ROUND_CONSTANTS[group * 4..group * 4 + 4];
    // SAFETY: the slice is four words, 16 bytes, read unaligned.
    let constants = unsafe { _mm_loadu_si128(constants.as_ptr().cast()) };
    let sum = _mm_add_epi32(words, constants);
    *cdgh = _mm_sha256rnds2_epu32(*cdgh, *abef, sum);
    *abef = _mm_sha256rnds2_epu32(*abef, *cdgh, _mm_shuffle_epi32::<0x0E>(sum));
}

/// Words t+16 to t+19 of the message schedule from words t to t+15, four to an argument.
#[inline]
#[target_feature(enable = "sha,sse2,ssse3")]
fn next_words(w0: __m128i, w4: __m128i, w8: __m128i, w12: __m128i) -> __m128i {
    let t_minus_7 = _mm_alignr_epi8::<4>(w12, w8);
    _mm_sha256msg2_epu32(_mm_add_epi32(_mm_sha256msg1_epu32(w0, w4), t_minus_7), w12)
}
