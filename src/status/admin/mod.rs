//! The operator's panel at `/admin` (`web.md` §6): who may use it, what they see there, and what they
//! can do. Where it is off nothing tells it from a path that does not exist, and nobody who is not
//! signed in causes any work.
//!
//! ```text
//! routes → (is it on? → from our own page? → signed in? → made for this session?) → visit → pages
//! ```

mod accounts;
mod audit;
mod bans;
mod gate;
mod home;
mod list;
mod login;
mod logs;
mod miners;
mod notice;
mod operator;
mod routes;
mod settings;
mod strangers;
#[cfg(test)]
mod tests;
mod visit;

#[cfg(test)]
use std::cell::Cell;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use gopool_shards::admission::bans::Bans;
use tracing::{error, warn};

pub use audit::Audit;
pub use routes::answer;

use super::StatusSwitch;
use super::auth::{Backoff, Cookie, Sessions};
use crate::backup::BackupSettings;
use crate::clerk::Clerk;
use crate::codes::Codes;
use crate::command::Command;
use crate::config::{Paths, admin};
use crate::ledger::RosterReader;
use crate::live::LiveSettings;
use crate::log::tail::LogFiles;
use crate::notices::discord::{Discord, Links};
use crate::saved_workers::SavedWorkers;
use crate::sightings::Sightings;
use crate::store::Reader;
use gate::HashGate;

/// Whatever it is used for, a session ends after this.
const SESSION_MAX: Duration = Duration::from_secs(12 * 3600);
const COOKIE: Cookie = Cookie { name: "admin_session", path: "/admin" };

/// What the status server is given to let an operator in and do what they want.
pub struct AdminPlan {
    /// Where `admin.toml` is.
    pub paths: Paths,
    pub commands: Sender<Command>,
    pub live: Arc<LiveSettings>,
    pub logs: LogFiles,
    pub roster: RosterReader,
    pub bans: Arc<Bans>,
    pub saved: SavedWorkers,
    pub codes: Arc<Mutex<Codes>>,
    pub links: Links,
    /// None when it is not configured.
    pub discord: Option<Discord>,
    pub sightings: Sightings,
    /// Who signs people in, if anybody does.
    pub clerk: Option<Arc<Clerk>>,
    pub reader: Reader,
    pub backup: BackupSettings,
}

/// What the panel's pages have in common.
pub struct Admin {
    pub plan: AdminPlan,
    pub switch: Arc<StatusSwitch>,
    pub audit: Audit,
    pub sessions: RefCell<Sessions<Credentials>>,
    pub backoff: RefCell<Backoff>,
    hashing: HashGate,
    /// What was wrong with `admin.toml` when it was read last, so that it is said once.
    complaint: RefCell<Option<String>>,
    /// Tests live faster.
    #[cfg(test)]
    ahead: Cell<Duration>,
}

/// What somebody has signed in with: when it changes, they are signed out.
pub type Credentials = [u8; 32];

impl Admin {
    pub fn new(plan: AdminPlan, switch: Arc<StatusSwitch>) -> Rc<Self> {
        Rc::new(Self {
            plan,
            switch,
            audit: Audit::default(),
            sessions: RefCell::new(Sessions::new(COOKIE, SESSION_MAX)),
            backoff: RefCell::default(),
            hashing: HashGate::default(),
            complaint: RefCell::default(),
            #[cfg(test)]
            ahead: Cell::default(),
        })
    }

    /// The file as it is now; none when the panel is off, or cannot be said to be on.
    fn access(&self) -> Option<admin::Access> {
        let read = admin::read(&self.plan.paths);
        let complaint = read.as_ref().err().map(ToString::to_string);
        if let Some(error) =
            complaint.as_ref().filter(|it| Some(*it) != self.complaint.borrow().as_ref())
        {
            error!(component = "admin", %error, "admin.toml cannot be used, the panel is off");
        }
        *self.complaint.borrow_mut() = complaint;
        let access = read.ok()?;
        let with = access.is_enabled.then_some(access.fingerprint);
        let ended = self.sessions.borrow_mut().keep(|session| Some(*session) == with);
        if ended > 0 {
            warn!(
                component = "admin",
                ended, "sessions ended: the panel is off, or has other credentials"
            );
        }
        access.is_enabled.then_some(access)
    }

    #[cfg(not(test))]
    fn now(&self) -> Instant {
        Instant::now()
    }

    #[cfg(test)]
    fn now(&self) -> Instant {
        Instant::now() + self.ahead.get()
    }

    /// Wants something of the control loop; false when it has ended.
    pub fn command(&self, command: Command) -> bool {
        self.plan.commands.send(command).is_ok()
    }
}
