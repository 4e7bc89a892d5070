//! The few pieces of Bitcoin's serialisation that a coinbase and a block are made of.

use smallvec::SmallVec;

/// Appends Bitcoin's CompactSize of `value`.
pub fn write_compact_size(out: &mut Vec<u8>, value: usize) {
    match value {
        0..=0xfc => out.push(value as u8),
        0xfd..=0xffff => {
            out.push(0xfd);
            out.extend((value as u16).to_le_bytes());
        }
        0x1_0000..=0xffff_ffff => {
            out.push(0xfe);
            out.extend((value as u32).to_le_bytes());
        }
        _ => {
            out.push(0xff);
            out.extend((value as u64).to_le_bytes());
        }
    }
}

/// A push in a script, at most a length and nine bytes.
pub type NumberPush = SmallVec<[u8; 10]>;

/// The push of a number: one opcode for 1 to 16, else a length byte and the shortest little-endian
/// form whose top bit is clear (`CScriptNum` in `src/script/script.h`, BIP-0034).
pub fn number_push(number: u64) -> NumberPush {
    let mut push = NumberPush::new();
    if (1..=16).contains(&number) {
        push.push(0x50 + number as u8);
        return push;
    }
    let bytes = number.to_le_bytes();
    let significant = 8 - number.leading_zeros() as usize / 8;
    let padded = significant > 0 && bytes[significant - 1] & 0x80 != 0;
    push.push((significant + usize::from(padded)) as u8);
    push.extend_from_slice(&bytes[..significant]);
    if padded {
        push.push(0);
    }
    push
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_pushed_as_the_specification_lists() {
        for (number, push) in [
            (1, "51"),
            (16, "60"),
            (17, "0111"),
            (100, "0164"),
            (127, "017f"),
            (128, "028000"),
            (255, "02ff00"),
            (256, "020001"),
            (32767, "02ff7f"),
            (32768, "03008000"),
            (65535, "03ffff00"),
            (65536, "03000001"),
            (500_000, "0320a107"),
            (840_000, "0340d10c"),
            (8_388_607, "03ffff7f"),
            (8_388_608, "0400008000"),
            (1_713_571_767, "04b7072366"),
            (2_147_483_648, "050000008000"),
        ] {
            assert_eq!(const_hex::encode(number_push(number)), push, "{number}");
        }
    }

    #[test]
    fn compact_sizes_change_width_at_their_thresholds() {
        for (value, hex) in [
            (0, "00"),
            (0xfc, "fc"),
            (0xfd, "fdfd00"),
            (0xffff, "fdffff"),
            (0x1_0000, "fe00000100"),
            (0x1_0000_0000, "ff0000000001000000"),
        ] {
            let mut out = Vec::new();
            write_compact_size(&mut out, value);
            assert_eq!(const_hex::encode(out), hex, "{value}");
        }
    }
}
