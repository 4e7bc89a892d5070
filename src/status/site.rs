//! What the routes share: the newest snapshot and everything rendered from it, once, as bytes.

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use tracing::{error, info};

use super::account::People;
use super::admin::Admin;
use super::api::Server;
use super::assets::Assets;
use super::events::Events;
use super::exposition::Format;
use super::http::{Body, fingerprint};
use super::json::PoolHashrate;
use super::json::{self, Endpoint, blocks};
use super::limits::Limiter;
use super::metrics;
use super::pages::{Facts, Frame, HOST_PLACEHOLDER, Page, Pages};
use crate::history::HistoryReader;
use crate::snapshot::{Snapshot, SnapshotCell};

pub struct Site {
    pub assets: Assets,
    /// `-no-json` takes it away.
    pub has_json: bool,
    pub openapi: Document,
    pub limiter: RefCell<Limiter>,
    pub events: Rc<Events>,
    /// None in tests of what is public.
    pub people: Option<People>,
    /// Only where somebody may be let in.
    pub admin: Option<Rc<Admin>>,
    pages: RefCell<Rc<Pages>>,
    templates: PathBuf,
    snapshots: SnapshotCell,
    history: HistoryReader,
    newest: RefCell<Option<Rc<Rendered>>>,
}

impl Site {
    /// `templates` is the folder of the operator's own pages; what is wrong with them is logged, and
    /// those of the binary are used.
    pub fn new(
        snapshots: SnapshotCell,
        history: HistoryReader,
        templates: PathBuf,
        has_json: bool,
        people: Option<People>,
    ) -> Self {
        let assets = Assets::new();
        let pages = Pages::load(&assets, &templates).unwrap_or_else(|error| {
            error!(component = "http", path = %templates.display(), %error, "pages not usable");
            Pages::embedded(&assets)
        });
        let pages = RefCell::new(Rc::new(pages));
        let events = Rc::new(Events::new(format!("{:x}", crate::clock::unix_now())));
        let (limiter, newest) = (RefCell::default(), RefCell::new(None));
        Self {
            assets,
            has_json,
            openapi: Document::fixed(json::OPENAPI),
            limiter,
            events,
            people,
            admin: None,
            pages,
            templates,
            snapshots,
            history,
            newest,
        }
    }

    pub fn with_admin(self, admin: Option<Rc<Admin>>) -> Self {
        Self { admin, ..self }
    }

    pub fn pages(&self) -> Rc<Pages> {
        Rc::clone(&self.pages.borrow())
    }

    /// Takes the pages as they are on disk now, or keeps those it has.
    pub fn reload(&self) {
        let path = self.templates.display();
        match Pages::load(&self.assets, &self.templates) {
            Ok(pages) => {
                *self.pages.borrow_mut() = Rc::new(pages);
                *self.newest.borrow_mut() = None;
                info!(component = "http", %path, "pages reloaded");
            }
            Err(error) => {
                error!(component = "http", %path, %error, "pages not reloaded, the old ones stay");
            }
        }
    }

    /// The newest snapshot with what was rendered from it so far. Holding the snapshot keeps its
    /// address from being used again, so comparing addresses is enough to see a new one.
    pub fn newest(&self) -> Rc<Rendered> {
        let snapshot = self.snapshots.load();
        let mut newest = self.newest.borrow_mut();
        match &*newest {
            Some(rendered) if Arc::ptr_eq(&rendered.snapshot, &snapshot) => Rc::clone(rendered),
            _ => {
                let rendered = Rendered::new(snapshot, self.history.clone());
                Rc::clone(newest.insert(Rc::new(rendered)))
            }
        }
    }
}

/// Rendered text and its validator.
#[derive(Clone)]
pub struct Document {
    pub body: Body,
    pub etag: String,
}

impl Document {
    fn fixed(text: &'static str) -> Self {
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
    fn new(snapshot: Arc<Snapshot>, history: HistoryReader) -> Self {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::sample;

    #[test]
    fn everything_is_rendered_once_per_snapshot() {
        let cell = SnapshotCell::new(sample::empty());
        let site = Site::new(cell.clone(), sample::history(), PathBuf::new(), true, None);
        let first = site.newest();
        assert!(Rc::ptr_eq(&first, &site.newest()));
        let bytes = |document: Document| document.body.as_bytes().as_ptr();
        for endpoint in [Endpoint::Server, Endpoint::Overview, Endpoint::PoolHashrateHistory] {
            let json = || bytes(first.json(endpoint).unwrap());
            assert_eq!(json(), json());
        }
        assert_eq!(bytes(first.blocks(10).unwrap()), bytes(first.blocks(100).unwrap()));
        assert_eq!(
            bytes(first.page(&site.pages(), Page::Overview, "a").unwrap()),
            bytes(first.page(&site.pages(), Page::Overview, "a").unwrap())
        );
        cell.store(sample::busy());
        assert!(!Rc::ptr_eq(&first, &site.newest()));
        let etag = |rendered: &Rendered| rendered.json(Endpoint::Server).unwrap().etag;
        assert_ne!(etag(&first), etag(&site.newest()));
    }

    #[test]
    fn blocks_are_cut_by_the_limit_and_kept_for_each() {
        let mut snapshot = sample::busy();
        let block = snapshot.blocks[0].clone();
        snapshot.blocks = vec![block; 120];
        let site =
            Site::new(SnapshotCell::new(snapshot), sample::history(), PathBuf::new(), true, None);
        let rendered = site.newest();
        for limit in (1..200).chain(1..200) {
            let document = rendered.blocks(limit).unwrap();
            let list: Vec<serde_json::Value> =
                serde_json::from_slice(document.body.as_bytes()).unwrap();
            assert_eq!(list.len(), limit.min(100));
        }
        assert_eq!(rendered.blocks_of_limit.borrow().len(), 100);
    }
}
