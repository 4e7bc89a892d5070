//! What happens to workers and blocks, told to people where they are: Discord, ntfy, Telegram, a
//! program of their own (`state-and-services.md` §13).

pub mod discord;
mod event;

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;

use self::discord::{Discord, DiscordPlan, Links};
pub use self::event::{Event, FoundBlock, WorkerName};
use crate::codes::Codes;
use crate::identity::worker_hash_hex;
use crate::outgoing::Outgoing;
use crate::privacy::{self, Secret};
use crate::saved_workers::SavedWorkers;
use crate::store;

/// Where notices go, if anywhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NoticesSettings {
    pub discord: Option<DiscordSettings>,
    pub webhook: Option<WebhookSettings>,
    pub ntfy: Option<NtfySettings>,
    pub telegram: Option<TelegramSettings>,
    /// What may change while the pool runs.
    pub words: NoticeWords,
}

/// What notices say, and when.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NoticeWords {
    /// How long a worker must be away, or back.
    pub threshold: Duration,
    /// What the pool is called, in brackets before each notice (§13.8).
    pub tag: String,
    /// The page of saved workers; empty when the pool has no public name.
    pub link: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiscordSettings {
    pub api_url: String,
    pub token: Secret,
    pub server_id: String,
    pub channel_id: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookSettings {
    pub url: String,
    /// HMAC-SHA256 of each body is made with it; none signs nothing.
    pub secret: Option<Secret>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NtfySettings {
    pub url: String,
    pub token: Option<Secret>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TelegramSettings {
    pub api_url: String,
    pub token: Secret,
    pub chat_id: String,
}

/// What the services are given.
pub struct NoticesPlan {
    pub settings: NoticesSettings,
    pub outgoing: Outgoing,
    pub saved: SavedWorkers,
    pub links: Links,
    pub codes: Arc<Mutex<Codes>>,
}

/// Everybody who tells people elsewhere, as far as they are configured. Cheap to clone; they end when
/// [`Self::stop`] is called.
#[derive(Clone)]
pub struct Notices {
    discord: Option<Discord>,
    words: Arc<ArcSwap<NoticeWords>>,
    saved: SavedWorkers,
}

impl Notices {
    /// Starts whatever is configured, and comes back at once.
    pub fn spawn(plan: NoticesPlan) -> io::Result<Self> {
        let NoticesPlan { settings, outgoing, saved, links, codes } = plan;
        let words = Arc::new(ArcSwap::from_pointee(settings.words));
        let of_discord = |settings| {
            let words = Arc::clone(&words);
            Discord::spawn(DiscordPlan { settings, outgoing, links, codes, words })
        };
        let discord = settings.discord.map(of_discord).transpose()?;
        Ok(Self { discord, words, saved })
    }

    /// Never waits for anybody.
    pub fn tell(&self, event: &Event) {
        if let Some(discord) = &self.discord {
            discord.tell(event);
        }
    }

    /// The node has taken a block.
    pub fn accepted(&self, record: &store::FoundBlock) {
        if record.height == 0 || record.hash.trim().is_empty() {
            return;
        }
        let found_at = record.timestamp.parse::<jiff::Timestamp>().map_or(0, |at| at.as_second());
        self.tell(&Event::Block(FoundBlock {
            height: record.height,
            hash_hex: record.hash.clone(),
            worker: privacy::worker_name(&record.worker),
            found_at: found_at.max(0).cast_unsigned(),
            savers: self.saved.notified(&worker_hash_hex(&record.worker)),
        }));
    }

    /// What is said from now on, and when.
    pub fn set_words(&self, words: NoticeWords) {
        self.words.store(Arc::new(words));
    }

    /// For those who show how it does.
    pub fn discord(&self) -> Option<&Discord> {
        self.discord.as_ref()
    }

    /// Says good-bye, within `patience`, and lets go of the database.
    pub fn stop(self, patience: Duration) {
        if let Some(discord) = &self.discord {
            discord.stop(patience);
        }
    }
}
