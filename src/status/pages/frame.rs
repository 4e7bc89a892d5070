//! What all pages have around them: the pool's name, where else to go, and what is wrong now.

use serde::Serialize;

use crate::shown::Shown;
use crate::snapshot::Snapshot;
use crate::status::format;
use crate::status::health::Health;
use crate::status::json::NodePage;

/// Above this a fee is worth a word.
const FEE_USUAL_MAX: f64 = 10.0;
/// Below this, on the main network, every share is a flood.
const DIFFICULTY_USUAL_MIN: f64 = 256.0;

#[derive(Debug, Serialize)]
pub struct Frame {
    brand: String,
    /// In the document's title: the domain, else the brand.
    title: String,
    tagline: String,
    location: String,
    operator_name: String,
    operator_contact: String,
    network: &'static str,
    version: &'static str,
    built: &'static str,
    /// Port numbers, or whole addresses where there are none.
    ports: Vec<PortLine>,
    github_url: String,
    discord_url: String,
    donation_address: String,
    has_json: bool,
    warnings: Vec<Warning>,
    price: Option<PriceLine>,
    /// RFC 3339, and as people read it.
    as_of: String,
    as_of_utc: String,
}

/// What one bitcoin costs; the filter `fiat` reads it from here.
#[derive(Debug, Serialize)]
struct PriceLine {
    value: f64,
    /// In upper case.
    currency: String,
    /// RFC 3339.
    at: String,
}

#[derive(Debug, Serialize)]
struct PortLine {
    tls: bool,
    port: String,
}

#[derive(Debug, Serialize)]
struct Warning {
    title: &'static str,
    text: String,
}

impl Frame {
    pub fn new(snapshot: &Snapshot) -> Self {
        let shown: &Shown = &snapshot.shown;
        let brand = if shown.brand_name.is_empty() { "Solo Pool" } else { &shown.brand_name };
        let title = if shown.domain.is_empty() { brand } else { &shown.domain };
        Self {
            brand: brand.to_owned(),
            title: title.to_owned(),
            tagline: shown.tagline.clone(),
            location: shown.location.clone(),
            operator_name: shown.operator_name.clone(),
            operator_contact: shown.operator_contact.clone(),
            network: snapshot.network,
            version: snapshot.version,
            built: crate::build::TIME,
            ports: ports(snapshot),
            github_url: shown.github_url.clone(),
            discord_url: shown.discord_url.clone(),
            donation_address: shown.donation_address.clone(),
            has_json: shown.has_json,
            warnings: warnings(snapshot),
            price: snapshot.price.as_ref().map(|price| PriceLine {
                value: price.value,
                currency: price.currency.to_uppercase(),
                at: format::rfc3339(price.at),
            }),
            as_of: format::rfc3339(snapshot.built_at),
            as_of_utc: format::utc(snapshot.built_at),
        }
    }
}

fn ports(snapshot: &Snapshot) -> Vec<PortLine> {
    let lines = snapshot.stratum_listeners.iter().map(|listener| {
        let port = listener.address.rsplit_once(':').map_or(&*listener.address, |(_, port)| port);
        PortLine { tls: listener.tls, port: port.to_owned() }
    });
    lines.collect()
}

fn warnings(snapshot: &Snapshot) -> Vec<Warning> {
    let shown = &snapshot.shown;
    let mut warnings = Vec::new();
    let mut warn = |condition: bool, title, text: String| {
        if condition {
            warnings.push(Warning { title, text });
        }
    };
    if let Health::Degraded(reason) = Health::of(snapshot) {
        let text = format!(
            "The pool has had no fresh work from its Bitcoin node for a while ({reason}). Miners \
             may be asked to wait; they reconnect by themselves."
        );
        warn(true, "Node updates are late", text);
    }
    let fee = snapshot.pool_fee_percent;
    let text = format!("{} of each block goes to the pool.", format::percent(fee));
    warn(fee > FEE_USUAL_MAX, "This pool's fee is unusually high", text);
    let is_open = shown.connections_max == 0 && shown.accepts.is_none();
    let text = "Nothing limits how many connections it takes, or how fast.";
    warn(is_open, "This pool is not protected against floods", text.to_owned());
    let is_main = snapshot.network == "mainnet";
    let lowest = shown.difficulty_min;
    let text = format!("Miners may work at difficulty {}.", format::difficulty(lowest));
    warn(is_main && lowest < DIFFICULTY_USUAL_MIN, "The lowest difficulty is very low", text);
    let text = format!("Blocks found here are on {} and worth nothing.", snapshot.network);
    warn(!is_main, "This is a test network", text);
    let node = NodePage::new(snapshot);
    let text = "Its chain does not begin with the block that this network's chain begins with.";
    let is_other = !node.genesis_hash.is_empty() && !node.genesis_match;
    warn(is_other, "The node is on another chain", text.to_owned());
    warnings
}
