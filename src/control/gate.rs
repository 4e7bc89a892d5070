//! Whether miners would get fresh work, and when to let them go because they do not
//! (`mining.md` §2.8, `stratum.md` §1.5). Pure: facts and a time in, a verdict out.

use std::time::Duration;

use gopool_shards::work::address::Network;

use crate::node::feed::HEARTBEAT;

/// Nothing is done about a node in the first minutes of a process.
const STARTUP_GRACE: Duration = Duration::from_secs(300);
/// How long the trouble must last before miners are let go, and how old the last success may be
/// while errors come.
const PATIENCE: Duration = Duration::from_secs(300);
/// What the node said of itself is worth nothing after this.
pub(super) const SYNC_AGE_MAX: Duration =
    HEARTBEAT.saturating_mul(2).saturating_add(Duration::from_secs(5));
/// A feed that has been silent for this long is an error although no call has failed.
const SILENCE_MAX: Duration = HEARTBEAT.saturating_mul(3);

/// What the verdict is about. Ages are as of now.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    pub(super) network: Network,
    pub(super) has_job: bool,
    pub(super) feed_error: Option<String>,
    pub(super) since_success: Option<Duration>,
    pub(super) sync: Option<Sync>,
}

/// What `getblockchaininfo` said, and how long ago.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sync {
    pub(super) age: Duration,
    pub(super) is_initial_download: bool,
    pub(super) blocks: u64,
    pub(super) headers: u64,
}

/// Why miners would not get fresh work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unhealthy {
    pub(super) reason: &'static str,
    pub(super) detail: String,
}

/// The verdict; first match wins.
pub(super) fn judge(facts: &Facts) -> Result<(), Unhealthy> {
    let unhealthy = |reason, detail: String| Err(Unhealthy { reason, detail });
    let silent = facts.since_success.is_some_and(|age| age >= SILENCE_MAX);
    let silence = || silent.then(|| "the node has not answered for three heartbeats".to_owned());
    let error = facts.feed_error.clone().or_else(silence);
    match (facts.has_job, error) {
        (false, Some(error)) => return unhealthy("node/job feed error", error),
        (false, None) => return unhealthy("no job template available", String::new()),
        (true, Some(error)) => {
            let is_old = facts.since_success.is_none_or(|age| age >= PATIENCE);
            return if is_old { unhealthy("node/job feed error", error) } else { Ok(()) };
        }
        (true, None) => {}
    }
    let Some(sync) = facts.sync.filter(|sync| sync.age <= SYNC_AGE_MAX) else {
        return Ok(());
    };
    // A chain of one's own reports initial download until its tip is recent, and works.
    let is_test_chain = matches!(facts.network, Network::Regtest | Network::Signet);
    let downloads = sync.is_initial_download && !is_test_chain;
    if downloads || (sync.headers > 0 && sync.blocks < sync.headers) {
        let Sync { is_initial_download: ibd, blocks, headers, .. } = sync;
        let detail = format!("node syncing: ibd={ibd} blocks={blocks} headers={headers}");
        return unhealthy("node syncing/indexing", detail);
    }
    Ok(())
}

/// Opens and shuts on verdicts over time.
#[derive(Debug, Default)]
pub(super) struct Gate {
    unhealthy_since: Option<Duration>,
    is_shut: bool,
}

/// What to do with the miners.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    Shut(Unhealthy),
    Open,
}

impl Gate {
    /// Takes a verdict, `uptime` after the start; returns what changes, if anything does.
    pub(super) fn turn(
        &mut self,
        verdict: Result<(), Unhealthy>,
        uptime: Duration,
    ) -> Option<Turn> {
        let Err(unhealthy) = verdict else {
            self.unhealthy_since = None;
            return std::mem::take(&mut self.is_shut).then_some(Turn::Open);
        };
        let since = *self.unhealthy_since.get_or_insert(uptime);
        if self.is_shut || uptime < STARTUP_GRACE || uptime - since < PATIENCE {
            return None;
        }
        self.is_shut = true;
        Some(Turn::Shut(unhealthy))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn facts() -> Facts {
        Facts {
            network: Network::Mainnet,
            has_job: true,
            feed_error: None,
            since_success: Some(SECOND),
            sync: None,
        }
    }

    #[track_caller]
    fn check(facts: &Facts, reason: Option<&str>) {
        assert_eq!(judge(facts).err().map(|unhealthy| unhealthy.reason), reason, "{facts:?}");
    }

    #[test]
    fn the_table_of_the_specification_holds() {
        check(&facts(), None);
        check(&Facts { has_job: false, ..facts() }, Some("no job template available"));
        let error = Some("refused".to_owned());
        let failing = Facts { feed_error: error, ..facts() };
        check(&Facts { has_job: false, ..failing.clone() }, Some("node/job feed error"));
        check(&failing, None);
        check(&Facts { since_success: Some(299 * SECOND), ..failing.clone() }, None);
        let old = Some(300 * SECOND);
        check(&Facts { since_success: old, ..failing }, Some("node/job feed error"));
        // No call has failed, and yet nothing comes.
        check(&Facts { since_success: old, ..facts() }, Some("node/job feed error"));
        check(&Facts { since_success: Some(100 * SECOND), ..facts() }, None);
    }

    #[test]
    fn a_node_that_syncs_is_no_use_except_on_a_chain_of_ones_own() {
        let sync = Sync { age: SECOND, is_initial_download: true, blocks: 5, headers: 5 };
        let syncing = Facts { sync: Some(sync), ..facts() };
        check(&syncing, Some("node syncing/indexing"));
        check(&Facts { network: Network::Regtest, ..syncing.clone() }, None);
        let behind = Sync { is_initial_download: false, headers: 6, ..sync };
        check(&Facts { sync: Some(behind), ..facts() }, Some("node syncing/indexing"));
        let old = Sync { age: 66 * SECOND, ..sync };
        check(&Facts { sync: Some(old), ..facts() }, None);
        assert_eq!(
            judge(&syncing).unwrap_err().detail,
            "node syncing: ibd=true blocks=5 headers=5"
        );
    }

    #[test]
    fn the_gate_shuts_after_five_minutes_of_trouble_once_and_opens_at_once() {
        let trouble = || Err(Unhealthy { reason: "x", detail: String::new() });
        let mut gate = Gate::default();
        for second in 0..599 {
            let start = 300;
            let verdict = if second < start { Ok(()) } else { trouble() };
            assert_eq!(gate.turn(verdict, second * SECOND), None, "{second}");
        }
        assert!(matches!(gate.turn(trouble(), 600 * SECOND), Some(Turn::Shut(_))));
        assert_eq!(gate.turn(trouble(), 700 * SECOND), None, "once");
        assert_eq!(gate.turn(Ok(()), 701 * SECOND), Some(Turn::Open));
        assert_eq!(gate.turn(Ok(()), 702 * SECOND), None);
        // A moment of health starts the count again.
        assert_eq!(gate.turn(trouble(), 703 * SECOND), None);
        assert_eq!(gate.turn(Ok(()), 1002 * SECOND), None);
        assert_eq!(gate.turn(trouble(), 1003 * SECOND), None);
        assert_eq!(gate.turn(trouble(), 1302 * SECOND), None);
        assert!(matches!(gate.turn(trouble(), 1303 * SECOND), Some(Turn::Shut(_))));
    }

    #[test]
    fn nothing_is_done_in_the_first_minutes() {
        let trouble = || Err(Unhealthy { reason: "x", detail: String::new() });
        let mut gate = Gate::default();
        for second in 0..300 {
            assert_eq!(gate.turn(trouble(), second * SECOND), None);
        }
        assert!(matches!(gate.turn(trouble(), 300 * SECOND), Some(Turn::Shut(_))));
    }
}
