//! 256-bit targets, and the difficulties that stand for them (`mining.md` §9).

use std::cmp::Ordering;

use crate::sha256d::Hash;

/// Hashes a share of difficulty 1 takes on average.
pub const HASHES_PER_DIFFICULTY: f64 = 4_294_967_296.0;
/// A share is good when its difficulty is at least this part of what was asked: miners round
/// (`stratum.md` §6.8).
pub const SHARE_TOLERANCE: f64 = 0.98;

/// A 256-bit integer that a hash, read as little-endian, must not exceed.
/// Limbs are little-endian: the last is the most significant.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Target([u64; 4]);

/// Difficulty 1: 0xffff × 2^208.
pub const DIFFICULTY_1: Target = Target([0, 0, 0, 0xffff_0000]);

impl Target {
    pub const ZERO: Self = Self([0; 4]);
    pub const MAX: Self = Self([u64::MAX; 4]);

    /// Decodes the compact form of a header. `None` for what Core refuses: negative, zero, or
    /// more than 256 bits. Source: `arith_uint256::SetCompact` in `src/arith_uint256.cpp`.
    pub fn from_bits(bits: u32) -> Option<Self> {
        let exponent = bits >> 24;
        let mantissa = u64::from(bits & 0x007f_ffff);
        let negative = bits & 0x0080_0000 != 0;
        if exponent <= 3 {
            let value = mantissa >> (8 * (3 - exponent));
            return (value != 0 && !(negative && mantissa != 0)).then_some(Self([value, 0, 0, 0]));
        }
        if mantissa == 0 || negative {
            return None;
        }
        let shift = 8 * (exponent - 3);
        let length = 64 - mantissa.leading_zeros();
        if shift + length > 256 {
            return None;
        }
        let mut limbs = [0u64; 4];
        let (limb, offset) = ((shift / 64) as usize, shift % 64);
        let wide = u128::from(mantissa) << offset;
        limbs[limb] = wide as u64;
        if limb < 3 {
            limbs[limb + 1] = (wide >> 64) as u64;
        }
        Some(Self(limbs))
    }

    /// Reads a hash in internal byte order as the number that is compared with a target.
    pub fn from_hash(hash: &Hash) -> Self {
        let mut limbs = [0; 4];
        for (limb, bytes) in limbs.iter_mut().zip(hash.chunks_exact(8)) {
            *limb = u64::from_le_bytes(bytes.try_into().expect("chunks of eight"));
        }
        Self(limbs)
    }

    /// Reads big-endian hex of any length, `0x` allowed. `None` when it is not hex or does not
    /// fit 256 bits.
    pub fn from_hex(text: &str) -> Option<Self> {
        let text = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")).unwrap_or(text);
        if text.is_empty() {
            return None;
        }
        let mut value = Self::ZERO;
        for digit in text.chars() {
            let digit = digit.to_digit(16)?;
            if value.0[3] >> 60 != 0 {
                return None;
            }
            for i in (1..4).rev() {
                value.0[i] = value.0[i] << 4 | value.0[i - 1] >> 60;
            }
            value.0[0] = value.0[0] << 4 | u64::from(digit);
        }
        Some(value)
    }

    /// The target of a difficulty: ⌊difficulty-1 target ÷ d⌋ for the exact rational that the
    /// shortest decimal form of `difficulty` is; at least 1, at most 2^256 − 1.
    pub fn from_difficulty(difficulty: f64) -> Self {
        // Below this the quotient needs more than 256 bits.
        let smallest = 2.328_270_940_901_908e-10;
        if !difficulty.is_finite() || difficulty < smallest {
            return Self::MAX;
        }
        let (digits, exponent) = shortest_decimal(difficulty);
        // Six limbs: 224 bits of the numerator and up to ten to the 27th on top.
        let mut value = [0, 0, 0, 0xffff_0000, 0, 0];
        for _ in exponent..0 {
            multiply(&mut value, 10);
        }
        divide(&mut value, digits);
        for _ in 0..exponent {
            divide(&mut value, 10);
        }
        match value {
            [a, b, c, d, 0, 0] if (a, b, c, d) != (0, 0, 0, 0) => Self([a, b, c, d]),
            [.., 0, 0] => Self([1, 0, 0, 0]),
            _ => Self::MAX,
        }
    }

    /// Whether a hash, read as a number, meets this target.
    pub fn is_met_by(&self, hash: &Hash) -> bool {
        Self::from_hash(hash) <= *self
    }

    /// Difficulty-1 target ÷ this, rounded to within 1e-15; `f64::MAX` for zero.
    pub fn difficulty(&self) -> f64 {
        let Some(limb) = (0..4).rev().find(|limb| self.0[*limb] != 0) else {
            return f64::MAX;
        };
        // The eight bytes from the most significant one that is not zero: whole bytes, so that
        // every difficulty ever stored or shown stays the same number.
        let zero_bits = self.0[limb].leading_zeros() & !7;
        let below = if limb == 0 { 0 } else { self.0[limb - 1] };
        let top = ((u128::from(self.0[limb]) << 64 | u128::from(below)) << zero_bits >> 64) as u64;
        // This is `top` × 2^(64 × limb - zero_bits).
        65535.0 / top as f64 * power_of_two(208 - 64 * limb as i32 + zero_bits as i32)
    }

    /// Big-endian hex, 64 digits.
    pub fn to_hex(self) -> String {
        self.0.iter().rev().map(|limb| format!("{limb:016x}")).collect()
    }
}

impl Ord for Target {
    fn cmp(&self, other: &Self) -> Ordering {
        let [a, b, c, d] = self.0;
        let [e, f, g, h] = other.0;
        (d, c, b, a).cmp(&(h, g, f, e))
    }
}

impl PartialOrd for Target {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.to_hex())
    }
}

/// The difficulty of a header's hash.
pub fn hash_difficulty(hash: &Hash) -> f64 {
    Target::from_hash(hash).difficulty()
}

/// 2^`exponent`, for exponents that need no denormal.
fn power_of_two(exponent: i32) -> f64 {
    f64::from_bits(((f64::MAX_EXP - 1 + exponent) as u64) << (f64::MANTISSA_DIGITS - 1))
}

/// The shortest decimal that reads back as `value`: digits × 10^exponent.
fn shortest_decimal(value: f64) -> (u64, i32) {
    let text = format!("{value:e}");
    let (mantissa, exponent) = text.split_once('e').expect("{:e} writes an exponent");
    let exponent: i32 = exponent.parse().expect("{:e} writes a number");
    let fraction = mantissa.split_once('.').map_or(0, |(_, fraction)| fraction.len());
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    (digits.parse().expect("at most seventeen digits"), exponent - fraction as i32)
}

fn multiply(value: &mut [u64; 6], factor: u64) {
    let mut carry = 0u128;
    for limb in value {
        let product = u128::from(*limb) * u128::from(factor) + carry;
        *limb = product as u64;
        carry = product >> 64;
    }
}

fn divide(value: &mut [u64; 6], divisor: u64) {
    let mut remainder = 0u128;
    for limb in value.iter_mut().rev() {
        let dividend = remainder << 64 | u128::from(*limb);
        *limb = (dividend / u128::from(divisor)) as u64;
        remainder = dividend % u128::from(divisor);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sha256d::sha256d;

    #[track_caller]
    fn close(found: f64, expected: f64) {
        assert!((found / expected - 1.0).abs() < 1e-14, "found {found}, expected {expected}");
    }

    fn hash(display: &str) -> Hash {
        let mut hash: Hash = const_hex::decode_to_array(display).unwrap();
        hash.reverse();
        hash
    }

    #[test]
    fn bits_decode_as_in_core() {
        for (bits, hex, difficulty) in [
            (0x1d00ffff, "00000000ffff0000000000000000000000000000000000000000000000000000", 1.0),
            (0x1c00ffff, "0000000000ffff00000000000000000000000000000000000000000000000000", 256.0),
            (
                0x1e00ffff,
                "000000ffff000000000000000000000000000000000000000000000000000000",
                0.00390625,
            ),
            (
                0x1b04864c,
                "000000000004864c000000000000000000000000000000000000000000000000",
                14484.162361225399,
            ),
            (
                0x1b0404cb,
                "00000000000404cb000000000000000000000000000000000000000000000000",
                16307.420938523983,
            ),
            (
                0x17034219,
                "0000000000000000000342190000000000000000000000000000000000000000",
                86388558925171.02,
            ),
            (
                0x1e0377ae,
                "00000377ae000000000000000000000000000000000000000000000000000000",
                0.001126515290698186,
            ),
            (
                0x207fffff,
                "7fffff0000000000000000000000000000000000000000000000000000000000",
                4.6565423739069247e-10,
            ),
        ] {
            let target = Target::from_bits(bits).unwrap();
            assert_eq!(target.to_hex(), hex);
            close(target.difficulty(), difficulty);
        }
        for (bits, value) in [(0x0312_3456, 0x12_3456), (0x0212_3456, 0x1234), (0x0112_3456, 0x12)]
        {
            assert_eq!(Target::from_bits(bits), Some(Target([value, 0, 0, 0])));
        }
        for refused in [0x0492_3456, 0x01fe_dcba, 0xff12_3456, 0x1d00_0000, 0] {
            assert_eq!(Target::from_bits(refused), None, "{refused:08x}");
        }
    }

    #[test]
    fn difficulties_give_the_targets_of_the_specification() {
        for (difficulty, hex) in [
            (1.0, "00000000ffff0000000000000000000000000000000000000000000000000000"),
            (2.0, "000000007fff8000000000000000000000000000000000000000000000000000"),
            (0.5, "00000001fffe0000000000000000000000000000000000000000000000000000"),
            (0.1, "00000009fff60000000000000000000000000000000000000000000000000000"),
            (0.001, "000003e7fc180000000000000000000000000000000000000000000000000000"),
            (3.0, "0000000055550000000000000000000000000000000000000000000000000000"),
            (256.0, "0000000000ffff00000000000000000000000000000000000000000000000000"),
            (776.0, "00000000005473cb376c34c893cb376c34c893cb376c34c893cb376c34c893cb"),
            (1000.0, "00000000004188f5c28f5c28f5c28f5c28f5c28f5c28f5c28f5c28f5c28f5c28"),
            (65536.0, "000000000000ffff000000000000000000000000000000000000000000000000"),
            (1e6, "00000000000010c6e6d9be4cd74927913e81450efdc9c4da9003eea209aaa3ad"),
            (1e12, "00000000000000000119787e99468e32f6e0e71cef78ee034b5f8a0944d68076"),
            (1e-7, "009895e769800000000000000000000000000000000000000000000000000000"),
        ] {
            assert_eq!(Target::from_difficulty(difficulty).to_hex(), hex, "{difficulty}");
        }
        for none in [1e-10, 1e-300, 0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(Target::from_difficulty(none), Target::MAX, "{none}");
        }
        assert_eq!(Target::from_difficulty(1e80), Target([1, 0, 0, 0]));
    }

    #[test]
    fn hashes_have_the_difficulties_of_the_specification() {
        for (display, difficulty) in [
            (
                "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f",
                2536.4262984453103,
            ),
            ("000000000003ba27aa200b1cecaad478d2b00432346c3f1f3986da1afd33e506", 17583.05627604086),
            ("0000000000000000000320283a032748cef8227873ff4872689bf23f1cda83a5", 90052930051663.34),
            (
                "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
                2.3282709094019083e-10,
            ),
            (
                "0000000000000000000000000000000000000000000000000000000000000001",
                2.695953529101131e67,
            ),
        ] {
            close(hash_difficulty(&hash(display)), difficulty);
        }
        assert_eq!(hash_difficulty(&[0; 32]), f64::MAX);
    }

    /// The difficulty by the byte, as it was first written down.
    fn difficulty_by_bytes(number: &Hash) -> f64 {
        let Some(byte) = (0..32).rev().find(|i| number[*i] != 0) else {
            return f64::MAX;
        };
        let top = (0..8).fold(0u64, |top, i| {
            top << 8 | byte.checked_sub(i).map_or(0, |index| u64::from(number[index]))
        });
        65535.0 / top as f64 * f64::powi(2.0, 208 - 8 * (byte as i32 - 7))
    }

    #[test]
    fn limbs_give_the_same_number_as_bytes_to_the_last_bit() {
        let mut number: Hash = sha256d(b"random");
        let mut target: Hash = sha256d(&number);
        for i in 0..200_000usize {
            if i % 5 == 0 {
                (number, target) = (sha256d(&number), sha256d(&target));
            }
            // Every count of significant bytes, and every highest bit.
            let bytes = i % 33;
            number[bytes..].fill(0);
            if let Some(top) = bytes.checked_sub(1) {
                number[top] >>= i / 33 % 8;
            }
            // Alike down to some byte, as numbers close to a target are.
            target[i % 31..].copy_from_slice(&number[i % 31..]);
            let (found, expected) = (hash_difficulty(&number), difficulty_by_bytes(&number));
            assert_eq!(found.to_bits(), expected.to_bits(), "{number:?}");
            let is_met = number.iter().rev().cmp(target.iter().rev()) != Ordering::Greater;
            assert_eq!(Target::from_hash(&target).is_met_by(&number), is_met, "{number:?}");
        }
    }

    #[test]
    fn a_hash_equal_to_the_target_meets_it() {
        let equal = hash("7fffff0000000000000000000000000000000000000000000000000000000000");
        let above = hash("7fffff0000000000000000000000000000000000000000000000000000000001");
        let target = Target::from_bits(0x207f_ffff).unwrap();
        assert!(target.is_met_by(&equal));
        assert!(!target.is_met_by(&above));
        assert!(Target::MAX.is_met_by(&[0xff; 32]));
    }

    #[test]
    fn hex_targets_are_read_big_endian() {
        let hex = "00000000007fff80000000000000000000000000000000000000000000000000";
        close(Target::from_hex(hex).unwrap().difficulty(), 512.0);
        close(Target::from_hex(&format!("0x{}", &hex[8..])).unwrap().difficulty(), 512.0);
        assert_eq!(Target::from_hex(""), None);
        assert_eq!(Target::from_hex("xyz"), None);
        assert_eq!(Target::from_hex(&"f".repeat(65)), None);
    }
}
