//! What is made of a snapshot: JSON, metrics and public pages once, as bytes, and pages for one person
//! with the same frame around them.

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use minijinja::context;
use minijinja::value::Value;
use tracing::error;

use super::api::Server;
use super::exposition::Format;
use super::http::{Body, Response, Status, fingerprint};
use super::json::{Endpoint, PoolHashrate, blocks};
use super::metrics;
use super::pages::{Facts, Frame, HOST_PLACEHOLDER, Page, Pages};
use crate::history::HistoryReader;
use crate::snapshot::Snapshot;

pub const HTML: &str = "text/html; charset=utf-8";

/// Rendered text and its validator.
#[derive(Clone)]
pub struct Document {
    pub body: Body,
    pub etag: String,
}

impl Document {
    pub fn fixed(text: &'static str) -> Self {
        let etag = format!("\"{}\"", fingerprint(text.as_bytes()));
        Self { body: Body::Static(text.as_bytes()), etag }
    }
}

impl From<String> for Document {
    fn from(text: String) -> Self {
        Self { etag: format!("\"{}\"", fingerprint(text.as_bytes())), body: text.into() }
    }
}

/// One snapshot; each form is rendered when it is first asked for.
pub struct Rendered {
    pub snapshot: Arc<Snapshot>,
    server: Server,
    history: HistoryReader,
    json: [OnceCell<Option<Document>>; Endpoint::COUNT],
    /// Each found block as JSON.
    blocks: OnceCell<Option<Vec<String>>>,
    /// By their number: at most a hundred.
    blocks_of_limit: RefCell<BTreeMap<usize, Document>>,
    text: OnceCell<Document>,
    open_metrics: OnceCell<Document>,
    frame: OnceCell<Frame>,
    /// With its history.
    hashrate: OnceCell<PoolHashrate>,
    pages: [PageCell; Page::ALL.len()],
}

/// A page of one snapshot.
#[derive(Default)]
struct PageCell {
    /// With a placeholder for the pool's host name, which only a request can tell.
    text: OnceCell<Option<String>>,
    /// Finished for the host asked for last: nearly always the only one.
    of_host: RefCell<Option<(String, Document)>>,
}

impl Rendered {
    pub fn new(snapshot: Arc<Snapshot>, history: HistoryReader) -> Self {
        Self {
            server: Server::new(&snapshot),
            snapshot,
            history,
            json: Default::default(),
            blocks: OnceCell::new(),
            blocks_of_limit: RefCell::default(),
            text: OnceCell::new(),
            open_metrics: OnceCell::new(),
            frame: OnceCell::new(),
            hashrate: OnceCell::new(),
            pages: Default::default(),
        }
    }

    /// None when it could not be rendered, which is logged once per snapshot.
    pub fn json(&self, endpoint: Endpoint) -> Option<Document> {
        let json = self.json[endpoint as usize].get_or_init(|| {
            let text = endpoint.render(&self.snapshot, &self.server, &self.history);
            rendered(endpoint.path(), text).map(Document::from)
        });
        json.clone()
    }

    /// The newest blocks, so many at most; none as for `json`.
    pub fn blocks(&self, limit: usize) -> Option<Document> {
        let all = self.blocks.get_or_init(|| {
            let blocks = blocks::list(&self.snapshot);
            let texts: serde_json::Result<_> = blocks.iter().map(serde_json::to_string).collect();
            rendered("/api/blocks", texts)
        });
        let shown = all.as_ref()?;
        let shown = &shown[..limit.min(shown.len())];
        let mut of_limit = self.blocks_of_limit.borrow_mut();
        let document = of_limit
            .entry(shown.len())
            .or_insert_with(|| Document::from(format!("[{}]", shown.join(","))));
        Some(document.clone())
    }

    pub fn metrics(&self, format: Format) -> Document {
        let document = match format {
            Format::Text => &self.text,
            Format::OpenMetrics => &self.open_metrics,
        };
        document.get_or_init(|| metrics::render(&self.server, format).into()).clone()
    }

    /// What all pages have around them.
    pub fn frame(&self) -> &Frame {
        self.frame.get_or_init(|| Frame::new(&self.snapshot))
    }

    /// A page as seen by a browser that calls the pool `host`; none as for `json`.
    pub fn page(&self, pages: &Pages, page: Page, host: &str) -> Option<Document> {
        let cell = &self.pages[page as usize];
        let text = cell.text.get_or_init(|| {
            let hashrate = self.hashrate.get_or_init(|| {
                PoolHashrate::new(&self.snapshot).with_history(&self.snapshot, &self.history)
            });
            let (snapshot, server) = (&*self.snapshot, &self.server);
            let facts = Facts { snapshot, frame: self.frame(), server, hashrate };
            match pages.public(page, &facts) {
                Ok(text) => Some(text),
                Err(error) => {
                    error!(component = "status", path = page.path(), ?error, "page not rendered");
                    None
                }
            }
        });
        let text = text.as_ref()?;
        let mut last = cell.of_host.borrow_mut();
        match &*last {
            Some((this, document)) if this == host => Some(document.clone()),
            _ => {
                let document = Document::from(text.replace(HOST_PLACEHOLDER, host));
                Some(last.insert((host.to_owned(), document)).1.clone())
            }
        }
    }
}

fn rendered<T>(path: &'static str, result: serde_json::Result<T>) -> Option<T> {
    if let Err(error) = &result {
        error!(component = "status", path, %error, "json not rendered");
    }
    result.ok()
}

/// What a page is made on: the templates, and the snapshot whose frame goes around it. Whoever answers
/// later keeps it.
#[derive(Clone)]
pub struct Paper {
    pub pages: Rc<Pages>,
    pub newest: Rc<Rendered>,
}

impl Paper {
    pub fn snapshot(&self) -> &Snapshot {
        &self.newest.snapshot
    }

    /// A page for one person, which nobody keeps.
    pub fn page(&self, status: Status, template: &str, page: Value) -> Response {
        match self.pages.render(template, self.newest.frame(), page) {
            Ok(html) => Response::new(status, HTML, html).with("Cache-Control", "no-store"),
            Err(error) => {
                error!(component = "status", template, ?error, "page not rendered");
                Response::plain(status)
            }
        }
    }

    /// Says what is not there or went wrong; `detail` takes the place of our own words for it.
    pub fn error(&self, status: Status, path: &str, reason: &str, detail: &str) -> Response {
        self.page(status, "error.html", context! { code => status.code(), reason, path, detail })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::sample;

    #[test]
    fn blocks_are_cut_by_the_limit_and_kept_for_each() {
        let mut snapshot = sample::busy();
        let block = snapshot.blocks[0].clone();
        snapshot.blocks = vec![block; 120];
        let rendered = Rendered::new(Arc::new(snapshot), sample::history());
        for limit in (1..200).chain(1..200) {
            let document = rendered.blocks(limit).unwrap();
            let list: Vec<serde_json::Value> =
                serde_json::from_slice(document.body.as_bytes()).unwrap();
            assert_eq!(list.len(), limit.min(100));
        }
        assert_eq!(rendered.blocks_of_limit.borrow().len(), 100);
    }
}
