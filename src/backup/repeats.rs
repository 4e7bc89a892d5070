//! The same trouble again and again: said once, and then only every ten minutes. Pure: Unix seconds in.

const AGAIN_AFTER: u64 = 600;
/// Different troubles in that time; what comes on top is not said.
const WORDS_MAX: usize = 8;

#[derive(Debug, Default)]
pub(super) struct Repeats {
    said: Vec<(String, u64)>,
    is_open: bool,
}

impl Repeats {
    /// Whether it is to be said now.
    pub(super) fn is_news(&mut self, words: &str, now: u64) -> bool {
        // A clock that was set back does not silence anything for longer than that.
        self.said.retain(|(_, at)| now.abs_diff(*at) < AGAIN_AFTER);
        if self.said.len() == WORDS_MAX || self.said.iter().any(|(known, _)| known == words) {
            return false;
        }
        self.said.push((words.to_owned(), now));
        self.is_open = true;
        true
    }

    /// All is well; whether somebody who reads the log still thinks that it is not.
    pub(super) fn is_over(&mut self) -> bool {
        std::mem::take(&mut self.is_open)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_is_said_every_ten_minutes_and_its_end_once() {
        let mut repeats = Repeats::default();
        assert!(!repeats.is_over(), "nothing was said");
        let said = (0..3600).filter(|now| repeats.is_news("refused", 5000 + now)).count();
        assert_eq!(said, 6);
        assert!(repeats.is_news("late", 8600), "something else");
        assert!(repeats.is_over());
        assert!(!repeats.is_over());
        assert!(!repeats.is_news("late", 8601), "it comes and goes");
        assert!(!repeats.is_over());
        assert!(repeats.is_news("late", 100), "the clock was set back");
    }

    #[test]
    fn troubles_that_are_never_the_same_have_an_end_too() {
        let mut repeats = Repeats::default();
        let said = (0..600).filter(|now| repeats.is_news(&format!("port {now}"), *now)).count();
        assert_eq!(said, WORDS_MAX);
    }
}
