//! What happens to workers and blocks, told to people where they are: Discord, ntfy, Telegram, a
//! program of their own (`state-and-services.md` §13).

pub mod discord;
mod event;

use std::time::Duration;

pub use self::event::{Event, FoundBlock, WorkerName};
use crate::privacy::Secret;

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
