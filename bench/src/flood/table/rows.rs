//! Which figures there are, how each is measured, and the bar it must pass.

use std::fmt;

/// A run of one of the other modes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Load {
    Shares { connections: usize, in_flight: usize },
    Idle,
    IdleTls,
    Connect,
    Broadcast,
    Blocks,
}

impl Load {
    pub(super) fn arguments(self, seconds: f64) -> Vec<String> {
        let text = match self {
            Self::Shares { connections, in_flight } => format!(
                "shares --connections {connections} --in-flight {in_flight} --warm-up 1.5 \
                 --seconds {seconds}"
            ),
            Self::Idle => "idle --connections 10000 --settle 4".to_owned(),
            Self::IdleTls => "idle --connections 10000 --tls --settle 12".to_owned(),
            Self::Connect => "connect --connections 15000".to_owned(),
            Self::Broadcast => "broadcast --connections 10000 --rounds 5".to_owned(),
            Self::Blocks => "blocks --blocks 100".to_owned(),
        };
        text.split_whitespace().map(str::to_owned).collect()
    }
}

/// What a figure must be.
#[derive(Clone, Copy, Debug)]
pub(super) enum Bar {
    None,
    AtMost(f64),
    /// Times the floor.
    TimesFloor(f64),
    /// So much, or that part of the floor.
    AtLeast(f64, f64),
}

impl Bar {
    pub(super) fn is_passed(self, pool: f64, floor: Option<f64>) -> Option<bool> {
        match self {
            Self::None => None,
            Self::AtMost(bar) => Some(pool <= bar),
            Self::TimesFloor(times) => floor.map(|floor| pool <= times * floor),
            Self::AtLeast(bar, part) => {
                Some(pool >= bar || floor.is_some_and(|floor| pool >= part * floor))
            }
        }
    }
}

impl fmt::Display for Bar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => write!(f, "–"),
            Self::AtMost(bar) => write!(f, "≤ {bar}"),
            Self::TimesFloor(times) => write!(f, "≤ {times} × floor"),
            Self::AtLeast(bar, part) => write!(f, "≥ {bar} or {part} × floor"),
        }
    }
}

/// One line of the table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    /// In records.
    pub(super) name: &'static str,
    pub(super) title: &'static str,
    pub(super) load: Load,
    /// In the load's report.
    pub(super) figure: &'static str,
    pub(super) scale: f64,
    pub(super) has_floor: bool,
    pub(super) bar: Bar,
}

const fn shares(connections: usize, in_flight: usize) -> Load {
    Load::Shares { connections, in_flight }
}

pub(super) const ROWS: [Row; 13] = [
    Row {
        name: "share_cpu_us_1000x1",
        title: "CPU per share, 1,000 × 1 (µs)",
        load: shares(1000, 1),
        figure: "server_cpu_us_per_share",
        scale: 1.0,
        has_floor: true,
        bar: Bar::TimesFloor(1.45),
    },
    Row {
        name: "share_cpu_us_200x16",
        title: "CPU per share, 200 × 16 (µs)",
        load: shares(200, 16),
        figure: "server_cpu_us_per_share",
        scale: 1.0,
        has_floor: true,
        bar: Bar::AtMost(2.2),
    },
    Row {
        name: "shares_per_second_100x4",
        title: "shares a second, 100 × 4",
        load: shares(100, 4),
        figure: "shares_per_second",
        scale: 1.0,
        has_floor: true,
        bar: Bar::AtLeast(220_000.0, 0.8),
    },
    Row {
        name: "share_cpu_us_100x4",
        title: "CPU per share, 100 × 4 (µs)",
        load: shares(100, 4),
        figure: "server_cpu_us_per_share",
        scale: 1.0,
        has_floor: true,
        bar: Bar::None,
    },
    Row {
        name: "share_cpu_us_5000x1",
        title: "CPU per share, 5,000 × 1 (µs)",
        load: shares(5000, 1),
        figure: "server_cpu_us_per_share",
        scale: 1.0,
        has_floor: true,
        bar: Bar::None,
    },
    Row {
        name: "idle_kib",
        title: "memory of an idle miner of 10,000 (KiB)",
        load: Load::Idle,
        figure: "server_kib_per_connection",
        scale: 1.0,
        has_floor: false,
        bar: Bar::AtMost(2.5),
    },
    Row {
        name: "idle_tls_kib",
        title: "the same over TLS (KiB)",
        load: Load::IdleTls,
        figure: "server_kib_per_connection",
        scale: 1.0,
        has_floor: false,
        bar: Bar::AtMost(20.0),
    },
    Row {
        name: "connect_seconds",
        title: "15,000 miners come, to the last one's work (s)",
        load: Load::Connect,
        figure: "seconds",
        scale: 1.0,
        has_floor: true,
        bar: Bar::AtMost(1.5),
    },
    Row {
        name: "broadcast_last_ms",
        title: "template to last of 10,000 miners (ms)",
        load: Load::Broadcast,
        figure: "answer_to_last_us_median",
        scale: 1e-3,
        has_floor: true,
        bar: Bar::TimesFloor(1.3),
    },
    Row {
        name: "broadcast_cpu_us",
        title: "CPU of a new tip, per miner of 10,000 (µs)",
        load: Load::Broadcast,
        figure: "server_cpu_us_per_miner_median",
        scale: 1.0,
        has_floor: true,
        bar: Bar::None,
    },
    Row {
        name: "broadcast_first_ms",
        title: "template of 4,000 to first miner (ms)",
        load: Load::Broadcast,
        figure: "answer_to_first_us_median",
        scale: 1e-3,
        has_floor: false,
        bar: Bar::AtMost(2.0),
    },
    Row {
        name: "block_ms_p50",
        title: "share to submitblock, 4,000 (ms, median)",
        load: Load::Blocks,
        figure: "share_to_submitblock_us_p50",
        scale: 1e-3,
        has_floor: false,
        bar: Bar::AtMost(1.0),
    },
    Row {
        name: "block_ms_p99",
        title: "share to submitblock, 4,000 (ms, 99 of 100)",
        load: Load::Blocks,
        figure: "share_to_submitblock_us_p99",
        scale: 1e-3,
        has_floor: false,
        bar: Bar::AtMost(3.0),
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_passed_or_missed() {
        for (bar, pool, floor, passed) in [
            (Bar::None, 1.0, None, None),
            (Bar::AtMost(2.0), 2.0, None, Some(true)),
            (Bar::AtMost(2.0), 2.1, Some(9.0), Some(false)),
            (Bar::TimesFloor(1.5), 3.0, Some(2.0), Some(true)),
            (Bar::TimesFloor(1.5), 3.1, Some(2.0), Some(false)),
            (Bar::TimesFloor(1.5), 3.1, None, None),
            (Bar::AtLeast(10.0, 0.8), 9.0, Some(11.0), Some(true)),
            (Bar::AtLeast(10.0, 0.8), 9.0, Some(12.0), Some(false)),
            (Bar::AtLeast(10.0, 0.8), 10.0, None, Some(true)),
        ] {
            assert_eq!(bar.is_passed(pool, floor), passed, "{bar} {pool} {floor:?}");
        }
    }

    #[test]
    fn names_differ() {
        let names: std::collections::HashSet<_> = ROWS.iter().map(|row| row.name).collect();
        assert_eq!(names.len(), ROWS.len());
    }
}
