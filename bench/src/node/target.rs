//! Compact targets, from Bitcoin Core's `arith_uint256::SetCompact`.

/// What `bits` stands for, most significant byte first. None when it is negative, zero or too large.
pub fn target_of(bits: u32) -> Option<[u8; 32]> {
    let exponent = (bits >> 24) as usize;
    let mantissa = bits & 0x00ff_ffff;
    if mantissa == 0 || mantissa & 0x0080_0000 != 0 {
        return None;
    }
    let mut target = [0; 32];
    for (index, byte) in mantissa.to_be_bytes()[1..].iter().enumerate() {
        // The mantissa's first byte is the `exponent`-th from the end.
        match (32 + index).checked_sub(exponent) {
            Some(place) if place < 32 => target[place] = *byte,
            _ if *byte == 0 => {}
            // Digits below the point are cut off; those above the top are too many.
            Some(_) => {}
            None => return None,
        }
    }
    (target != [0; 32]).then_some(target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(bits: u32, hex: &str) {
        let target = target_of(bits).map(const_hex::encode).unwrap_or_default();
        assert_eq!(target.trim_end_matches('0'), hex);
        assert!(hex.is_empty() || target.len() == 64);
    }

    #[test]
    fn bits_of_known_blocks() {
        check(0x1d00_ffff, "00000000ffff");
        check(0x1703_4219, "00000000000000000003421 9".replace(' ', "").as_str());
        check(0x207f_ffff, "7fffff");
        check(0x1f00_ffff, "0000ffff");
        check(0x0100_0001, "");
        check(0x0480_0001, "");
        check(0xff12_3456, "");
    }
}
