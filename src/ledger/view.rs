//! One worker, merged over its connections (`state-and-services.md` §17.3).

use std::sync::Arc;

use super::roster::{Connection, Fading};
use crate::snapshot::WorkerView;

impl WorkerView {
    pub(super) fn of(
        name: Arc<str>,
        sequence: u64,
        connection: &Connection,
        fading: Fading,
    ) -> Self {
        let look = connection.look.as_deref();
        Self {
            name,
            client_id: Arc::clone(&connection.client_id),
            connections: 1,
            sequence,
            is_tls: connection.is_tls,
            connected_at: connection.connected_at,
            accepted: look.map_or(0, |look| look.accepted),
            rejected: look.map_or(0, |look| look.rejected),
            hashrate: connection.hashrate(fading),
            accuracy: connection.accuracy(),
            share_rate: look.map_or(0.0, |look| look.share_rate),
            window_started_at: look.map_or(0, |look| look.window_started_at),
            window_accepted: look.map_or(0, |look| look.window_accepted.into()),
            window_submissions: look.map_or(0, |look| look.window_submissions.into()),
            window_credit: look.map_or(0.0, |look| look.window_credit),
            last_share: look.and_then(|look| look.last_share),
            last_reject: look.map_or("", |look| look.last_reject),
            difficulty: connection.difficulty,
            ideal_difficulty: look.map_or(connection.difficulty, |look| look.ideal_difficulty),
            round_trip: look.and_then(|look| look.round_trip),
            first_share_p50: look.and_then(|look| look.first_share_p50),
            first_share_p95: look.and_then(|look| look.first_share_p95),
        }
    }

    /// Unix seconds; 0 for never.
    pub fn last_share_at(&self) -> u64 {
        self.last_share.map_or(0, |share| share.at)
    }

    pub(super) fn merge(&mut self, other: &Self) {
        if other.last_share_at() > self.last_share_at() {
            self.last_share = other.last_share;
            self.last_reject = other.last_reject;
            self.difficulty = other.difficulty;
            self.ideal_difficulty = other.ideal_difficulty;
        }
        self.connections += other.connections;
        self.sequence = self.sequence.max(other.sequence);
        self.connected_at = self.connected_at.min(other.connected_at);
        self.accepted += other.accepted;
        self.rejected += other.rejected;
        self.hashrate += other.hashrate;
        self.accuracy = self.accuracy.min(other.accuracy);
        self.share_rate += other.share_rate;
        self.window_started_at = match (self.window_started_at, other.window_started_at) {
            (0, at) | (at, 0) => at,
            (one, another) => one.min(another),
        };
        self.window_accepted += other.window_accepted;
        self.window_submissions += other.window_submissions;
        self.window_credit += other.window_credit;
        self.round_trip = self.round_trip.max(other.round_trip);
        self.first_share_p50 = self.first_share_p50.max(other.first_share_p50);
        self.first_share_p95 = self.first_share_p95.max(other.first_share_p95);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use gopool_shards::tally::{Accuracy, Look};

    use super::super::roster::Roster;
    use super::super::roster::tests::{FADING, NOW, look};

    #[test]
    fn sums_are_summed_and_the_newest_share_speaks_for_all() {
        let mut roster = Roster::default();
        let one = look("w", 100.0, NOW - 10);
        let other = Look {
            connected_at: NOW - 2000,
            difficulty: 512.0,
            window_started_at: NOW - 900,
            accuracy: Accuracy::Warming,
            round_trip: None,
            last_reject: "stale job",
            first_share_p50: Some(Duration::from_secs(1)),
            ..look("w", 40.0, NOW)
        };
        roster.look(8, one);
        roster.look(5, other);
        let view = roster.view(&"w".into(), &[8, 5], FADING).unwrap();
        assert_eq!((view.accepted, view.rejected, view.connections, view.sequence), (20, 2, 2, 8));
        assert!((view.hashrate - (100.0 * (-10.0_f64 / 450.0).exp() + 40.0)).abs() < 1e-9);
        assert_eq!(
            (view.difficulty, view.last_reject, view.last_share_at()),
            (512.0, "stale job", NOW)
        );
        assert_eq!((view.connected_at, view.window_started_at), (NOW - 2000, NOW - 900));
        assert_eq!((view.window_accepted, view.window_credit), (18, 18_432.0));
        assert_eq!(view.accuracy, Accuracy::Warming);
        assert_eq!(view.round_trip, Some(Duration::from_millis(20)));
        assert_eq!(view.first_share_p50, Some(Duration::from_secs(1)));
    }
}
