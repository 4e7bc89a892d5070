//! Servers elsewhere: where each is, and whether all is there that it needs. A pool runs without any
//! of them, so nothing here is an error: what cannot be used is said, and left out.

use std::net::IpAddr;
use std::time::Duration;

use ureq::Proxy;
use ureq::http::Uri;

use crate::backup::B2Settings;
use crate::clerk::ClerkSettings;
use crate::config::files::Files;
use crate::config::keys::Setting;
use crate::config::problem::Problems;
use crate::notices::{
    DiscordSettings, NoticeWords, NoticesSettings, NtfySettings, ProbeTarget, TelegramSettings,
    WebhookSettings,
};
use crate::outgoing::{OutgoingSettings, is_private};
use crate::price::{PriceSettings, is_currency};
use crate::privacy::Secret;
use crate::status::ReconnectPolicy;

pub fn outgoing(files: &Files, problems: &mut Problems) -> OutgoingSettings {
    let setting = &files.outgoing.proxy;
    let text = setting.value.trim();
    let is_known = ["http://", "socks5://"].iter().any(|scheme| text.starts_with(scheme));
    let is_proxy = is_known && Proxy::new(text).is_ok();
    if !text.is_empty() && !is_proxy {
        let allowed = "a URL of http or socks5, such as http://proxy.example:3128";
        problems.replace(setting, allowed, "services are reached without it");
    }
    OutgoingSettings { proxy: is_proxy.then(|| text.to_owned()) }
}

pub fn price(files: &Files, problems: &mut Problems) -> Option<PriceSettings> {
    let raw = &files.price;
    if !raw.enabled.value {
        return None;
    }
    let currency = &files.branding.fiat_currency;
    if !is_currency(currency.value.trim()) {
        problems.replace(currency, "3 to 5 letters, such as usd", "there is no price");
    }
    Some(PriceSettings { url: private_url(&raw.url, problems)? })
}

pub fn clerk(files: &Files, problems: &mut Problems) -> Option<ClerkSettings> {
    let (raw, secrets) = (&files.auth, &files.secrets);
    let frontend_api_url = private_url(&raw.clerk_frontend_api_url, problems);
    let secret_key = text(&secrets.clerk_secret_key)?;
    let publishable_key = text(&secrets.clerk_publishable_key)?;
    let path = raw.clerk_callback_path.value.trim().trim_start_matches('/');
    Some(ClerkSettings {
        // The token must name it exactly as it is written.
        issuer_url: raw.clerk_issuer_url.value.trim().to_owned(),
        jwks_url: private_url(&raw.clerk_jwks_url, problems)?,
        signin_url: private_url(&raw.clerk_signin_url, problems)?,
        callback_path: format!("/{path}"),
        frontend_api_url: frontend_api_url?,
        api_url: private_url(&raw.clerk_api_url, problems)?,
        cookie_name: cookie_name(&raw.clerk_session_cookie_name, problems),
        audience: text(&raw.clerk_session_audience),
        secret_key: Secret::new(secret_key),
        publishable_key,
    })
}

/// Whose connections people may end on the pages (`web.md` §2.3).
pub fn reconnect(files: &Files, problems: &mut Problems) -> ReconnectPolicy {
    let setting = &files.auth.reconnect;
    match setting.value.trim() {
        "same-network" => ReconnectPolicy::SameNetwork,
        "saved" => ReconnectPolicy::Saved,
        "off" => ReconnectPolicy::Off,
        _ => {
            let allowed = "\"same-network\", \"saved\" or \"off\"";
            problems.replace(setting, allowed, "nobody may end a connection");
            ReconnectPolicy::Off
        }
    }
}

fn cookie_name(setting: &Setting<String>, problems: &mut Problems) -> String {
    let name = setting.value.trim();
    // A token of RFC 9110 §5.6.2, less what nobody uses.
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    if !name.is_empty() && name.bytes().all(is_name) {
        return name.to_owned();
    }
    problems.replace(setting, "letters, digits, _, - and .", "__session is used");
    "__session".to_owned()
}

/// Uploads, when they are wanted and possible (`state-and-services.md` §12.1).
pub fn b2(files: &Files, problems: &mut Problems) -> Option<B2Settings> {
    let (raw, secrets) = (&files.backups, &files.secrets);
    if !raw.enabled.value {
        return None;
    }
    let prefix = raw.prefix.value.trim().trim_matches('/');
    Some(B2Settings {
        api_url: private_url(&raw.api_url, problems)?,
        bucket: bucket(files)?,
        object: match prefix {
            "" => "workers.db".to_owned(),
            prefix => format!("{prefix}/workers.db"),
        },
        key_id: Secret::new(text(&secrets.backblaze_account_id)?),
        key: Secret::new(text(&secrets.backblaze_application_key)?),
        keep_versions: raw.keep_versions.value.max(0).cast_unsigned() as usize,
    })
}

pub fn bucket(files: &Files) -> Option<String> {
    text(&files.backups.bucket)
}

/// Services of which something is there that is good for nothing without the rest.
pub fn warnings(files: &Files) -> Vec<String> {
    let (auth, secrets) = (&files.auth, &files.secrets);
    let mut incomplete = Vec::new();
    let mut look = |needed: &[&Setting<String>], is_wanted: bool, without: &str| {
        let (missing, there): (Vec<&Setting<String>>, Vec<_>) =
            needed.iter().partition(|setting| text(setting).is_none());
        if !missing.is_empty() && (is_wanted || !there.is_empty()) {
            let names: Vec<String> = missing.iter().map(|setting| setting.key.path()).collect();
            let verb = if names.len() == 1 { "is" } else { "are" };
            incomplete.push(format!("{} {verb} empty: {without}", names.join(" and ")));
        }
    };
    let clerk =
        [&auth.clerk_frontend_api_url, &secrets.clerk_secret_key, &secrets.clerk_publishable_key];
    look(&clerk, false, "nobody can sign in");
    let discord = [
        &secrets.discord_token,
        &files.discord.discord_server_id,
        &files.discord.discord_notify_channel_id,
    ];
    look(&discord, false, "there are no notices on Discord");
    let telegram = [&files.telegram.chat_id, &secrets.telegram_token];
    look(&telegram, false, "there are no notices on Telegram");
    if files.backups.enabled.value {
        let b2 = [
            &files.backups.bucket,
            &secrets.backblaze_account_id,
            &secrets.backblaze_application_key,
        ];
        look(&b2, true, "copies are made on this machine and not uploaded");
    }
    incomplete
}

pub fn notices(files: &Files, message: &str, problems: &mut Problems) -> NoticesSettings {
    let secrets = &files.secrets;
    let domain = files.branding.status_brand_domain.value.trim().trim_end_matches('/');
    let settings = NoticesSettings {
        discord: discord(files, problems),
        webhook: reachable_url(&files.webhook.url, problems).map(|url| WebhookSettings {
            url,
            secret: text(&secrets.webhook_secret).map(Secret::new),
        }),
        ntfy: reachable_url(&files.ntfy.url, problems)
            .map(|url| NtfySettings { url, token: text(&secrets.ntfy_token).map(Secret::new) }),
        telegram: telegram(files, problems),
        probe: Vec::new(),
        words: NoticeWords {
            threshold: Duration::from_secs(
                files.discord.worker_notify_threshold_seconds.value.max(1).cast_unsigned(),
            ),
            tag: tag(message),
            link: match domain {
                "" => String::new(),
                domain if domain.contains("://") => format!("{domain}/saved-workers"),
                domain => format!("https://{domain}/saved-workers"),
            },
        },
    };
    NoticesSettings { probe: probe(&settings, files, problems), ..settings }
}

/// Whom to ask whether the pool is cut off. The specification has three public resolvers there; but
/// nobody hears of a pool who is not in its configuration. Where the notices go is there already, and
/// whether that can be reached is what matters: who cannot be told need not be asked about.
fn probe(settings: &NoticesSettings, files: &Files, problems: &mut Problems) -> Vec<ProbeTarget> {
    let NoticesSettings { discord, webhook, ntfy, telegram, .. } = settings;
    let urls = [
        discord.as_ref().map(|it| &it.api_url),
        webhook.as_ref().map(|it| &it.url),
        ntfy.as_ref().map(|it| &it.url),
        telegram.as_ref().map(|it| &it.api_url),
    ];
    let mut places: Vec<ProbeTarget> =
        urls.into_iter().flatten().filter_map(|url| place_of(url)).collect();
    places.dedup();
    let setting = &files.outgoing.probe;
    if places.is_empty() || setting.value.is_empty() {
        return places;
    }
    match setting.value.iter().map(|text| host_and_port(text.trim())).collect() {
        Some(targets) => targets,
        None => {
            let allowed = "host:port of each, such as [\"9.9.9.9:443\"]";
            problems.replace(setting, allowed, "where the notices go is asked");
            places
        }
    }
}

/// Whom a URL leads to.
fn place_of(url: &str) -> Option<ProbeTarget> {
    let uri: Uri = url.parse().ok()?;
    let usual = if uri.scheme_str() == Some("http") { 80 } else { 443 };
    let host = uri.host()?.trim_matches(['[', ']']).to_owned();
    Some(ProbeTarget { host, port: uri.port_u16().unwrap_or(usual) })
}

fn host_and_port(text: &str) -> Option<ProbeTarget> {
    let (host, port) = text.rsplit_once(':')?;
    let bare = host.trim_matches(['[', ']']);
    let is_host = bare.parse::<IpAddr>().is_ok() || !host.contains([':', '/', '@', ' ']);
    let port = port.parse().ok().filter(|port| *port > 0)?;
    (!bare.is_empty() && is_host).then(|| ProbeTarget { host: bare.to_owned(), port })
}

/// The first part of what the coinbase says (`state-and-services.md` §13.8).
fn tag(message: &str) -> String {
    match message.split('/').find(|part| !part.trim().is_empty()) {
        Some(part) => part.trim().to_owned(),
        None => "goPool".to_owned(),
    }
}

fn discord(files: &Files, problems: &mut Problems) -> Option<DiscordSettings> {
    let raw = &files.discord;
    let token = text(&files.secrets.discord_token)?;
    Some(DiscordSettings {
        server_id: snowflake(&raw.discord_server_id, problems)?,
        channel_id: snowflake(&raw.discord_notify_channel_id, problems)?,
        api_url: private_url(&raw.api_url, problems)?,
        token: Secret::new(token),
    })
}

/// Discord's numbers of things; they stand in URLs.
fn snowflake(setting: &Setting<String>, problems: &mut Problems) -> Option<String> {
    let number = text(setting)?;
    if number.len() <= 20 && number.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(number);
    }
    problems.replace(setting, "the digits of an ID of Discord", "Discord is left out");
    None
}

fn telegram(files: &Files, problems: &mut Problems) -> Option<TelegramSettings> {
    let raw = &files.telegram;
    let chat_id = text(&raw.chat_id)?;
    let token = text(&files.secrets.telegram_token)?;
    // It stands in URLs.
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b":_-".contains(&byte);
    if !token.bytes().all(is_token) {
        problems.replace(&files.secrets.telegram_token, "a bot's token", "Telegram is left out");
        return None;
    }
    let api_url = private_url(&raw.api_url, problems)?;
    Some(TelegramSettings { api_url, token: Secret::new(token), chat_id })
}

/// None for a blank one.
fn text(setting: &Setting<String>) -> Option<String> {
    let text = setting.value.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// Where passwords are sent or keys come from: nobody on the way may read or change it.
fn private_url(setting: &Setting<String>, problems: &mut Problems) -> Option<String> {
    let url = url(setting, "a URL of https, or of http on this machine", is_private, problems)?;
    // Paths are put behind it.
    Some(url.trim_end_matches('/').to_owned())
}

/// Where notices are sent: perhaps to a machine beside this one.
fn reachable_url(setting: &Setting<String>, problems: &mut Problems) -> Option<String> {
    let is_allowed = |uri: &Uri| matches!(uri.scheme_str(), Some("https" | "http"));
    url(setting, "a URL of https or http", is_allowed, problems)
}

/// As it is written. None, and said, when it is not like that; none for a blank one.
fn url(
    setting: &Setting<String>,
    allowed: &str,
    is_allowed: impl Fn(&Uri) -> bool,
    problems: &mut Problems,
) -> Option<String> {
    let text = text(setting)?;
    let has_host = |uri: &Uri| uri.host().is_some_and(|host| !host.is_empty());
    if text.parse::<Uri>().is_ok_and(|uri| has_host(&uri) && is_allowed(&uri)) {
        return Some(text);
    }
    problems.replace(setting, allowed, "the service is left out");
    None
}
