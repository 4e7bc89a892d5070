//! How far a hashrate on a page can be trusted (`stratum.md` §8.6).

use std::time::Duration;

use crate::tally::Accuracy;

/// Accepted shares and time from which a connection's whole life is evidence too.
const HISTORY_SHARES: u64 = 16;
const HISTORY_AGE: Duration = Duration::from_secs(6 * 60);
/// And those from which it is the best there is.
const LONG_HISTORY_SHARES: u64 = 32;
const LONG_HISTORY_AGE: Duration = Duration::from_secs(20 * 60);

/// What speaks for a hashrate.
#[derive(Clone, Copy, Debug)]
pub(super) struct Evidence {
    /// Hashes per second as displayed, and over the whole life of the connection.
    pub(super) hashrate: f64,
    pub(super) lifetime_hashrate: f64,
    /// Shares per minute that the displayed hashrate stands for.
    pub(super) modelled_rate: f64,
    /// The status window (§8.4).
    pub(super) window_age: Duration,
    pub(super) window_accepted: u32,
    /// Since the connection was made.
    pub(super) accepted: u64,
    pub(super) age: Duration,
}

impl Evidence {
    pub(super) fn accuracy(&self) -> Accuracy {
        if self.modelled_rate <= 0.0 || self.hashrate <= 0.0 || !self.is_enough() {
            return Accuracy::Warming;
        }
        let has_history = self.accepted >= HISTORY_SHARES && self.age >= HISTORY_AGE;
        let life_agrees = self.life_agrees(0.20);
        let is_likely = self.window_agrees(0.20, 8.0) || (has_history && life_agrees);
        if !is_likely || (has_history && !life_agrees) {
            return Accuracy::Warming;
        }
        if !(self.window_agrees(0.10, 16.0) && self.life_agrees(0.10)) {
            return Accuracy::Settling;
        }
        let has_long_history = self.accepted >= LONG_HISTORY_SHARES && self.age >= LONG_HISTORY_AGE;
        if has_long_history && self.window_agrees(0.05, 32.0) && self.life_agrees(0.05) {
            Accuracy::Precise
        } else {
            Accuracy::Stable
        }
    }

    /// Shares the window should have had.
    fn expected(&self) -> f64 {
        self.modelled_rate * minutes(self.window_age)
    }

    /// Whether there are shares enough to say anything at all: the faster they come, the sooner.
    fn is_enough(&self) -> bool {
        // The time three shares take, in seconds.
        let window = (180.0 / self.modelled_rate).clamp(30.0, 120.0);
        let shares = (self.modelled_rate * window / 60.0).clamp(2.5, 6.0);
        let in_window = f64::from(self.window_accepted).min(self.expected());
        (self.window_age.as_secs_f64() >= window && in_window >= shares)
            || (self.accepted as f64 >= shares.ceil().clamp(3.0, 8.0)
                && self.age.as_secs_f64() >= (window + 30.0).clamp(60.0, 240.0))
    }

    fn window_agrees(&self, tolerance: f64, shares: f64) -> bool {
        let expected = self.expected();
        expected >= shares
            && self.window_accepted > 0
            && (f64::from(self.window_accepted) - expected).abs() / expected <= tolerance
    }

    fn life_agrees(&self, tolerance: f64) -> bool {
        let lifetime = self.lifetime_hashrate;
        lifetime > 0.0 && (self.hashrate - lifetime).abs() / lifetime <= tolerance
    }
}

fn minutes(time: Duration) -> f64 {
    time.as_secs_f64() / 60.0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fifteen shares a minute as they should come, for this long.
    fn steady(seconds: u64) -> Evidence {
        let accepted = seconds / 4;
        Evidence {
            hashrate: 1e12,
            lifetime_hashrate: 1e12,
            modelled_rate: 15.0,
            window_age: Duration::from_secs(seconds),
            window_accepted: accepted as u32,
            accepted,
            age: Duration::from_secs(seconds),
        }
    }

    #[test]
    fn trust_grows_with_time() {
        let levels = [29, 30, 63, 64, 1199, 1200].map(|seconds| steady(seconds).accuracy());
        let [first, enough, settling, stable, longer, precise] = levels;
        // With less than eight shares expected nothing settles, with less than sixteen nothing is sure.
        assert_eq!((first, enough), (Accuracy::Warming, Accuracy::Warming));
        assert_eq!((settling, stable), (Accuracy::Settling, Accuracy::Stable));
        assert_eq!((longer, precise), (Accuracy::Stable, Accuracy::Precise));
        assert_eq!(levels.map(Accuracy::marker), ["~", "~", "≈", "", "", ""]);
    }

    #[test]
    fn a_window_that_says_otherwise_is_believed_before_there_is_a_history() {
        let off = |accepted| Evidence { window_accepted: accepted, ..steady(120) };
        assert_eq!(off(23).accuracy(), Accuracy::Warming);
        assert_eq!(off(24).accuracy(), Accuracy::Settling);
        assert_eq!(off(27).accuracy(), Accuracy::Stable);
        assert_eq!(off(37).accuracy(), Accuracy::Warming);
    }

    #[test]
    fn a_history_bears_out_a_window_that_has_just_begun_and_refutes_one_that_has_not() {
        let young =
            Evidence { window_age: Duration::from_secs(10), window_accepted: 2, ..steady(3600) };
        assert_eq!(young.accuracy(), Accuracy::Settling);
        let refuted = Evidence { lifetime_hashrate: 0.8e12, ..steady(3600) };
        assert_eq!(refuted.accuracy(), Accuracy::Warming);
        let near = Evidence { lifetime_hashrate: 0.93e12, ..steady(3600) };
        assert_eq!(near.accuracy(), Accuracy::Stable);
        let nearer = Evidence { lifetime_hashrate: 0.97e12, ..steady(3600) };
        assert_eq!(nearer.accuracy(), Accuracy::Precise);
    }

    #[test]
    fn a_slow_miner_needs_time_and_not_many_shares() {
        let slow = |seconds, accepted| Evidence {
            modelled_rate: 0.5,
            window_age: Duration::from_secs(seconds),
            window_accepted: accepted,
            accepted: u64::from(accepted),
            age: Duration::from_secs(seconds),
            ..steady(0)
        };
        // Three shares in six minutes; the window settles with eight expected.
        assert!(slow(360, 3).is_enough());
        assert!(!slow(299, 2).is_enough());
        assert_eq!(slow(360, 3).accuracy(), Accuracy::Warming);
        assert_eq!(slow(960, 8).accuracy(), Accuracy::Settling);
    }

    #[test]
    fn nothing_is_known_of_no_hashrate() {
        assert_eq!(Evidence { hashrate: 0.0, ..steady(3600) }.accuracy(), Accuracy::Warming);
        assert_eq!(Evidence { modelled_rate: 0.0, ..steady(3600) }.accuracy(), Accuracy::Warming);
    }
}
