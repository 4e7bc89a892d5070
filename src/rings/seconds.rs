//! One bucket a second, for the newest so many seconds.

/// Buckets in a ring: a second's bucket takes the place of the one `size` seconds before it.
///
/// Seconds are counted from any fixed moment, by a clock that never goes back.
#[derive(Clone, Debug)]
pub(super) struct Seconds<T> {
    /// An empty bucket is `None`, so that zero is a value like any other (FIX-45).
    buckets: Box<[Option<(u64, T)>]>,
}

impl<T: Copy> Seconds<T> {
    pub(super) fn new(size: usize) -> Self {
        Self { buckets: vec![None; size].into_boxed_slice() }
    }

    /// Puts `value` into the second's bucket, merged with what is there. A value that comes when
    /// its bucket already belongs to a later second is too old to count.
    pub(super) fn add(&mut self, second: u64, value: T, merge: impl FnOnce(T, T) -> T) {
        let index = (second % self.buckets.len() as u64) as usize;
        let bucket = &mut self.buckets[index];
        *bucket = match *bucket {
            Some((of, there)) if of == second => Some((second, merge(there, value))),
            Some((of, _)) if of > second => return,
            _ => Some((second, value)),
        };
    }

    /// The buckets of the newest seconds up to `now`, with their seconds, in no order.
    pub(super) fn newest(&self, now: u64) -> impl Iterator<Item = (u64, T)> {
        let size = self.buckets.len() as u64;
        let is_recent = move |second| now.checked_sub(second).is_some_and(|age| age < size);
        self.buckets.iter().copied().flatten().filter(move |(second, _)| is_recent(*second))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(seconds: &Seconds<u32>, now: u64, expected: &[(u64, u32)]) {
        let mut newest: Vec<_> = seconds.newest(now).collect();
        newest.sort_unstable();
        assert_eq!(newest, expected);
    }

    #[test]
    fn a_second_leaves_when_the_window_has_passed_it() {
        let mut seconds = Seconds::new(3);
        for (second, value) in [(10, 1), (11, 2), (11, 3), (12, 0)] {
            seconds.add(second, value, |a, b| a + b);
        }
        check(&seconds, 12, &[(10, 1), (11, 5), (12, 0)]);
        check(&seconds, 13, &[(11, 5), (12, 0)]);
        check(&seconds, 14, &[(12, 0)]);
        check(&seconds, 15, &[]);
        seconds.add(13, 7, |a, b| a + b);
        check(&seconds, 13, &[(11, 5), (12, 0), (13, 7)]);
    }

    #[test]
    fn what_comes_too_late_does_not_replace_what_is_newer() {
        let mut seconds = Seconds::new(3);
        seconds.add(13, 7, |a, b| a + b);
        seconds.add(10, 1, |a, b| a + b);
        check(&seconds, 13, &[(13, 7)]);
    }

    #[test]
    fn seconds_that_are_still_to_come_do_not_count() {
        let mut seconds = Seconds::new(3);
        seconds.add(1, 7, |a, b| a + b);
        check(&seconds, 0, &[]);
    }
}
