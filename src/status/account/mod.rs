//! What signed-in people ask for and change: their saved workers, the history of these, their codes
//! (`web.md` §2.3, §3.9 to §3.14).

#[cfg(test)]
pub mod bench;
mod forms;
mod list;
mod routes;
#[cfg(test)]
mod tests;

use std::rc::Rc;
use std::sync::{Arc, Mutex};

pub use forms::Fields;
pub use list::SavedList;
pub use routes::find;
#[cfg(test)]
pub use routes::paths;

use super::StatusSwitch;
use super::auth::{Identify, LocalMode, Nobody};
use crate::codes::Codes;
use crate::history::HistoryReader;
use crate::ledger::RosterReader;
use crate::notices::discord::Links;
use crate::saved_workers::SavedWorkers;

/// What the status server is given to know people and their workers by.
pub struct PeoplePlan {
    pub saved: SavedWorkers,
    pub roster: RosterReader,
    pub history: HistoryReader,
    pub codes: Arc<Mutex<Codes>>,
    pub links: Links,
    /// Discord is configured.
    pub has_discord: bool,
    /// `-saved-workers-local-noauth`.
    pub is_local: bool,
}

/// What is known of people and their workers, for the status server.
#[derive(Clone)]
pub struct People {
    pub saved: SavedWorkers,
    pub roster: RosterReader,
    pub history: HistoryReader,
    pub codes: Arc<Mutex<Codes>>,
    pub links: Links,
    pub identify: Rc<dyn Identify>,
    /// Knows `status_public_url`, which may change while the pool runs.
    pub switch: Arc<StatusSwitch>,
    /// Codes are made for those who can use them.
    pub has_discord: bool,
    /// Nobody signs in or out.
    pub is_local: bool,
}

impl People {
    pub fn new(plan: PeoplePlan, switch: Arc<StatusSwitch>) -> Self {
        let identify: Rc<dyn Identify> =
            if plan.is_local { Rc::new(LocalMode) } else { Rc::new(Nobody) };
        Self {
            saved: plan.saved,
            roster: plan.roster,
            history: plan.history,
            codes: plan.codes,
            links: plan.links,
            identify,
            switch,
            has_discord: plan.has_discord,
            is_local: plan.is_local,
        }
    }
}
