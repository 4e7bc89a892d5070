//! Discord as one of those who listen, and its people as those whose workers are watched.

use std::sync::Arc;
use std::time::Duration;

use super::super::{Audience, ChannelFigures, Event, Listener};
use super::{Discord, NAME};

/// Discord resumes its sessions now and then, which nobody needs to notice (FIX-38 a).
const AWAY_MIN: Duration = Duration::from_secs(60);

impl Discord {
    pub fn listener(&self) -> Arc<dyn Listener> {
        Arc::new(self.clone())
    }
}

impl Listener for Discord {
    fn tell(&self, event: &Event) {
        Self::tell(self, event);
    }

    fn name(&self) -> &'static str {
        NAME
    }

    fn figures(&self) -> ChannelFigures {
        let figures = Self::figures(self);
        ChannelFigures {
            delivered: figures.sent,
            failed: figures.failed,
            dropped: figures.dropped,
            waiting: figures.waiting,
            last_success: figures.sent_at,
            last_failure: figures.failed_at,
            error: figures.send_error.or(figures.gateway_error),
            ..ChannelFigures::of(NAME)
        }
    }

    fn close(&self) {
        Self::close(self);
    }

    fn has_ended(&self) -> bool {
        Self::has_ended(self)
    }
}

/// Nobody, without Discord.
impl Audience for Option<Discord> {
    fn users(&self) -> Vec<String> {
        let links = self.iter().flat_map(|discord| discord.links.enabled());
        links.map(|link| link.user_id).collect()
    }

    fn is_away(&self) -> bool {
        let since = self.as_ref().and_then(Discord::disconnected_since);
        since.is_some_and(|since| since.elapsed() >= AWAY_MIN)
    }

    fn bursts(&self) -> u64 {
        self.as_ref().map_or(0, Discord::bursts)
    }
}
