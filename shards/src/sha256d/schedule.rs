//! What of SHA-256 is known before the message is: constants, and blocks that are all padding.
//!
//! Source: FIPS 180-4 §4.2.2, §5.1.1, §5.3.3, §6.2.2.

/// SHA-256's initial state (FIPS 180-4 §5.3.3).
pub(super) const INITIAL_STATE: [u32; 8] = [
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
pub(super) const ROUND_CONSTANTS: [u32; 64] = [
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
];

/// The last eight words of a message that is one hash: the end mark, and a length of 256 bits.
pub(super) const HASH_PADDING: [u32; 8] = [0x8000_0000, 0, 0, 0, 0, 0, 0, 256];

/// Schedule and round constants, added, of the second block of a 64-byte message: nothing but
/// padding, so a third of the work on a merkle level is a table.
pub(super) static PAIR_PADDING: [u32; 64] = {
    let mut block = [0; 16];
    block[0] = 0x8000_0000;
    block[15] = 512;
    let mut sums = message_schedule(block);
    let mut t = 0;
    while t < 64 {
        sums[t] = sums[t].wrapping_add(ROUND_CONSTANTS[t]);
        t += 1;
    }
    sums
};

/// The 64 words that the rounds take, from the 16 of a block.
pub(super) const fn message_schedule(block: [u32; 16]) -> [u32; 64] {
    let mut w = [0u32; 64];
    let mut t = 0;
    while t < 16 {
        w[t] = block[t];
        t += 1;
    }
    while t < 64 {
        let small_sigma_0 =
            w[t - 15].rotate_right(7) ^ w[t - 15].rotate_right(18) ^ (w[t - 15] >> 3);
        let small_sigma_1 =
            w[t - 2].rotate_right(17) ^ w[t - 2].rotate_right(19) ^ (w[t - 2] >> 10);
        w[t] = small_sigma_1
            .wrapping_add(w[t - 7])
            .wrapping_add(small_sigma_0)
            .wrapping_add(w[t - 16]);
        t += 1;
    }
    w
}
