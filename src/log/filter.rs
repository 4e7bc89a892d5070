//! Which events are heard.

use tracing::level_filters::LevelFilter;
use tracing::{Level, Metadata};

use super::Levels;
use super::net::TARGET;

/// How much is heard; each includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(super) enum Threshold {
    Off,
    Info,
    Debug,
    Network,
}

impl Threshold {
    pub(super) fn of_u8(number: u8) -> Self {
        let all = [Self::Off, Self::Info, Self::Debug, Self::Network];
        all[usize::from(number).min(all.len() - 1)]
    }

    /// What tracing compares every event with before it looks at anything else: below it an event
    /// costs one load.
    pub(super) fn max_level(self) -> LevelFilter {
        match self {
            Self::Off => LevelFilter::OFF,
            Self::Info => LevelFilter::INFO,
            Self::Debug => LevelFilter::DEBUG,
            Self::Network => LevelFilter::TRACE,
        }
    }

    pub(super) fn admits(self, metadata: &Metadata<'_>) -> bool {
        if metadata.target() == TARGET {
            return self == Self::Network;
        }
        // Libraries are heard from WARN upward: what they say below is about themselves.
        let is_own = metadata.target().starts_with("gopool");
        let max = match self {
            Self::Off => return false,
            Self::Debug | Self::Network if is_own => Level::DEBUG,
            Self::Info if is_own => Level::INFO,
            _ => Level::WARN,
        };
        *metadata.level() <= max
    }
}

impl From<Levels> for Threshold {
    fn from(levels: Levels) -> Self {
        match levels {
            Levels { debug: true, net_debug: true } => Self::Network,
            Levels { debug: true, net_debug: false } => Self::Debug,
            Levels { debug: false, .. } => Self::Info,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_network_trace_needs_debug_too() {
        let threshold = |debug, net_debug| Threshold::from(Levels { debug, net_debug });
        assert_eq!(threshold(false, false), Threshold::Info);
        assert_eq!(threshold(false, true), Threshold::Info);
        assert_eq!(threshold(true, false), Threshold::Debug);
        assert_eq!(threshold(true, true), Threshold::Network);
    }

    #[test]
    fn a_threshold_survives_being_a_number() {
        for threshold in [Threshold::Off, Threshold::Info, Threshold::Debug, Threshold::Network] {
            assert_eq!(Threshold::of_u8(threshold as u8), threshold);
        }
    }
}
