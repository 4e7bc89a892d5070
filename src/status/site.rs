//! What the routes share: the newest snapshot and everything rendered from it, once, as bytes.

use std::cell::{OnceCell, RefCell};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use tracing::{error, info};

use super::account::People;
use super::api::Server;
use super::assets::Assets;
use super::events::Events;
use super::exposition::Format;
use super::http::{Body, fingerprint};
use super::limits::Limiter;
use super::metrics;
use super::page::{self, Pages};
use crate::snapshot::{Snapshot, SnapshotCell};

pub struct Site {
    pub assets: Assets,
    /// `-no-json` takes it away.
    pub has_json: bool,
    pub limiter: RefCell<Limiter>,
    pub events: Rc<Events>,
    /// None in tests of what is public.
    pub people: Option<People>,
    pages: RefCell<Rc<Pages>>,
    templates: PathBuf,
    snapshots: SnapshotCell,
    newest: RefCell<Option<Rc<Rendered>>>,
}

impl Site {
    /// `templates` is the folder of the operator's own pages; what is wrong with them is logged, and
    /// those of the binary are used.
    pub fn new(
        snapshots: SnapshotCell,
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
        Self { assets, has_json, limiter, events, people, pages, templates, snapshots, newest }
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
            _ => Rc::clone(newest.insert(Rc::new(Rendered::new(snapshot)))),
        }
    }
}

/// Rendered text and its validator.
#[derive(Clone)]
pub struct Document {
    pub body: Body,
    pub etag: String,
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
    json: OnceCell<Option<Document>>,
    text: OnceCell<Document>,
    open_metrics: OnceCell<Document>,
    /// With a placeholder for the pool's host name, which only a request can tell.
    overview: OnceCell<Option<String>>,
    /// Finished for the host asked for last: nearly always the only one.
    overview_of_host: RefCell<Option<(String, Document)>>,
}

impl Rendered {
    fn new(snapshot: Arc<Snapshot>) -> Self {
        Self {
            server: Server::new(&snapshot),
            snapshot,
            json: OnceCell::new(),
            text: OnceCell::new(),
            open_metrics: OnceCell::new(),
            overview: OnceCell::new(),
            overview_of_host: RefCell::new(None),
        }
    }

    /// None when it could not be rendered, which is logged once per snapshot.
    pub fn json(&self) -> Option<Document> {
        let json = self.json.get_or_init(|| match serde_json::to_string(&self.server) {
            Ok(text) => Some(text.into()),
            Err(error) => {
                error!(component = "status", path = "/api/server", %error, "json not rendered");
                None
            }
        });
        json.clone()
    }

    pub fn metrics(&self, format: Format) -> Document {
        let document = match format {
            Format::Text => &self.text,
            Format::OpenMetrics => &self.open_metrics,
        };
        document.get_or_init(|| metrics::render(&self.server, format).into()).clone()
    }

    /// The overview as seen by a browser that calls the pool `host`; none as for `json`.
    pub fn overview(&self, pages: &Pages, host: &str) -> Option<Document> {
        let template =
            self.overview.get_or_init(|| match pages.overview(&self.snapshot, &self.server) {
                Ok(text) => Some(text),
                Err(error) => {
                    error!(component = "status", path = "/", %error, "page not rendered");
                    None
                }
            });
        let template = template.as_ref()?;
        let mut last = self.overview_of_host.borrow_mut();
        match &*last {
            Some((this, document)) if this == host => Some(document.clone()),
            _ => {
                let document = Document::from(template.replace(page::HOST_PLACEHOLDER, host));
                Some(last.insert((host.to_owned(), document)).1.clone())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::sample;

    #[test]
    fn everything_is_rendered_once_per_snapshot() {
        let cell = SnapshotCell::new(sample::empty());
        let site = Site::new(cell.clone(), PathBuf::new(), true, None);
        let first = site.newest();
        assert!(Rc::ptr_eq(&first, &site.newest()));
        let bytes = |document: Document| document.body.as_bytes().as_ptr();
        assert_eq!(bytes(first.json().unwrap()), bytes(first.json().unwrap()));
        assert_eq!(
            bytes(first.overview(&site.pages(), "a").unwrap()),
            bytes(first.overview(&site.pages(), "a").unwrap())
        );
        cell.store(sample::busy());
        assert!(!Rc::ptr_eq(&first, &site.newest()));
        assert_ne!(first.json().unwrap().etag, site.newest().json().unwrap().etag);
    }
}
