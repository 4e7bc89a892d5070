//! 256-bit targets: from a difficulty, from a header's `nbits`, and compared with a hash.

use gopool_shards::sha256d::Hash;

/// A 256-bit number a hash, read as little-endian, must not exceed. The most significant word stands
/// first, so the derived order is the order of the numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target([u64; 4]);

/// Words of the dividend in [`Target::from_difficulty`]: the target of difficulty 1 (224 bits) times
/// at most 10^27 (90 bits) has room.
const DIVIDEND_WORDS: usize = 6;
/// Below this the target would need more than 256 bits: 0xffff × 2^208 ÷ 2^256 is 2.33e-10.
const DIFFICULTY_MIN: f64 = 2.3e-10;

impl Target {
    /// Every hash meets it.
    pub const MAX: Self = Self([u64::MAX; 4]);
    /// Difficulty 1: 0xffff × 2^208.
    pub const DIFFICULTY_1: Self = Self([0xffff_0000, 0, 0, 0]);

    /// A hash as the number it stands for.
    pub fn from_hash(hash: &Hash) -> Self {
        let (words, _) = hash.as_chunks::<8>();
        Self([3, 2, 1, 0].map(|index: usize| u64::from_le_bytes(words[index])))
    }

    /// The target of a difficulty, rounded down: 0xffff × 2^208 ÷ `difficulty`, where `difficulty` is
    /// the decimal number that is written, not the binary fraction nearest to it.
    pub fn from_difficulty(difficulty: f64) -> Self {
        // Negated, so that what is not a number is caught as well.
        if !(difficulty >= DIFFICULTY_MIN && difficulty.is_finite()) {
            return Self::MAX;
        }
        let (digits, exponent) = decimal(difficulty);
        let mut dividend = [0u64; DIVIDEND_WORDS];
        dividend[3] = Self::DIFFICULTY_1.0[0];
        for _ in exponent..0 {
            multiply(&mut dividend, 10);
        }
        // Rounding down step by step ends where rounding down once does.
        divide(&mut dividend, digits);
        for _ in 0..exponent {
            divide(&mut dividend, 10);
        }
        match dividend {
            [0, 0, 0, 0, 0, 0] => Self([0, 0, 0, 1]),
            [a, b, c, d, 0, 0] => Self([d, c, b, a]),
            _ => Self::MAX,
        }
    }

    /// The network's target from the compact form in a header, as `arith_uint256::SetCompact` reads
    /// it; `None` for what no header may carry (negative, zero, beyond 256 bits).
    pub fn from_nbits(nbits: u32) -> Option<Self> {
        let (exponent, mantissa) = (nbits >> 24, u64::from(nbits & 0x007f_ffff));
        let negative = nbits & 0x0080_0000 != 0;
        let mut words = [0u64; 4];
        if exponent <= 3 {
            words[3] = mantissa >> (8 * (3 - exponent));
        } else {
            let shift = 8 * (exponent - 3);
            for bit in (0..23).filter(|bit| mantissa >> bit & 1 == 1) {
                let place = usize::try_from(shift + bit).ok().filter(|place| *place < 256)?;
                words[3 - place / 64] |= 1 << (place % 64);
            }
        }
        (words != [0; 4] && !negative).then_some(Self(words))
    }

    /// How many times harder than difficulty 1 it is to meet.
    pub fn difficulty(&self) -> f64 {
        let two_to_64 = 2f64.powi(64);
        let number =
            |words: &[u64; 4]| words.iter().fold(0.0, |sum, w| sum * two_to_64 + *w as f64);
        let value = number(&self.0);
        if value == 0.0 { f64::MAX } else { number(&Self::DIFFICULTY_1.0) / value }
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|word| write!(f, "{word:016x}"))
    }
}

/// The shortest decimal that reads back as `number`: its digits and the power of ten they are
/// multiplied by.
fn decimal(number: f64) -> (u64, i32) {
    let text = format!("{number:e}");
    let (mantissa, exponent) = text.split_once('e').expect("{:e} writes an exponent");
    let fraction = mantissa.split_once('.').map_or("", |(_, fraction)| fraction);
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    let exponent: i32 = exponent.parse().expect("{:e} writes a whole exponent");
    let places = i32::try_from(fraction.len()).expect("at most 16 digits after the point");
    (digits.parse().expect("at most 17 digits"), exponent - places)
}

/// Words here are least significant first.
fn multiply(words: &mut [u64; DIVIDEND_WORDS], factor: u64) {
    let mut carry = 0;
    for word in words.iter_mut() {
        let product = u128::from(*word) * u128::from(factor) + carry;
        (*word, carry) = (product as u64, product >> 64);
    }
    debug_assert_eq!(carry, 0, "the dividend has room for the smallest difficulty");
}

fn divide(words: &mut [u64; DIVIDEND_WORDS], divisor: u64) {
    let mut rest = 0;
    for word in words.iter_mut().rev() {
        let part = rest << 64 | u128::from(*word);
        (*word, rest) = ((part / u128::from(divisor)) as u64, part % u128::from(divisor));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difficulty_has_the_target_of_its_exact_decimal() {
        for (difficulty, target) in [
            (1.0, "00000000ffff0000000000000000000000000000000000000000000000000000"),
            (2.0, "000000007fff8000000000000000000000000000000000000000000000000000"),
            (3.0, "0000000055550000000000000000000000000000000000000000000000000000"),
            (256.0, "0000000000ffff00000000000000000000000000000000000000000000000000"),
            (776.0, "00000000005473cb376c34c893cb376c34c893cb376c34c893cb376c34c893cb"),
            (1000.0, "00000000004188f5c28f5c28f5c28f5c28f5c28f5c28f5c28f5c28f5c28f5c28"),
            (65536.0, "000000000000ffff000000000000000000000000000000000000000000000000"),
            (1e6, "00000000000010c6e6d9be4cd74927913e81450efdc9c4da9003eea209aaa3ad"),
            (1e12, "00000000000000000119787e99468e32f6e0e71cef78ee034b5f8a0944d68076"),
            (0.5, "00000001fffe0000000000000000000000000000000000000000000000000000"),
            (0.1, "00000009fff60000000000000000000000000000000000000000000000000000"),
            (0.001, "000003e7fc180000000000000000000000000000000000000000000000000000"),
            (1e-7, "009895e769800000000000000000000000000000000000000000000000000000"),
        ] {
            assert_eq!(Target::from_difficulty(difficulty).to_string(), target, "{difficulty}");
        }
    }

    #[test]
    fn a_difficulty_without_a_256_bit_target_lets_every_hash_through() {
        for difficulty in [1e-10, 0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(Target::from_difficulty(difficulty), Target::MAX, "{difficulty}");
        }
        assert_eq!(Target::from_difficulty(f64::MAX), Target([0, 0, 0, 1]));
    }

    #[test]
    fn the_longest_decimal_of_the_smallest_difficulty_fits_the_dividend() {
        let target = Target::from_difficulty(2.300_000_000_000_000_3e-10);
        assert!(target.0[0] > u64::MAX / 2 || target == Target::MAX, "{target}");
    }

    #[test]
    fn nbits_are_read_as_core_reads_them() {
        #[track_caller]
        fn check(nbits: u32, target: Option<&str>) {
            let found = Target::from_nbits(nbits).map(|target| target.to_string());
            assert_eq!(found.as_deref(), target, "{nbits:08x}");
        }
        let diff1 = "00000000ffff0000000000000000000000000000000000000000000000000000";
        check(0x1d00_ffff, Some(diff1));
        let signet = "00000377ae000000000000000000000000000000000000000000000000000000";
        check(0x1e03_77ae, Some(signet));
        let regtest = "7fffff0000000000000000000000000000000000000000000000000000000000";
        check(0x207f_ffff, Some(regtest));
        check(0x0312_3456, Some(&format!("{:064x}", 0x12_3456)));
        check(0x0212_3456, Some(&format!("{:064x}", 0x1234)));
        check(0x0112_3456, Some(&format!("{:064x}", 0x12)));
        for refused in [0x0492_3456, 0x01fe_dcba, 0xff12_3456, 0x1d00_0000] {
            check(refused, None);
        }
    }

    #[test]
    fn a_hash_has_the_difficulty_people_read_from_it() {
        // Share 1 of the worked example.
        let hash = super::super::hex::decode_array(
            "fb8a0d0328e49559990029aae05e11a57c9bcecf287cc78d2fe8947a67000000",
        )
        .unwrap();
        let difficulty = Target::from_hash(&hash).difficulty();
        assert!((difficulty / 0.009_663_664_503_843_636 - 1.0).abs() < 1e-14, "{difficulty}");
        assert_eq!(Target::DIFFICULTY_1.difficulty(), 1.0);
    }
}
