//! Hex, as Stratum spells bytes and big-endian numbers.

/// Why a text is not the hex that was expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HexError {
    #[error("an odd number of digits ({0})")]
    Odd(usize),
    #[error("the character {0:?}, which is not a hex digit")]
    Digit(char),
    #[error("{found} bytes where {expected} belong")]
    Length { found: usize, expected: usize },
}

/// The bytes `text` spells.
pub fn decode(text: &str) -> Result<Vec<u8>, HexError> {
    if let Some(bad) = text.chars().find(|c| !c.is_ascii_hexdigit()) {
        return Err(HexError::Digit(bad));
    }
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return Err(HexError::Odd(text.len()));
    }
    Ok(pairs.iter().map(|[high, low]| value(*high) << 4 | value(*low)).collect())
}

/// The same, of exactly `N` bytes.
pub fn decode_array<const N: usize>(text: &str) -> Result<[u8; N], HexError> {
    let bytes = decode(text)?;
    bytes.try_into().map_err(|bytes: Vec<u8>| HexError::Length { found: bytes.len(), expected: N })
}

/// A number of eight digits, most significant first.
pub fn decode_u32(text: &str) -> Result<u32, HexError> {
    decode_array(text).map(u32::from_be_bytes)
}

/// Lower-case hex.
pub fn encode(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from(b"0123456789abcdef"[usize::from(nibble)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// A hash as people read it: most significant byte first.
pub fn encode_reversed(hash: &[u8]) -> String {
    let mut bytes = hash.to_vec();
    bytes.reverse();
    encode(&bytes)
}

fn value(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_survive_the_round_trip_in_either_case() {
        assert_eq!(decode("00fFa5"), Ok(vec![0, 255, 0xa5]));
        assert_eq!(encode(&[0, 255, 0xa5]), "00ffa5");
        assert_eq!(encode_reversed(&[1, 2]), "0201");
        assert_eq!(decode_u32("1d00ffff"), Ok(0x1d00_ffff));
    }

    #[test]
    fn what_is_no_hex_is_named() {
        assert_eq!(decode("abc"), Err(HexError::Odd(3)));
        assert_eq!(decode("0x12"), Err(HexError::Digit('x')));
        assert_eq!(decode_u32("12"), Err(HexError::Length { found: 1, expected: 4 }));
        // Four bytes long, and no boundary of a character in the middle.
        assert_eq!(decode("é1a"), Err(HexError::Digit('é')));
    }
}
