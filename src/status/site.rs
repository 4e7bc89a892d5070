//! What the routes share: files, templates, and the newest snapshot with what was rendered from it.

use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use tracing::{error, info};

use super::admin::Admin;
use super::assets::Assets;
use super::events::Events;
use super::json;
use super::limits::Limiter;
use super::pages::Pages;
use super::rendered::{Document, Paper, Rendered};
use super::workers::Workers;
use crate::history::HistoryReader;
use crate::snapshot::SnapshotCell;

pub struct Site {
    pub assets: Assets,
    /// `-no-json` takes it away.
    pub has_json: bool,
    pub openapi: Document,
    pub limiter: RefCell<Limiter>,
    pub events: Rc<Events>,
    /// None in tests of what is public.
    pub workers: Option<Workers>,
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
        workers: Option<Workers>,
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
            workers,
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

    pub fn paper(&self) -> Paper {
        Paper { pages: self.pages(), newest: self.newest() }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::json::Endpoint;
    use crate::status::pages::Page;
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
}
