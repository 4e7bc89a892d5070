//! Numbers in one or two bytes, and presence in one bit (`state-and-services.md` §10.1 to §10.3).

/// Base of the exponent: one step is one SI prefix.
const BASE: f64 = 1000.0;
/// The exponent has three bits: 1000^7 = 10^21 is the last step.
const EXPONENT_MAX: u32 = 7;
const MANTISSA_BITS_16: u32 = 13;
const MANTISSA_BITS_8: u32 = 5;
/// Steps of a q8 value above its minimum.
const Q8_STEPS: f64 = 255.0;

/// The 16-bit SI code of a hashrate in H/s or of a difficulty; off by 0.05 % at worst.
pub fn si16(value: f64) -> u16 {
    // The exponent is 7 and the mantissa 8191 at most, which is 65535.
    si_code(value, MANTISSA_BITS_16) as u16
}

/// The number a 16-bit SI code stands for.
pub fn si16_value(code: u16) -> f64 {
    si_value(code.into(), MANTISSA_BITS_16)
}

/// The 8-bit SI code; off by 12 % at worst, enough for the short chart.
pub fn si8(value: f64) -> u8 {
    // The exponent is 7 and the mantissa 31 at most, which is 255.
    si_code(value, MANTISSA_BITS_8) as u8
}

/// The number an 8-bit SI code stands for.
pub fn si8_value(code: u8) -> f64 {
    si_value(code.into(), MANTISSA_BITS_8)
}

/// Code 0 is kept for nothing at all, so mantissas count from 1 and what is between 0 and 1 becomes
/// 1: difficulties below 1 cannot be told apart.
fn si_code(value: f64, bits: u32) -> u32 {
    let mantissa_max = (1 << bits) - 1;
    let saturated = (EXPONENT_MAX << bits) | mantissa_max;
    if value.is_nan() || value <= 0.0 {
        return 0;
    }
    let mut mantissa = value;
    let mut exponent = 0;
    while mantissa >= BASE && exponent < EXPONENT_MAX {
        mantissa /= BASE;
        exponent += 1;
    }
    if mantissa >= BASE {
        return saturated;
    }
    // A value below 1 would have a negative logarithm.
    let part = (mantissa.max(1.0).ln() / BASE.ln()).clamp(0.0, 1.0);
    let mantissa = 1 + (part * f64::from(mantissa_max - 1)).round() as u32;
    (exponent << bits) | mantissa.min(mantissa_max)
}

fn si_value(code: u32, bits: u32) -> f64 {
    let mantissa_max = (1 << bits) - 1;
    let mantissa = code & mantissa_max;
    if mantissa == 0 {
        return 0.0;
    }
    let part = f64::from(mantissa - 1) / f64::from(mantissa_max - 1);
    let prefix = (0..code >> bits).fold(1.0, |prefix, _| prefix * BASE);
    BASE.powf(part) * prefix
}

/// A series as positions between its smallest and its largest value.
#[derive(Clone, Debug, PartialEq)]
pub struct Q8 {
    pub min: f64,
    pub max: f64,
    /// 0 where there is no value, which is also the position of the smallest one: who reads this
    /// needs the presence bits too.
    pub steps: Vec<u8>,
}

impl Q8 {
    /// Takes finite values; `None` is a bucket without one.
    pub fn of(values: &[Option<f64>]) -> Self {
        let present = values.iter().flatten().copied();
        let Some(min) = present.clone().reduce(f64::min) else {
            return Self { min: 0.0, max: 0.0, steps: vec![0; values.len()] };
        };
        let max = present.fold(min, f64::max);
        let step = |value: f64| {
            if max > min {
                ((value - min) / (max - min) * Q8_STEPS).round().clamp(0.0, Q8_STEPS) as u8
            } else {
                u8::MAX
            }
        };
        let steps = values.iter().map(|value| value.map_or(0, step)).collect();
        Self { min, max, steps }
    }

    /// The value at a position, as those who receive the series compute it.
    pub fn value(&self, step: u8) -> f64 {
        if self.max > self.min {
            self.min + f64::from(step) / Q8_STEPS * (self.max - self.min)
        } else {
            self.min
        }
    }
}

/// Packs bits, the first one lowest in the first byte.
pub fn bitset(bits: impl IntoIterator<Item = bool>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (index, bit) in bits.into_iter().enumerate() {
        if index % 8 == 0 {
            bytes.push(0);
        }
        if let Some(byte) = bytes.last_mut() {
            *byte |= u8::from(bit) << (index % 8);
        }
    }
    bytes
}

/// Bit `index` of such bytes; past their end nothing is set.
pub fn bit(bytes: &[u8], index: usize) -> bool {
    bytes.get(index / 8).is_some_and(|byte| byte >> (index % 8) & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn si_codes_follow_the_table_of_the_specification() {
        for (value, code16, value16, code8, value8) in [
            (0.0, 0, 0.0, 0, 0.0),
            (0.5, 1, 1.0, 1, 1.0),
            (1.0, 1, 1.0, 1, 1.0),
            (2.0, 823, 2.000317, 4, 1.995262),
            (12.345, 2981, 12.347388, 12, 12.589254),
            (999.9, 8191, 1000.0, 31, 1000.0),
            (1000.0, 8193, 1000.0, 33, 1000.0),
            (1234.56, 8443, 1234.738789, 34, 1258.925412),
            (3210.0, 9576, 3210.653266, 38, 3162.27766),
            (1e6, 16385, 1e6, 65, 1e6),
            (75e9, 29696, 7.50052348e10, 116, 7.94328235e10),
            (123456789012345.0, 38479, 1.23473879e14, 150, 1.25892541e14),
            (1e21, 57345, 1e21, 225, 1e21),
            (1e24, 65535, 1e24, 255, 1e24),
            (1e300, 65535, 1e24, 255, 1e24),
            (f64::INFINITY, 65535, 1e24, 255, 1e24),
        ] {
            assert_eq!((si16(value), si8(value)), (code16, code8), "{value}");
            assert_near(si16_value(code16), value16);
            assert_near(si8_value(code8), value8);
        }
    }

    #[track_caller]
    fn assert_near(value: f64, expected: f64) {
        assert!((value - expected).abs() <= expected * 1e-6, "{value} is not {expected}");
    }

    #[test]
    fn what_is_not_a_positive_number_has_code_0() {
        for value in [f64::NAN, f64::NEG_INFINITY, -1.0, -0.0] {
            assert_eq!((si16(value), si8(value)), (0, 0), "{value}");
        }
    }

    #[test]
    fn a_code_without_mantissa_is_0() {
        for exponent in 0..8 {
            assert_eq!(si16_value(exponent << MANTISSA_BITS_16), 0.0);
        }
    }

    #[test]
    fn q8_follows_the_examples_of_the_specification() {
        let q8 = Q8::of(&[Some(0.0), Some(10.0), Some(20.0), Some(5.0), None]);
        assert_eq!(q8, Q8 { min: 0.0, max: 20.0, steps: vec![0, 128, 255, 64, 0] });
        let q8 = Q8::of(&[Some(7.0), Some(7.0), None]);
        assert_eq!(q8, Q8 { min: 7.0, max: 7.0, steps: vec![255, 255, 0] });
        assert_eq!(Q8::of(&[None, None]), Q8 { min: 0.0, max: 0.0, steps: vec![0, 0] });
        assert_eq!(Q8::of(&[]), Q8 { min: 0.0, max: 0.0, steps: vec![] });
    }

    #[test]
    fn the_first_bit_is_the_lowest_of_the_first_byte() {
        let bits = [true, false, false, true, false, false, false, false, false, true];
        assert_eq!(bitset(bits), [0b1001, 0b10]);
        assert!(bitset([]).is_empty());
    }

    proptest! {
        #[test]
        fn codes_do_not_decrease(a in 0.0..1e25f64, b in 0.0..1e25f64, scale in 0..24) {
            // Scaled, because nearly all numbers below 10^25 are above 10^23.
            let (a, b) = (a / 10f64.powi(scale), b / 10f64.powi(scale));
            let (low, high) = if a < b { (a, b) } else { (b, a) };
            prop_assert!(si16(low) <= si16(high));
            prop_assert!(si8(low) <= si8(high));
        }

        #[test]
        fn codes_are_near_their_value(exponent in 0.0..23.99f64) {
            let value = 10f64.powf(exponent);
            let error = |decoded: f64| (decoded - value).abs() / value;
            prop_assert!(error(si16_value(si16(value))) <= 0.0005);
            prop_assert!(error(si8_value(si8(value))) <= 0.13);
        }

        #[test]
        fn a_q8_value_is_off_by_half_a_step_at_most(
            values in prop::collection::vec(prop::option::of(-1e18..1e18f64), 0..100)
        ) {
            let q8 = Q8::of(&values);
            prop_assert_eq!(q8.steps.len(), values.len());
            let bound = (q8.max - q8.min) / 255.0 / 2.0;
            for (value, step) in values.iter().zip(&q8.steps) {
                match value {
                    Some(value) => prop_assert!(
                        (q8.value(*step) - value).abs() <= bound * (1.0 + 1e-9) + 1e3
                    ),
                    None => prop_assert_eq!(*step, 0),
                }
            }
        }

        #[test]
        fn bits_come_back(bits in prop::collection::vec(any::<bool>(), 0..100)) {
            let bytes = bitset(bits.iter().copied());
            prop_assert_eq!(bytes.len(), bits.len().div_ceil(8));
            let unpacked: Vec<bool> = (0..bits.len()).map(|index| bit(&bytes, index)).collect();
            prop_assert_eq!(unpacked, bits);
        }
    }
}
