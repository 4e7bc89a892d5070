//! Counters in base 58: job ids and connection ids (`mining.md` §2.4).

const ALPHABET: &[u8; 58] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";

/// Appends `value` in base 58 with Bitcoin's alphabet, without padding: 0 is `1`, 58 is `21`.
pub fn write_counter(out: &mut Vec<u8>, mut value: u64) {
    let start = out.len();
    loop {
        out.push(ALPHABET[(value % 58) as usize]);
        value /= 58;
        if value == 0 {
            break;
        }
    }
    out[start..].reverse();
}

/// Reads what [`write_counter`] writes; `None` for anything else, leading zeros included: a number
/// has one spelling.
pub fn parse_counter(text: &str) -> Option<u64> {
    if text.len() > 1 && text.starts_with('1') {
        return None;
    }
    let digit = |byte: u8| ALPHABET.iter().position(|character| *character == byte);
    let (first, rest) = text.as_bytes().split_first()?;
    rest.iter().try_fold(digit(*first)? as u64, |value, byte| {
        value.checked_mul(58)?.checked_add(digit(*byte)? as u64)
    })
}

/// `value` in base 58, as [`write_counter`] writes it.
pub fn counter(value: u64) -> String {
    let mut out = Vec::new();
    write_counter(&mut out, value);
    String::from_utf8(out).expect("the alphabet is ASCII")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_read_as_the_specification_says() {
        for (value, text) in [
            (0, "1"),
            (1, "2"),
            (9, "A"),
            (57, "z"),
            (58, "21"),
            (59, "22"),
            (3363, "zz"),
            (3364, "211"),
            (1_000_000, "68GP"),
        ] {
            assert_eq!(counter(value), text);
            assert_eq!(parse_counter(text), Some(value));
        }
    }

    #[test]
    fn a_number_has_one_spelling() {
        for bad in ["", "11", "12", "0", "O", "l", " 2", "2 ", "-", "zzzzzzzzzzzz"] {
            assert_eq!(parse_counter(bad), None, "{bad}");
        }
        assert_eq!(parse_counter(&counter(u64::MAX)), Some(u64::MAX));
    }
}
