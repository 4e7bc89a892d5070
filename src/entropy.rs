//! Randomness: letters and digits for tags, and a secret for session ids.

const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// Bytes that nobody can guess.
pub fn bytes<const COUNT: usize>() -> [u8; COUNT] {
    let mut bytes = [0; COUNT];
    getrandom::fill(&mut bytes).expect("the kernel gives randomness once it has booted");
    bytes
}

/// `count` characters from `A–Z a–z 0–9`, each as likely as any other.
pub fn letters_and_digits(count: usize) -> String {
    let mut text = String::with_capacity(count);
    let mut bytes = [0u8; 64];
    while text.len() < count {
        getrandom::fill(&mut bytes).expect("the kernel gives randomness once it has booted");
        // The four highest of 256 values would favour some characters.
        let fair = bytes.iter().filter(|byte| usize::from(**byte) < 4 * ALPHABET.len());
        let characters = fair.map(|byte| ALPHABET[usize::from(*byte) % ALPHABET.len()] as char);
        text.extend(characters.take(count - text.len()));
    }
    text
}

/// 32 hex digits: nobody guesses them, and no two are the same, in other runs either.
pub fn hex_id() -> String {
    const_hex::encode(bytes::<16>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entropy_has_its_length_and_its_alphabet() {
        for count in [0, 1, 4, 16, 200] {
            let text = letters_and_digits(count);
            assert_eq!(text.len(), count);
            assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        }
        assert_ne!(letters_and_digits(16), letters_and_digits(16));
    }
}
