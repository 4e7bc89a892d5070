//! What only the operator is told: the pool in figures, who is signed in, and what the panel was used
//! for (`web.md` §6.10, §6.12). All but how many users there are is read from the newest snapshot.

use minijinja::context;
use serde::Serialize;

use super::super::format;
use super::super::http::Response;
use super::audit::Entry;
use super::visit::Visit;
use crate::backup::{B2Settings, UploadFigures};
use crate::clerk::{Clerk, REFRESH_DISTANCE};
use crate::notices::ChannelFigures;
use crate::notices::discord::DiscordFigures;
use crate::privacy::without_credentials;
use crate::store::Reader;

pub const PATH: &str = "/admin/operator";

/// A signed-in session.
#[derive(Serialize)]
struct SessionRow {
    name: String,
    client: String,
    age: String,
    idle: String,
    is_own: bool,
}

#[derive(Serialize)]
struct AuditRow {
    /// RFC 3339.
    at: String,
    #[serde(flatten)]
    entry: Entry,
}

/// How it goes in one place where notices go (`ChannelFigures`).
#[derive(Serialize)]
struct NoticesRow {
    name: &'static str,
    delivered: u64,
    failed: u64,
    dropped: u64,
    waiting: usize,
    last_success: Option<String>,
    last_failure: Option<String>,
    error: Option<String>,
}

impl From<&ChannelFigures> for NoticesRow {
    fn from(channel: &ChannelFigures) -> Self {
        Self {
            name: channel.name,
            delivered: channel.delivered,
            failed: channel.failed,
            dropped: channel.dropped,
            waiting: channel.waiting,
            last_success: channel.last_success.map(format::rfc3339),
            last_failure: channel.last_failure.map(format::rfc3339),
            error: channel.error.clone(),
        }
    }
}

/// How the copies of the database do (`BackupFigures`), with what they are told to do.
#[derive(Serialize)]
struct BackupCell {
    path: Option<String>,
    interval: String,
    is_forced: bool,
    last_attempt: Option<String>,
    last_copy: Option<String>,
    version: u64,
    outcome: Option<&'static str>,
    error: Option<String>,
    failures: u32,
    is_upload_wanted: bool,
    bucket: Option<String>,
    upload: Option<UploadCell>,
}

/// How uploads do; none when there are none.
#[derive(Serialize)]
struct UploadCell {
    object: String,
    is_reachable: Option<bool>,
    last_upload: Option<String>,
    version: u64,
    outcome: Option<&'static str>,
    error: Option<String>,
    failures: u32,
}

impl UploadCell {
    fn new(figures: &UploadFigures, settings: &B2Settings) -> Self {
        Self {
            object: settings.object.clone(),
            is_reachable: figures.is_reachable,
            last_upload: figures.last_upload.map(format::rfc3339),
            version: figures.version,
            outcome: figures.outcome,
            error: figures.error.clone(),
            failures: figures.failures,
        }
    }
}

impl BackupCell {
    fn new(visit: &Visit) -> Self {
        let (figures, settings) = (&visit.desk.paper.snapshot().backup, &visit.admin().plan.backup);
        let upload = figures.upload.as_ref().zip(settings.b2.as_ref());
        Self {
            path: figures.path.as_ref().map(|path| path.display().to_string()),
            interval: format::uptime(settings.interval),
            is_forced: settings.force_every_interval,
            last_attempt: figures.last_attempt.map(format::rfc3339),
            last_copy: figures.last_copy.map(format::rfc3339),
            version: figures.version,
            outcome: figures.outcome,
            error: figures.error.clone(),
            failures: figures.failures,
            is_upload_wanted: settings.is_upload_wanted,
            bucket: settings.bucket.clone(),
            upload: upload.map(|(figures, settings)| UploadCell::new(figures, settings)),
        }
    }
}

/// How signing in does (`state-and-services.md` §14.9).
#[derive(Serialize)]
struct ClerkCell {
    keys: usize,
    fetched_at: Option<String>,
    error: Option<String>,
    refresh_seconds: u64,
    issuer: String,
    jwks_url: String,
    signin_url: String,
    callback_path: String,
    cookie_name: String,
    /// None when the database does not say.
    users: Option<u64>,
}

impl ClerkCell {
    fn new(clerk: &Clerk, reader: &Reader) -> Self {
        let (figures, settings) = (clerk.figures(), &clerk.settings);
        Self {
            keys: figures.keys,
            fetched_at: figures.fetched_at.map(format::rfc3339),
            error: figures.error,
            refresh_seconds: REFRESH_DISTANCE.as_secs(),
            issuer: settings.issuer_url.clone(),
            jwks_url: without_credentials(&settings.jwks_url),
            signin_url: without_credentials(&settings.signin_url),
            callback_path: settings.callback_path.clone(),
            cookie_name: settings.cookie_name.clone(),
            users: reader.user_count().ok(),
        }
    }
}

/// How Discord does (`DiscordFigures`).
#[derive(Serialize)]
struct DiscordCell {
    connected_at: Option<String>,
    gateway_error: Option<String>,
    send_error: Option<String>,
    sent: u64,
    waiting: usize,
    dropped: u64,
    bursts: u64,
    linked: usize,
    enabled: usize,
}

impl From<DiscordFigures> for DiscordCell {
    fn from(figures: DiscordFigures) -> Self {
        Self {
            connected_at: figures.connected_at.map(format::rfc3339),
            gateway_error: figures.gateway_error,
            send_error: figures.send_error,
            sent: figures.sent,
            waiting: figures.waiting,
            dropped: figures.dropped,
            bursts: figures.bursts,
            linked: figures.linked,
            enabled: figures.enabled,
        }
    }
}

pub fn page(visit: &Visit) -> Response {
    let admin = visit.admin();
    let snapshot = visit.desk.paper.snapshot();
    let pool = context! {
        miners => snapshot.connections.authorized,
        workers => snapshot.workers_connected,
        hashrate => snapshot.shares.hashrate,
        shares_per_second => snapshot.shares.per_second,
        built_at => format::rfc3339(snapshot.built_at),
    };
    let last = snapshot.prices.last.as_ref();
    let price = context! {
        is_on => snapshot.prices.is_on,
        error => snapshot.prices.error,
        currency => snapshot.fiat_currency.to_uppercase(),
        value => last.map(|price| price.value),
        of => last.map(|price| price.currency.to_uppercase()),
        at => last.map(|price| format::rfc3339(price.at)),
    };
    let store = context! {
        waiting => snapshot.store.waiting,
        failures => snapshot.store.failures,
        error => snapshot.store.error,
        bans_dropped => snapshot.store.bans_dropped,
        savers => admin.plan.saved.users().len(),
    };
    let discord = admin.plan.discord.as_ref().map(|it| DiscordCell::from(it.figures()));
    let watch = snapshot.notices.watch.as_ref();
    let notices = context! {
        is_on => watch.is_some(),
        is_cut_off => watch.is_some_and(|watch| watch.is_cut_off),
        is_watching => watch.and_then(|watch| watch.watches_from) <= Some(snapshot.built_at),
        watches_from => watch.and_then(|watch| watch.watches_from).map(format::rfc3339),
        watched => watch.map(|watch| watch.watched),
        channels => snapshot.notices.channels.iter().map(NoticesRow::from).collect::<Vec<_>>(),
    };
    let reader = &admin.plan.reader;
    let clerk = admin.plan.clerk.as_deref().map(|clerk| ClerkCell::new(clerk, reader));
    let seen = admin.sessions.borrow_mut().list(visit.access.idle, admin.now());
    let sessions: Vec<SessionRow> = seen
        .into_iter()
        .map(|seen| SessionRow {
            is_own: seen.name == visit.signed.name,
            name: seen.name,
            client: seen.client.to_string(),
            age: format::uptime(seen.age),
            idle: format::uptime(seen.idle),
        })
        .collect();
    let entries = admin.audit.entries().into_iter();
    let audit: Vec<AuditRow> =
        entries.map(|entry| AuditRow { at: format::rfc3339_unix(entry.at), entry }).collect();
    visit.page(
        PATH,
        "admin_operator.html",
        context! { pool, price, clerk, store, notices, backup => BackupCell::new(visit), discord, sessions, audit },
        None,
    )
}
