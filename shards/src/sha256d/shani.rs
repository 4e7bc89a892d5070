//! SHA-256 with Intel's SHA extensions: two rounds an instruction. One instruction waits for the one
//! before it, so messages that have nothing to do with each other are hashed in turns.
//!
//! Source: Intel, "Intel SHA Extensions" (2013), and the Intel 64 manual's entries for
//! SHA256RNDS2, SHA256MSG1 and SHA256MSG2.

use core::arch::x86_64::{
    __m128i, _mm_add_epi32, _mm_alignr_epi8, _mm_blend_epi16, _mm_loadu_si128, _mm_set_epi64x,
    _mm_setzero_si128, _mm_sha256msg1_epu32, _mm_sha256msg2_epu32, _mm_sha256rnds2_epu32,
    _mm_shuffle_epi8, _mm_shuffle_epi32, _mm_slli_epi32, _mm_srli_epi32, _mm_storeu_si128,
    _mm_xor_si128,
};

use super::engine::{self, Engine};
use super::schedule::{HASH_PADDING, INITIAL_STATE, ROUND_CONSTANTS};
use super::{Block, HASH_BYTES, Hash};

/// The proof that the CPU has SHA, SSE2, SSSE3 and SSE4.1.
#[derive(Clone, Copy)]
struct ShaNi(());

/// Eight words as the instructions want them: (a, b, e, f) and (c, d, g, h), high lane first.
#[derive(Clone, Copy)]
struct Halves {
    abef: __m128i,
    cdgh: __m128i,
}

impl<const N: usize> Engine<N> for ShaNi {
    type State = [Halves; N];
    type Words = [[__m128i; 4]; N];

    #[inline(always)]
    fn initial(self) -> [Halves; N] {
        [self.load_words(&INITIAL_STATE); N]
    }

    #[inline(always)]
    fn load(self, blocks: &[&Block; N]) -> [[__m128i; 4]; N] {
        let mut words = [[self.zero(); 4]; N];
        for lane in 0..N {
            for (words, bytes) in words[lane].iter_mut().zip(blocks[lane].as_chunks::<16>().0) {
                *words = self.load_big_endian(bytes);
            }
        }
        words
    }

    #[inline(always)]
    fn load_hashes(self, hashes: &[&Hash; N]) -> [Halves; N] {
        let mut state = [Halves { abef: self.zero(), cdgh: self.zero() }; N];
        for lane in 0..N {
            let (halves, _) = hashes[lane].as_chunks::<16>();
            let (abcd, efgh) = (self.load_big_endian(&halves[0]), self.load_big_endian(&halves[1]));
            state[lane] = self.halves(abcd, efgh);
        }
        state
    }

    #[inline(always)]
    fn spread_hash(self, hash: &Hash) -> [Halves; N] {
        self.load_hashes(&[hash; N])
    }

    #[inline(always)]
    fn store_hashes(self, hashes: [Halves; N]) -> [Hash; N] {
        let mut out = [[0; HASH_BYTES]; N];
        for lane in 0..N {
            let (low, high) = out[lane].split_at_mut(HASH_BYTES / 2);
            let words = self.words(hashes[lane]);
            // SAFETY: needs SSE2 only, and `self` is the proof of it; each half is the 16 bytes
            // that are written, unaligned.
            unsafe {
                _mm_storeu_si128(low.as_mut_ptr().cast(), self.swap_bytes(words[0]));
                _mm_storeu_si128(high.as_mut_ptr().cast(), self.swap_bytes(words[1]));
            }
        }
        out
    }

    #[inline(always)]
    fn pair(self, left: [Halves; N], right: [Halves; N]) -> [[__m128i; 4]; N] {
        let mut words = [[self.zero(); 4]; N];
        for lane in 0..N {
            let ([a, b], [c, d]) = (self.words(left[lane]), self.words(right[lane]));
            words[lane] = [a, b, c, d];
        }
        words
    }

    #[inline(always)]
    fn padded(self, hash: [Halves; N]) -> [[__m128i; 4]; N] {
        self.pair(hash, [self.load_words(&HASH_PADDING); N])
    }

    #[inline(always)]
    fn compress(self, state: [Halves; N], mut words: [[__m128i; 4]; N]) -> [Halves; N] {
        let mut now = state;
        let (first_48, last_16) = ROUND_CONSTANTS.split_at(48);
        for constants in first_48.as_chunks::<16>().0 {
            // Four rounds at a time; their words are replaced by those of sixteen rounds on.
            for group in 0..4 {
                let constants = self.load_four(&constants[4 * group..4 * group + 4]);
                for lane in 0..N {
                    let w = &mut words[lane];
                    now[lane] = self.four_rounds(now[lane], self.add(w[group], constants));
                    let turned =
                        [w[group], w[(group + 1) % 4], w[(group + 2) % 4], w[(group + 3) % 4]];
                    w[group] = self.next_words(turned, (group + lane) % 2 == 0);
                }
            }
        }
        for group in 0..4 {
            let constants = self.load_four(&last_16[4 * group..4 * group + 4]);
            for lane in 0..N {
                now[lane] = self.four_rounds(now[lane], self.add(words[lane][group], constants));
            }
        }
        self.add_all(state, now)
    }

    #[inline(always)]
    fn compress_known(self, state: [Halves; N], sums: &[u32; 64]) -> [Halves; N] {
        let mut now = state;
        for sums in sums.as_chunks::<4>().0 {
            let sums = self.load_four(sums);
            for state in &mut now {
                *state = self.four_rounds(*state, sums);
            }
        }
        self.add_all(state, now)
    }

    #[inline(always)]
    fn select(self, lanes: u32, new: [Halves; N], old: [Halves; N]) -> [Halves; N] {
        let mut out = old;
        for lane in 0..N {
            if lanes >> lane & 1 == 1 {
                out[lane] = new[lane];
            }
        }
        out
    }
}

impl ShaNi {
    #[inline(always)]
    fn zero(self) -> __m128i {
        // SAFETY: needs SSE2 only, and `self` is the proof of it.
        unsafe { _mm_setzero_si128() }
    }

    #[inline(always)]
    fn add(self, a: __m128i, b: __m128i) -> __m128i {
        // SAFETY: as in `zero`.
        unsafe { _mm_add_epi32(a, b) }
    }

    #[inline(always)]
    fn add_all<const N: usize>(self, a: [Halves; N], b: [Halves; N]) -> [Halves; N] {
        let mut out = a;
        for lane in 0..N {
            out[lane].abef = self.add(a[lane].abef, b[lane].abef);
            out[lane].cdgh = self.add(a[lane].cdgh, b[lane].cdgh);
        }
        out
    }

    #[inline(always)]
    fn load_four(self, words: &[u32]) -> __m128i {
        let words: &[u32; 4] = words.try_into().expect("four words");
        // SAFETY: as in `zero`; the array is the 16 bytes that are read, unaligned.
        unsafe { _mm_loadu_si128(words.as_ptr().cast()) }
    }

    #[inline(always)]
    fn load_words(self, words: &[u32; 8]) -> Halves {
        self.halves(self.load_four(&words[..4]), self.load_four(&words[4..]))
    }

    #[inline(always)]
    fn load_big_endian(self, bytes: &[u8; 16]) -> __m128i {
        // SAFETY: as in `zero`; the array is the 16 bytes that are read, unaligned.
        self.swap_bytes(unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) })
    }

    /// Turns round the bytes of every word: messages are big-endian.
    #[inline(always)]
    fn swap_bytes(self, words: __m128i) -> __m128i {
        // SAFETY: needs SSE2 and SSSE3, and `self` is the proof of them.
        unsafe {
            let order = _mm_set_epi64x(0x0c0d_0e0f_0809_0a0b, 0x0405_0607_0001_0203);
            _mm_shuffle_epi8(words, order)
        }
    }

    #[inline(always)]
    fn halves(self, abcd: __m128i, efgh: __m128i) -> Halves {
        // SAFETY: needs SSE2, SSSE3 and SSE4.1, and `self` is the proof of them.
        unsafe {
            let cdab = _mm_shuffle_epi32::<0xB1>(abcd);
            let hgfe = _mm_shuffle_epi32::<0x1B>(efgh);
            Halves {
                abef: _mm_alignr_epi8::<8>(cdab, hgfe),
                cdgh: _mm_blend_epi16::<0xF0>(hgfe, cdab),
            }
        }
    }

    /// The inverse of [`Self::halves`].
    #[inline(always)]
    fn words(self, Halves { abef, cdgh }: Halves) -> [__m128i; 2] {
        // SAFETY: as in `halves`.
        unsafe {
            let feba = _mm_shuffle_epi32::<0x1B>(abef);
            let dchg = _mm_shuffle_epi32::<0xB1>(cdgh);
            [_mm_blend_epi16::<0xF0>(feba, dchg), _mm_alignr_epi8::<8>(dchg, feba)]
        }
    }

    #[inline(always)]
    fn four_rounds(self, Halves { abef, cdgh }: Halves, sums: __m128i) -> Halves {
        // SAFETY: needs SHA and SSE2, and `self` is the proof of them.
        unsafe {
            let cdgh = _mm_sha256rnds2_epu32(cdgh, abef, sums);
            let abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32::<0x0E>(sums));
            Halves { abef, cdgh }
        }
    }

    /// Words t+16 to t+19 of the message schedule from words t to t+15, four to an argument.
    ///
    /// σ0 has an instruction, but Intel's cores start one only every four or five cycles, and it
    /// keeps SHA256RNDS2 waiting; plain instructions alone would be too many. Half of each is
    /// the fastest.
    #[inline(always)]
    fn next_words(self, w: [__m128i; 4], is_plain: bool) -> __m128i {
        let [w0, w4, w8, w12] = w;
        // SAFETY: needs SHA, SSE2 and SSSE3, and `self` is the proof of them.
        unsafe {
            let t_minus_7 = _mm_alignr_epi8::<4>(w12, w8);
            let sum = if is_plain {
                self.add(w0, self.small_sigma_0(_mm_alignr_epi8::<4>(w4, w0)))
            } else {
                _mm_sha256msg1_epu32(w0, w4)
            };
            _mm_sha256msg2_epu32(self.add(sum, t_minus_7), w12)
        }
    }

    #[inline(always)]
    fn small_sigma_0(self, x: __m128i) -> __m128i {
        // SAFETY: as in `zero`.
        unsafe {
            let by_7 = _mm_xor_si128(_mm_srli_epi32::<7>(x), _mm_slli_epi32::<25>(x));
            let by_18 = _mm_xor_si128(_mm_srli_epi32::<18>(x), _mm_slli_epi32::<14>(x));
            _mm_xor_si128(_mm_xor_si128(by_7, by_18), _mm_srli_epi32::<3>(x))
        }
    }
}

/// Folds `blocks` into `state`, one after the other.
///
/// # Safety
/// The CPU must have SHA, SSE2, SSSE3 and SSE4.1.
#[target_feature(enable = "sha,sse2,ssse3,sse4.1")]
pub(super) unsafe fn compress(state: &mut [u32; 8], blocks: &[Block]) {
    let engine = ShaNi(());
    let mut now = [engine.load_words(state)];
    for block in blocks {
        now = engine.compress(now, engine.load(&[block]));
    }
    let words = engine.words(now[0]);
    // SAFETY: SSE2 is at hand; `state` is 32 bytes, written as two unaligned 16-byte halves.
    unsafe {
        _mm_storeu_si128(state.as_mut_ptr().cast(), words[0]);
        _mm_storeu_si128(state.as_mut_ptr().add(4).cast(), words[1]);
    }
}

/// [`engine::hash`] for 1 to `N` messages.
///
/// # Safety
/// The CPU must have SHA, SSE2, SSSE3 and SSE4.1.
#[target_feature(enable = "sha,sse2,ssse3,sse4.1")]
pub(super) unsafe fn hash<const N: usize>(messages: &[&[u8]], hashes: &mut [Hash]) {
    engine::hash::<N, _>(ShaNi(()), messages, hashes);
}

/// [`engine::fold`] for 1 to `N` hashes.
///
/// # Safety
/// The CPU must have SHA, SSE2, SSSE3 and SSE4.1.
#[target_feature(enable = "sha,sse2,ssse3,sse4.1")]
pub(super) unsafe fn fold<const N: usize>(hashes: &mut [Hash], branches: &[&[Hash]]) {
    engine::fold::<N, _>(ShaNi(()), hashes, branches);
}

/// [`engine::pairs`] for 1 to `N` pairs.
///
/// # Safety
/// The CPU must have SHA, SSE2, SSSE3 and SSE4.1.
#[target_feature(enable = "sha,sse2,ssse3,sse4.1")]
pub(super) unsafe fn pairs<const N: usize>(pairs: &[[Hash; 2]], hashes: &mut [Hash]) {
    engine::pairs::<N, _>(ShaNi(()), pairs, hashes);
}
