//! The sentences that people read on their phones. Discord has its own, which mention people.

use std::time::Duration;

use jiff::Timestamp;

use super::channel::Notice;
use super::event::{Event, FoundBlock, WorkerName};
use crate::privacy;

/// Names that are told; of more only their number is (§13.7).
const NAMES_MAX: usize = 20;
/// What is told later than this says when it was.
const LATE_SECONDS: u64 = 60;

/// A heading and a line or two.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Words {
    pub title: String,
    pub text: String,
}

impl Words {
    /// As they are told at `now`, in Unix seconds.
    pub fn of(notice: &Notice, now: u64) -> Self {
        let threshold = label(notice.words.threshold);
        let (title, mut text) = match &notice.event {
            Event::Watching => (
                "Workers are watched".to_owned(),
                format!("You hear of saved workers that are away, or back, for {threshold}."),
            ),
            Event::Network { is_up: false } => (
                "Pool is cut off".to_owned(),
                "It reaches nobody elsewhere. Notices of workers pause.".to_owned(),
            ),
            Event::Network { is_up: true } => (
                "Pool is back".to_owned(),
                "It reaches others again. Workers are watched again in some minutes.".to_owned(),
            ),
            Event::Workers { away, back, .. } => workers(away, back, &threshold),
            Event::Block(block) => (format!("Block {} found", block.height), found(block)),
        };
        if now.saturating_sub(notice.at) > LATE_SECONDS && !matches!(notice.event, Event::Block(_))
        {
            text.push_str(&format!(" ({})", time(notice.at)));
        }
        Self { title: format!("[{}] {title}", notice.words.tag), text }
    }
}

/// All are named: nobody is woken by a name, and who has five miners wants to know which.
fn workers(away: &[WorkerName], back: &[WorkerName], threshold: &str) -> (String, String) {
    let group = |workers: &[WorkerName], state: &str| {
        let count = workers.len();
        let noun = if count == 1 { "worker" } else { "workers" };
        (count > 0).then(|| (format!("{count} {noun} {state}"), names(workers)))
    };
    let groups = [group(away, "offline"), group(back, "back online")];
    let (titles, lines): (Vec<String>, Vec<String>) = groups
        .into_iter()
        .flatten()
        .map(|(title, names)| {
            let line = format!("{title} for {threshold}: {names}");
            (title, line)
        })
        .unzip();
    (titles.join(", "), lines.join(" | "))
}

fn names(workers: &[WorkerName]) -> String {
    let told: Vec<&str> = workers.iter().take(NAMES_MAX).map(|worker| &*worker.name).collect();
    match workers.len().saturating_sub(NAMES_MAX) {
        0 => told.join(", "),
        more => format!("{} and {more} more", told.join(", ")),
    }
}

fn found(block: &FoundBlock) -> String {
    let hash = privacy::hash(&block.hash_hex);
    format!("By {}, {}. Hash {hash}", block.worker, time(block.found_at))
}

fn time(unix: u64) -> String {
    let at = Timestamp::from_second(unix.cast_signed()).unwrap_or(Timestamp::UNIX_EPOCH);
    at.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

/// Whole hours `Nh`, else whole minutes `Nm`, else `Ns` (§13.7).
pub fn label(threshold: Duration) -> String {
    match threshold.as_secs() {
        seconds if seconds > 0 && seconds % 3600 == 0 => format!("{}h", seconds / 3600),
        seconds if seconds > 0 && seconds % 60 == 0 => format!("{}m", seconds / 60),
        seconds => format!("{seconds}s"),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::Arc;

    use super::super::NoticeWords;
    use super::super::states::tests::name;
    use super::*;

    pub const NOW: u64 = 1_700_000_000;

    pub fn notice(event: Event) -> Notice {
        let words = NoticeWords {
            threshold: Duration::from_secs(300),
            tag: "goPool".into(),
            link: "https://pool.example/saved-workers".into(),
        };
        Notice { id: "0123456789abcdef".into(), at: NOW, event, words: Arc::new(words) }
    }

    pub fn block() -> Event {
        Event::Block(FoundBlock {
            height: 840_000,
            hash_hex: format!("{}0123456789abcdef", "0".repeat(48)),
            worker: "bc1qexam...00000000.rig".into(),
            found_at: NOW - 3,
            savers: vec!["user".into()],
            notice_id: "0123456789abcdef".into(),
        })
    }

    pub fn workers(away: &str, back: &str) -> Event {
        let names = |text: &str| text.chars().map(|of| name(&of.to_string())).collect();
        Event::Workers { user_id: "user".into(), away: names(away), back: names(back) }
    }

    #[track_caller]
    fn check(event: Event, title: &str, text: &str) {
        let told = Words::of(&notice(event), NOW + 60);
        assert_eq!((&*told.title, &*told.text), (&*format!("[goPool] {title}"), text));
    }

    #[test]
    fn each_event_has_its_sentence() {
        check(
            block(),
            "Block 840000 found",
            "By bc1qexam...00000000.rig, 2023-11-14 22:13 UTC. Hash ...0123456789abcdef",
        );
        check(workers("a", ""), "1 worker offline", "1 worker offline for 5m: a");
        check(
            workers("a", "bc"),
            "1 worker offline, 2 workers back online",
            "1 worker offline for 5m: a | 2 workers back online for 5m: b, c",
        );
        check(
            workers("", &"a".repeat(22)),
            "22 workers back online",
            &format!("22 workers back online for 5m: {}a and 2 more", "a, ".repeat(19)),
        );
        check(
            Event::Watching,
            "Workers are watched",
            "You hear of saved workers that are away, or back, for 5m.",
        );
        for is_up in [true, false] {
            let told = Words::of(&notice(Event::Network { is_up }), NOW);
            assert!(told.text.ends_with('.'), "{told:?}");
        }
    }

    #[test]
    fn what_is_late_says_when_it_was() {
        let told = Words::of(&notice(workers("a", "")), NOW + 61);
        assert_eq!(told.text, "1 worker offline for 5m: a (2023-11-14 22:13 UTC)");
    }

    #[test]
    fn the_threshold_is_said_in_its_largest_whole_unit() {
        for (seconds, words) in [
            (300, "5m"),
            (3600, "1h"),
            (7200, "2h"),
            (90, "90s"),
            (5400, "90m"),
            (2, "2s"),
            (0, "0s"),
        ] {
            assert_eq!(label(Duration::from_secs(seconds)), words);
        }
    }
}
