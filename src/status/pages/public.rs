//! The pages that are the same for everybody: rendered once for each snapshot.

use minijinja::{Error, context};
use serde::Serialize;

use super::chart::Chart;
use super::{Frame, Pages};
use crate::privacy;
use crate::shown::Shown;
use crate::snapshot::Snapshot;
use crate::status::api::Server;
use crate::status::format;
use crate::status::json::{NodePage, PoolHashrate, PoolPage, blocks};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    Overview,
    Pool,
    Blocks,
    Node,
    Server,
    About,
    Help,
    Privacy,
    Terms,
}

impl Page {
    pub const ALL: [Self; 9] = [
        Self::Overview,
        Self::Pool,
        Self::Blocks,
        Self::Node,
        Self::Server,
        Self::About,
        Self::Help,
        Self::Privacy,
        Self::Terms,
    ];

    /// Where it is; the last two are also where they once were.
    pub fn of_path(path: &str) -> Option<Self> {
        let path = match path {
            "/privacy.html" => "/privacy",
            "/terms.html" => "/terms",
            path => path,
        };
        Self::ALL.into_iter().find(|page| page.path() == path)
    }

    pub fn path(self) -> &'static str {
        match self {
            Self::Overview => "/",
            Self::Pool => "/pool",
            Self::Blocks => "/blocks",
            Self::Node => "/node",
            Self::Server => "/server",
            Self::About => "/about",
            Self::Help => "/help",
            Self::Privacy => "/privacy",
            Self::Terms => "/terms",
        }
    }

    fn template(self) -> &'static str {
        match self {
            Self::Overview => "overview.html",
            Self::Pool => "pool.html",
            Self::Blocks => "blocks.html",
            Self::Node => "node.html",
            Self::Server => "server.html",
            Self::About => "about.html",
            Self::Help => "help.html",
            Self::Privacy => "privacy.html",
            Self::Terms => "terms.html",
        }
    }
}

/// What public pages are made of, all of one snapshot.
pub struct Facts<'a> {
    pub snapshot: &'a Snapshot,
    pub frame: &'a Frame,
    pub server: &'a Server,
    /// With its history.
    pub hashrate: &'a PoolHashrate,
}

impl Pages {
    pub fn public(&self, page: Page, facts: &Facts<'_>) -> Result<String, Error> {
        let Facts { snapshot, server, .. } = *facts;
        let own = match page {
            Page::Overview => super::overview::context(facts),
            Page::Pool => context! {
                pool => PoolPage::new(snapshot),
                rules => Rules::new(snapshot),
                shares => &server.shares,
                connections => &server.connections,
                chart => facts.hashrate.ph24.as_ref().and_then(Chart::of),
            },
            Page::Blocks => context! { blocks => blocks::list(snapshot) },
            Page::Node => context! { node => NodePage::new(snapshot) },
            Page::Server => context! { server },
            Page::About | Page::Help | Page::Privacy | Page::Terms => context! {},
        };
        self.render(page.template(), facts.frame, context! { here => page.path(), ..own })
    }
}

/// What the pool is set to, for its page.
#[derive(Serialize)]
struct Rules<'a> {
    payout_address: String,
    fee: String,
    donation: Option<Donation<'a>>,
    /// As it begins in every coinbase.
    tag: &'a str,
    connections_max: usize,
    accepts_per_second: Option<f64>,
    accepts_at_once: Option<f64>,
    difficulty_min: f64,
    difficulty_max: f64,
    target: f64,
    keeps_suggested_difficulty: bool,
}

/// A part of the pool's fee that goes elsewhere.
#[derive(Serialize)]
pub struct Donation<'a> {
    percent: String,
    address: String,
    name: &'a str,
    url: &'a str,
}

impl<'a> Donation<'a> {
    pub fn new(shown: &'a Shown) -> Option<Self> {
        let donation = shown.operator_donation.as_ref()?;
        Some(Self {
            percent: format::percent(donation.percent),
            address: privacy::worker_name(&donation.address),
            name: &donation.name,
            url: &donation.url,
        })
    }
}

impl<'a> Rules<'a> {
    fn new(snapshot: &'a Snapshot) -> Self {
        let shown = &*snapshot.shown;
        Self {
            payout_address: privacy::worker_name(&shown.payout_address),
            fee: format!("{:.3}%", snapshot.pool_fee_percent),
            donation: Donation::new(shown),
            tag: &snapshot.pool_tag,
            connections_max: shown.connections_max,
            accepts_per_second: shown.accepts.map(|(per_second, _)| per_second),
            accepts_at_once: shown.accepts.map(|(_, burst)| burst),
            difficulty_min: shown.difficulty_min,
            difficulty_max: shown.difficulty_max,
            target: shown.target_shares_per_min,
            keeps_suggested_difficulty: shown.keeps_suggested_difficulty,
        }
    }
}
