//! What pages say of the pool.

use gopool_shards::work::address::Network;

use crate::config::files::Files;
use crate::config::keys::Setting;
use crate::config::problem::Problems;
use crate::shown::{OperatorDonation, Password, Shown};

const ADDRESS_URL: &str = "https://mempool.space/address/";

/// Cannot fail: what is wrong with a link is said, and the link left out.
pub fn shown(
    files: &Files,
    network: Network,
    blocked_clients: &[String],
    has_json: bool,
    problems: &mut Problems,
) -> Shown {
    let (branding, stratum) = (&files.branding, &files.stratum);
    let mut blocked_clients = blocked_clients.to_vec();
    blocked_clients.sort();
    blocked_clients.dedup();
    let trimmed = |setting: &Setting<String>| setting.value.trim().to_owned();
    let raw = &files.difficulty;
    let percent = files.mining.operator_donation_percent.value;
    Shown {
        brand_name: trimmed(&branding.status_brand_name),
        domain: trimmed(&branding.status_brand_domain),
        tagline: trimmed(&branding.status_tagline),
        location: trimmed(&branding.server_location),
        operator_name: trimmed(&branding.operator_name),
        operator_contact: trimmed(&branding.operator_contact),
        connect_extra: trimmed(&branding.status_connect_miner_title_extra),
        connect_extra_url: link(&branding.status_connect_miner_title_extra_url, problems),
        github_url: link(&files.status.github_url, problems),
        discord_url: link(&files.discord.discord_url, problems),
        address_url: address_url(files, network, problems),
        donation_address: trimmed(&branding.pool_donation_address),
        password: match (
            stratum.stratum_password_enabled.value,
            stratum.stratum_password_public.value,
        ) {
            (false, _) => Password::None,
            (true, true) => Password::Public(stratum.stratum_password.value.clone()),
            (true, false) => Password::Secret,
        },
        payout_address: trimmed(&files.node.payout_address),
        operator_donation: (percent > 0.0).then(|| OperatorDonation {
            percent,
            address: trimmed(&files.mining.operator_donation_address),
            name: trimmed(&files.mining.operator_donation_name),
            url: link(&files.mining.operator_donation_url, problems),
        }),
        difficulty_min: raw.min_difficulty.value,
        difficulty_max: raw.max_difficulty.value,
        target_shares_per_min: raw.target_shares_per_min.value,
        keeps_suggested_difficulty: raw.lock_suggested_difficulty.value,
        blocked_clients,
        connections_max: files.rate_limits.max_conns.value as usize,
        accepts: super::accept_keys(files).rates().map(|rates| {
            (f64::from(rates.start.per_second.get()), f64::from(rates.start.burst.get()))
        }),
        has_json,
    }
}

/// An explorer of another network would know nothing of an address.
fn address_url(files: &Files, network: Network, problems: &mut Problems) -> String {
    let setting = &files.status.mempool_address_url;
    let mut url = link(setting, problems);
    if !setting.is_set() || url.is_empty() {
        url = match network {
            Network::Mainnet => ADDRESS_URL.to_owned(),
            Network::Testnet => "https://mempool.space/testnet/address/".to_owned(),
            Network::Signet => "https://mempool.space/signet/address/".to_owned(),
            Network::Regtest => String::new(),
        };
    }
    if !url.is_empty() && !url.ends_with('/') {
        url.push('/');
    }
    url
}

/// Only what a browser takes for a page elsewhere: nothing like `javascript:`.
fn link(setting: &Setting<String>, problems: &mut Problems) -> String {
    let text = setting.value.trim();
    let is_page = ["http://", "https://"].iter().any(|scheme| text.starts_with(scheme));
    let is_clean = !text.contains(|c: char| c.is_whitespace() || c.is_control());
    if text.is_empty() || is_page && is_clean {
        return text.to_owned();
    }
    problems.replace(setting, "a URL such as https://pool.example/help", "it is left out");
    String::new()
}
