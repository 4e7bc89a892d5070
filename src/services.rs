//! What stands around the pool, started and stopped together: who people are, copies of the database,
//! notices, and the price (`state-and-services.md` §12 to §14, §19.1). Each has threads of its own, and
//! none is started unless it is configured.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;

use crate::backup::{BackupPlan, Backups};
use crate::clerk::Clerk;
use crate::codes::Codes;
use crate::config::Config;
use crate::ledger::RosterReader;
use crate::notices::discord::{Discord, DiscordPlan, Links};
use crate::notices::{Notices, NoticesPlan, Timing};
use crate::outgoing::Outgoing;
use crate::price::Prices;
use crate::saved_workers::SavedWorkers;
use crate::store::{BlockLife, Reader, StoreHandle, UntoldBlock, WatchedRow};

/// How long a backup that is being made may take to its end.
const BACKUP_STOP_MAX: Duration = Duration::from_secs(5);
/// How long notices that wait may take to be told.
const NOTICES_STOP_MAX: Duration = Duration::from_secs(5);

/// What they work with.
pub struct ServicesPlan<'a> {
    pub config: &'a Config,
    /// The folder of the database.
    pub state: PathBuf,
    pub backup_on_boot: bool,
    pub store: StoreHandle,
    pub reader: Reader,
    pub saved: SavedWorkers,
    pub links: Links,
    pub codes: Arc<Mutex<Codes>>,
    pub roster: RosterReader,
    /// How workers were watched by the last run, and the blocks that are known.
    pub watched: Vec<WatchedRow>,
    pub blocks: &'a [BlockLife],
    /// And those that nobody has been told of.
    pub untold: Vec<UntoldBlock>,
}

/// All of them.
pub struct Services {
    /// For the pages alone; who holds Discord keeps the database open.
    pub clerk: Option<Arc<Clerk>>,
    pub discord: Option<Discord>,
    /// For the control loop alone.
    pub prices: Prices,
    pub running: Running,
}

/// Those that have something to end with.
pub struct Running {
    pub notices: Notices,
    pub backups: Backups,
}

impl Services {
    pub fn spawn(plan: ServicesPlan<'_>) -> io::Result<Self> {
        let ServicesPlan { config, store, reader, links, codes, .. } = plan;
        let outgoing = Outgoing::new(&config.outgoing);
        let clerk =
            config.clerk.clone().map(|it| Clerk::spawn(it, outgoing.clone())).transpose()?;
        let backup_plan = BackupPlan {
            state: plan.state,
            settings: config.backup.clone(),
            on_boot: plan.backup_on_boot,
            outgoing: outgoing.clone(),
        };
        let backups = Backups::spawn(backup_plan, reader, store.clone())?;
        let words = Arc::new(ArcSwap::from_pointee(config.notices.words.clone()));
        let of_discord = |settings| {
            let (outgoing, words) = (outgoing.clone(), Arc::clone(&words));
            let store = store.downgrade();
            Discord::spawn(DiscordPlan { settings, outgoing, links, codes, words, store })
        };
        let discord = config.notices.discord.clone().map(of_discord).transpose()?;
        let notices = Notices::spawn(NoticesPlan {
            settings: config.notices.clone(),
            words: Arc::clone(&words),
            timing: Timing::default(),
            outgoing: &outgoing,
            saved: plan.saved,
            roster: plan.roster,
            store,
            watched: plan.watched,
            blocks: plan.blocks,
            untold: plan.untold,
            listeners: discord.iter().map(Discord::listener).collect(),
            audience: Box::new(discord.clone()),
        })?;
        let prices = Prices::spawn(config.price.clone(), &outgoing, &config.fiat_currency)?;
        let running = Running { notices, backups };
        Ok(Self { clerk: clerk.map(Arc::new), discord, prices, running })
    }
}

impl Running {
    /// Nothing is found any more; how workers are watched is written down before the database closes.
    pub fn stop(self) {
        self.notices.stop(NOTICES_STOP_MAX);
        self.backups.stop(BACKUP_STOP_MAX);
    }
}
