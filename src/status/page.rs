//! HTML pages, rendered here so that they are complete without JavaScript. The templates are in
//! `web/`; the figures are those of `/api/server`, named by their path in it, so `web/app.js` can
//! refresh each one in place.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use minijinja::value::Value;
use minijinja::{Environment, Error, ErrorKind, Output, State, context};
use serde::Serialize;

use super::api::Server;
use super::assets::Assets;
use super::format;
use super::health::Health;
use super::http::Status;
use crate::privacy;
use crate::snapshot::{Snapshot, StratumListener, WorkerFigures};

/// Rows of the workers table: the ones with the most work. More would make every page heavy.
const WORKERS_MAX: usize = 100;
/// Stands for the pool's host name in a rendered page until a request tells it.
pub const HOST_PLACEHOLDER: &str = "@HOST@";
/// A listener on all addresses has no name of its own.
const EVERY_ADDRESS: [&str; 4] = ["", "0.0.0.0", "[::]", "::"];

pub struct Pages(Environment<'static>);

/// Pages in the binary, by the names under which an operator may put others in their place.
const EMBEDDED: [(&str, &str); 3] = [
    ("layout.html", include_str!("../../web/layout.html")),
    ("overview.html", include_str!("../../web/overview.html")),
    ("error.html", include_str!("../../web/error.html")),
];

/// Why an operator's pages are not used.
#[derive(Debug, thiserror::Error)]
pub enum PagesError {
    #[error("cannot read {name}: {source}")]
    Unreadable { name: &'static str, source: io::Error },
    #[error("{name} cannot be used: {source}")]
    Unusable { name: &'static str, source: Error },
}

impl Pages {
    pub fn embedded(assets: &Assets) -> Self {
        Self::parse(assets, EMBEDDED.map(|(name, source)| (name, source.to_owned())))
            .expect("embedded templates parse, as tests see")
    }

    /// Those of `folder`, and those of the binary where it has none.
    pub fn load(assets: &Assets, folder: &Path) -> Result<Self, PagesError> {
        let mut sources = EMBEDDED.map(|(name, source)| (name, source.to_owned()));
        for (name, source) in &mut sources {
            match fs::read_to_string(folder.join(*name)) {
                Ok(text) => *source = text,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(source) => return Err(PagesError::Unreadable { name, source }),
            }
        }
        Self::parse(assets, sources)
    }

    fn parse(
        assets: &Assets,
        sources: [(&'static str, String); EMBEDDED.len()],
    ) -> Result<Self, PagesError> {
        let mut templates = Environment::new();
        for (name, text) in sources {
            templates
                .add_template_owned(name, text)
                .map_err(|source| PagesError::Unusable { name, source })?;
        }
        for (name, path) in [("css_url", "/static/app.css"), ("js_url", "/static/app.js")] {
            templates.add_global(name, assets.find(path).expect("an embedded file").url());
        }
        templates.set_formatter(write_escaped);
        templates.add_function("figure", figure);
        templates.add_function("age", age);
        templates.add_filter("integer", format::integer);
        templates.add_filter("difficulty", format::difficulty);
        templates.add_filter("coins", |sats| format::bitcoin(sats).replace(" BTC", ""));
        Ok(Self(templates))
    }

    pub fn overview(&self, snapshot: &Snapshot, server: &Server) -> Result<String, Error> {
        let mut workers: Vec<&WorkerFigures> = snapshot.workers.iter().collect();
        workers.sort_by(|a, b| b.accepted_difficulty.total_cmp(&a.accepted_difficulty));
        let rows: Vec<WorkerRow> =
            workers.iter().take(WORKERS_MAX).map(|worker| WorkerRow::new(worker)).collect();
        let addresses: Vec<String> = snapshot.stratum_listeners.iter().map(address).collect();
        self.0.get_template("overview.html")?.render(context! {
            brand => brand_name(snapshot),
            tagline => snapshot.brand.tagline,
            network => snapshot.network,
            version => snapshot.version,
            notice => Notice::new(snapshot),
            addresses,
            fee => format::percent(snapshot.pool_fee_percent),
            workers_left_out => snapshot.workers_connected.saturating_sub(rows.len() as u64),
            workers => rows,
            as_of => format::rfc3339(snapshot.built_at),
            as_of_utc => format::utc(snapshot.built_at),
            server,
        })
    }

    /// Says what is not there, in the frame of every other page.
    pub fn error(&self, snapshot: &Snapshot, status: Status, path: &str) -> Result<String, Error> {
        self.0.get_template("error.html")?.render(context! {
            brand => brand_name(snapshot),
            tagline => snapshot.brand.tagline,
            network => snapshot.network,
            version => snapshot.version,
            code => status.code(),
            reason => status.reason(),
            path,
        })
    }
}

#[derive(Serialize)]
struct WorkerRow {
    name: String,
    connections: u64,
    difficulty: f64,
    accepted: u64,
    rejected: u64,
    best_difficulty: f64,
    last_share_at: Option<String>,
}

impl WorkerRow {
    fn new(worker: &WorkerFigures) -> Self {
        Self {
            name: privacy::worker_name(&worker.name),
            connections: worker.connections,
            difficulty: worker.difficulty,
            accepted: worker.accepted,
            rejected: worker.rejected,
            best_difficulty: worker.best_difficulty,
            last_share_at: worker.last_share_at.map(format::rfc3339),
        }
    }
}

/// Stands above the figures when the pool cannot do its work.
#[derive(Serialize)]
struct Notice {
    is_error: bool,
    title: &'static str,
    text: &'static str,
    reason: Option<&'static str>,
}

impl Notice {
    fn new(snapshot: &Snapshot) -> Option<Self> {
        match Health::of(snapshot) {
            Health::Good => None,
            Health::Starting => Some(Self {
                is_error: false,
                title: "Waiting for the node",
                text: "The pool is running and asks its Bitcoin node for work. Miners can connect \
                       as soon as the first block template is here.",
                reason: None,
            }),
            Health::Degraded(reason) => Some(Self {
                is_error: true,
                title: "No fresh work from the node",
                text: "Miners: your rigs can stay configured as they are, they reconnect by \
                       themselves. Operator: check that the node is running, synced, and reachable \
                       over RPC and ZMQ.",
                reason: Some(reason),
            }),
        }
    }
}

/// Escapes everything that is not markup of ours. minijinja's own escaping writes `/` as an entity,
/// which no HTML needs and which makes every address in a page hard to read.
fn write_escaped(out: &mut Output<'_>, _: &State<'_, '_>, value: &Value) -> Result<(), Error> {
    if value.is_undefined() {
        return Ok(());
    }
    let text = value.to_string();
    if value.is_safe() {
        return out.write_str(&text).map_err(Error::from);
    }
    for c in text.chars() {
        match c {
            '&' => out.write_str("&amp;")?,
            '<' => out.write_str("&lt;")?,
            '>' => out.write_str("&gt;")?,
            '"' => out.write_str("&quot;")?,
            '\'' => out.write_str("&#39;")?,
            c => out.write_char(c)?,
        }
    }
    Ok(())
}

fn brand_name(snapshot: &Snapshot) -> &str {
    if snapshot.brand.name.is_empty() { "Solo Pool" } else { &snapshot.brand.name }
}

/// What a miner enters for the listener `host:port`.
fn address(listener: &StratumListener) -> String {
    let (host, port) = listener.address.rsplit_once(':').unwrap_or((&listener.address, ""));
    let host = if EVERY_ADDRESS.contains(&host) { HOST_PLACEHOLDER } else { host };
    let scheme = if listener.tls { "stratum+ssl" } else { "stratum+tcp" };
    format!("{scheme}://{host}:{port}")
}

/// `figure("shares.hashrate", "hashrate")`: the figure at this path of `/api/server`, formatted,
/// with the attributes by which `web/app.js` finds it again.
fn figure(state: &State<'_, '_>, path: &str, kind: &str) -> Result<Value, Error> {
    let mut value = state.lookup("server").unwrap_or_default();
    for key in path.split('.') {
        value = value.get_attr(key)?;
    }
    let html = if kind == "age" {
        let age = value.as_str().map_or_else(String::new, |time| age_text(state, time));
        format!(
            "<time data-figure=\"{path}\" data-format=\"age\" datetime=\"{}\">{}</time>",
            value.as_str().unwrap_or_default(),
            if age.is_empty() { format::NOTHING } else { &age },
        )
    } else {
        let text = if value.is_undefined() || value.is_none() {
            format::NOTHING.to_owned()
        } else {
            figure_text(&value, kind)?
        };
        format!("<span data-figure=\"{path}\" data-format=\"{kind}\">{text}</span>")
    };
    Ok(Value::from_safe_string(html))
}

/// The kinds here are the ones of `web/app.js`. Every result is free of HTML.
fn figure_text(value: &Value, kind: &str) -> Result<String, Error> {
    let float = || f64::try_from(value.clone());
    let whole = || u64::try_from(value.clone());
    Ok(match kind {
        "integer" => format::integer(whole()?),
        "hashrate" => format::hashrate(float()?),
        "rate" => format::rate(float()?),
        "difficulty" => format::difficulty(float()?),
        "bitcoin" => format::bitcoin(whole()?),
        "percent" => format::percent(float()?),
        "bytes" => format::bytes(whole()?),
        "latency" => format::latency(float()?),
        "load" => format!("{:.2}", float()?),
        "uptime" => format::uptime(Duration::from_nanos(whole()?)),
        "online" => if value.is_true() { "online" } else { "offline" }.to_owned(),
        "sum" => {
            let mut sum = 0_u64;
            for key in value.try_iter()? {
                sum = sum.saturating_add(u64::try_from(value.get_item(&key)?)?);
            }
            format::integer(sum)
        }
        _ => return Err(Error::new(ErrorKind::InvalidOperation, "no such kind of figure")),
    })
}

/// `age(worker.last_share_at)`: how long ago that was when the page was made; a dash for never.
fn age(state: &State<'_, '_>, time: Option<String>) -> Value {
    Value::from_safe_string(match time {
        Some(time) => format!("<time datetime=\"{time}\">{}</time>", age_text(state, &time)),
        None => format::NOTHING.to_owned(),
    })
}

fn age_text(state: &State<'_, '_>, time: &str) -> String {
    let parse = |text: &str| text.parse::<jiff::Timestamp>().ok().map(SystemTime::from);
    let now = state.lookup("as_of").and_then(|now| now.as_str().and_then(parse));
    match (parse(time), now) {
        (Some(then), Some(now)) => format::ago(then, now),
        _ => format::NOTHING.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::sample;

    fn overview(snapshot: &Snapshot) -> String {
        let pages = Pages::embedded(&Assets::new());
        pages.overview(snapshot, &Server::new(snapshot)).unwrap()
    }

    #[test]
    fn the_overview_is_complete_without_javascript() {
        let html = overview(&sample::busy());
        for text in [
            "1.39 PH/s",
            "1,284,402",
            "358",
            "934,217",
            "934,218",
            "3.14782110 BTC",
            "135.5T",
            "2.00%",
            "bc1qw508...7kv8f3t4.garage",
            "3d 4h 5m",
            "stratum+tcp://@HOST@:3333",
            "stratum+ssl://pool.example:3334",
            "Your own block, or nothing",
            "12 s ago",
        ] {
            assert!(html.contains(text), "{text}");
        }
        assert!(!html.contains("Waiting for the node"));
    }

    #[test]
    fn before_the_first_job_the_page_says_what_it_waits_for() {
        let html = overview(&sample::empty());
        assert!(html.contains("Waiting for the node"));
        assert!(!html.contains("stratum+tcp://"));
        let mut snapshot = sample::empty();
        snapshot.uptime = Duration::from_secs(3600);
        assert!(overview(&snapshot).contains("no job template available"));
    }

    #[test]
    fn nothing_private_and_no_foreign_markup_gets_into_a_page() {
        let mut snapshot = sample::busy();
        snapshot.brand.name = "<script>alert(1)</script>".to_owned();
        let html = overview(&snapshot);
        for text in ["<script>alert", "<b>", "hunter2", "10.0.0.7", &*snapshot.workers[0].name] {
            assert!(!html.contains(text), "{text}");
        }
        let pages = Pages::embedded(&Assets::new());
        let html = pages.error(&snapshot, Status::NotFound, "/<script>alert(2)").unwrap();
        assert!(html.contains("404") && !html.contains("<script>alert"));
    }

    #[test]
    fn pages_hold_no_inline_script_or_style() {
        let html = overview(&sample::busy());
        assert!(!html.contains("style=") && !html.contains("<style"));
        assert!(!html.contains("onclick") && !html.contains("javascript:"));
        assert_eq!(html.matches("<script").count(), html.matches("<script src=").count());
    }

    #[test]
    fn the_workers_table_is_bounded_and_starts_with_the_most_work() {
        let mut snapshot = sample::busy();
        let worker = snapshot.workers[0].clone();
        snapshot.workers = (0..250)
            .map(|n| WorkerFigures {
                name: format!("rig-{n}").into(),
                accepted_difficulty: f64::from(n),
                ..worker.clone()
            })
            .collect();
        snapshot.workers_connected = 250;
        let html = overview(&snapshot);
        assert!(html.contains(">rig-249<") && html.contains(">rig-150<"));
        assert!(!html.contains(">rig-149<") && html.contains("150 more"));
    }

    #[test]
    fn the_script_knows_every_kind_of_figure_the_page_uses() {
        let script = include_str!("../../web/app.js");
        let html = overview(&sample::busy());
        for part in html.split("data-format=\"").skip(1) {
            let kind = part.split('"').next().unwrap();
            assert!(script.contains(&format!("  {kind}: ")), "{kind}");
        }
    }

    #[test]
    fn every_figure_of_the_page_exists_in_the_json() {
        let html = overview(&sample::busy());
        for part in html.split("data-figure=\"").skip(1) {
            let (path, rest) = part.split_once('"').unwrap();
            assert!(!rest.split('<').next().unwrap().contains(format::NOTHING), "{path}");
        }
    }

    #[test]
    fn wildcard_listeners_take_the_name_the_browser_used() {
        let plain = |text: &str| address(&StratumListener { address: text.into(), tls: false });
        assert_eq!(plain("[::]:3333"), "stratum+tcp://@HOST@:3333");
        assert_eq!(plain(":3333"), "stratum+tcp://@HOST@:3333");
        assert_eq!(plain("10.1.2.3:3333"), "stratum+tcp://10.1.2.3:3333");
        assert_eq!(plain("[2001:db8::1]:3333"), "stratum+tcp://[2001:db8::1]:3333");
    }
}
