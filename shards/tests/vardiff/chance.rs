//! Random numbers that are the same in every run.

/// Marsaglia's xorshift64*.
#[derive(Debug)]
pub struct Chance(u64);

impl Chance {
    pub fn new(seed: u64) -> Self {
        // Small seeds are alike in nearly all bits, and zero stays zero.
        Self((seed + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// More than 0, at most 1.
    pub fn unit(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let bits = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11;
        (bits + 1) as f64 / (1_u64 << 53) as f64
    }

    /// Time to the next event of one that comes once in a unit of time.
    pub fn exponential(&mut self) -> f64 {
        -self.unit().ln()
    }
}
