//! Words drawn from the EFF's large list, each as likely as any other.

use diceware_wordlists::EFF_LONG_WORDLIST;

/// In one code: four of 7776 are about 2^51.7 codes (FIX-21).
pub(super) const WORDS_PER_CODE: usize = 4;
/// The longest word of the list.
const WORD_BYTES_MAX: usize = 9;
/// The longest code: words, and a hyphen between each two.
pub(super) const CODE_BYTES_MAX: usize = WORDS_PER_CODE * (WORD_BYTES_MAX + 1) - 1;

const LIST_COUNT: u32 = EFF_LONG_WORDLIST.len() as u32;
/// Two random bytes have this many values.
const DRAWS: u32 = 1 << 16;
/// Draws from here on would favour the first words of the list, so they are made again.
const FAIR_DRAWS: u32 = DRAWS - DRAWS % LIST_COUNT;

/// Where random bytes come from: the kernel, or a test's script.
pub(super) type Randomness = Box<dyn FnMut(&mut [u8]) -> Result<(), getrandom::Error> + Send>;

/// A code without its tag, such as `viper-drop-down-anvil-yodel`.
pub(super) fn code(randomness: &mut Randomness) -> Result<String, getrandom::Error> {
    let mut code = String::with_capacity(CODE_BYTES_MAX);
    for index in 0..WORDS_PER_CODE {
        if index > 0 {
            code.push('-');
        }
        code.push_str(word(randomness)?);
    }
    Ok(code)
}

fn word(randomness: &mut Randomness) -> Result<&'static str, getrandom::Error> {
    loop {
        let mut bytes = [0; 2];
        randomness(&mut bytes)?;
        let draw = u32::from(u16::from_le_bytes(bytes));
        if draw < FAIR_DRAWS {
            return Ok(EFF_LONG_WORDLIST[(draw % LIST_COUNT) as usize]);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_list_is_the_large_one() {
        let words: HashSet<&str> = EFF_LONG_WORDLIST.iter().copied().collect();
        assert_eq!(words.len(), 7776);
        assert_eq!((EFF_LONG_WORDLIST[0], EFF_LONG_WORDLIST[7775]), ("abacus", "zoom"));
        let hyphenated: Vec<_> = EFF_LONG_WORDLIST.iter().filter(|w| w.contains('-')).collect();
        assert_eq!(hyphenated, [&"drop-down", &"felt-tip", &"t-shirt", &"yo-yo"]);
    }

    /// Else a code that was typed as shown would not be found.
    #[test]
    fn every_word_is_lower_case_and_its_hyphens_are_single_and_inside() {
        for word in EFF_LONG_WORDLIST {
            assert!(word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'), "{word}");
            assert!(word.split('-').all(|part| !part.is_empty()), "{word}");
            assert!((3..=WORD_BYTES_MAX).contains(&word.len()), "{word}");
        }
    }

    #[test]
    fn each_word_has_as_many_draws_as_any_other() {
        let mut draws = (0..=u16::MAX).flat_map(u16::to_le_bytes);
        let mut randomness: Randomness = Box::new(move |bytes| {
            for byte in bytes {
                *byte = draws.next().ok_or(getrandom::Error::UNEXPECTED)?;
            }
            Ok(())
        });
        let mut counts = std::collections::HashMap::<&str, u32>::new();
        while let Ok(word) = word(&mut randomness) {
            *counts.entry(word).or_default() += 1;
        }
        assert_eq!(counts.len(), 7776);
        assert!(counts.values().all(|count| *count == DRAWS / LIST_COUNT));
    }

    #[test]
    fn a_code_has_four_words_and_fits_its_bound() {
        let mut zeros: Randomness = Box::new(|bytes| {
            bytes.fill(0);
            Ok(())
        });
        assert_eq!(code(&mut zeros).unwrap(), "abacus-abacus-abacus-abacus");
        let mut kernel: Randomness = Box::new(getrandom::fill);
        let codes: HashSet<String> = (0..1000).map(|_| code(&mut kernel).unwrap()).collect();
        assert_eq!(codes.len(), 1000);
        assert!(codes.iter().all(|code| code.len() <= CODE_BYTES_MAX));
    }

    #[test]
    fn without_randomness_there_is_no_code() {
        let mut none: Randomness = Box::new(|_| Err(getrandom::Error::UNSUPPORTED));
        assert_eq!(code(&mut none), Err(getrandom::Error::UNSUPPORTED));
    }
}
