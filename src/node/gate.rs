//! What passes from the node to control: templates that are sound, one at a time, and never an older
//! one after a newer (`mining.md` §3).
//!
//! A template for the tip that miners work on already is verified as a whole before it passes: what
//! they have is good, and nothing is lost by a few milliseconds. On a new tip every miner works for
//! nothing until it is told, and a full template's transactions take longer to hash than all the
//! rest together. So it passes when everything else about it is right, and is verified as soon as
//! the job is out. That costs nothing when the node is sound: a block that is found meanwhile has
//! the transactions as the node delivered them. When a transaction is not what the node calls it,
//! the work is withdrawn, and after that nothing passes unverified until something has been right.

use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Sender, bounded};
use serde_json::json;
use tracing::debug;

use gopool_shards::sha256d::Hash;
use gopool_shards::work::header::{display_hex, hash_from_display_hex};
use gopool_shards::work::template::Template;

use super::event::{NodeEvent, Work};
use super::receive::Received;
use super::rpc::{NodeError, Rpc};
use super::template::{self, TemplateError};
use super::transactions::Known;

const CONFIRM_TIMEOUT: Duration = Duration::from_secs(5);
/// How long verifying waits for the job to be out: control has other things to do, but not so many.
const HAND_OUT_MAX: Duration = Duration::from_millis(100);
/// What the first miners are given before verifying begins. A block that they find waits as long.
const HEAD_START: Duration = Duration::from_millis(1);

pub(super) struct Gate {
    rpc: Arc<Rpc>,
    events: Sender<NodeEvent>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    known: Known,
    last: Option<Passed>,
    /// How many have passed.
    count: u64,
    /// The last template was withdrawn.
    is_distrustful: bool,
}

/// What is remembered of the last template that passed.
struct Passed {
    prev_hash: Hash,
    height: u64,
    curtime: u32,
}

/// How things were when a template was asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    /// How many templates had passed.
    after: u64,
    /// When the node had said that there is something new.
    told_at: Option<Instant>,
}

/// Why a template did not pass.
#[derive(Debug, thiserror::Error)]
pub(super) enum FeedError {
    #[error(transparent)]
    Node(#[from] NodeError),
    #[error(transparent)]
    Template(#[from] TemplateError),
    #[error("stale template: it builds on {found}, the newest block is {best}")]
    Stale { found: String, best: String },
}

impl Gate {
    pub(super) fn new(rpc: Arc<Rpc>, events: Sender<NodeEvent>) -> Self {
        Self { rpc, events, state: Mutex::default() }
    }

    /// The block that the last template builds on.
    pub(super) fn tip(&self) -> Option<Hash> {
        self.lock().last.as_ref().map(|last| last.prev_hash)
    }

    pub(super) fn asked(&self, told_at: Option<Instant>) -> Asked {
        Asked { after: self.lock().count, told_at }
    }

    /// Checks a template, which came in `answer`, and hands it on, unless something newer has passed
    /// already.
    pub(super) fn pass(
        &self,
        received: Received,
        answer: &[u8],
        asked: Asked,
    ) -> Result<(), FeedError> {
        let mut state = self.lock();
        let Received { began_at, ended_at, .. } = received;
        let known_since = asked.told_at.unwrap_or(began_at);
        let (template, unread) = template::check(&received.raw, received.transactions?)?;
        if let Some(last) = &state.last {
            let is_overtaken = state.count != asked.after;
            if last.prev_hash == template.prev_hash {
                if is_overtaken && template.curtime < last.curtime {
                    return Ok(());
                }
            } else if template.height <= last.height {
                // Not simply the next block: a reorganisation, or an answer that is late.
                match self.confirm_tip(&template) {
                    Err(FeedError::Stale { .. }) if is_overtaken => return Ok(()),
                    confirmed => confirmed?,
                }
            }
        }
        let is_new_tip =
            state.last.as_ref().is_some_and(|last| last.prev_hash != template.prev_hash);
        if is_new_tip && !state.is_distrustful {
            // All of it that is large is shared.
            let copy = template.clone();
            let (unverified, handed_out) = bounded(1);
            self.send(template, known_since, Some(unverified));
            let _ = handed_out.recv_timeout(HAND_OUT_MAX);
            // Shards that have been woken may share this core, and would wait for a whole time slice.
            thread::sleep(HEAD_START);
            debug!(
                component = "feed",
                until_head_ms = milliseconds(began_at - known_since),
                until_read_ms = milliseconds(ended_at - known_since),
                until_out_ms = milliseconds(known_since.elapsed()),
                "work on a new tip is out"
            );
            if let Err(error) = unread.verify(&copy, answer, &state.known) {
                state.is_distrustful = true;
                let _ = self.events.send(NodeEvent::Withdrawn(error.to_string()));
                return Err(error.into());
            }
            state.remember(&copy);
            let _ = self.events.send(NodeEvent::Verified);
        } else {
            unread.verify(&template, answer, &state.known)?;
            state.remember(&template);
            self.send(template, known_since, None);
        }
        Ok(())
    }

    fn send(&self, template: Template, known_since: Instant, unverified: Option<Sender<()>>) {
        let work = Work { template: Box::new(template), known_since, unverified };
        let _ = self.events.send(NodeEvent::Template(work));
    }

    fn confirm_tip(&self, template: &Template) -> Result<(), FeedError> {
        let best: String = self.rpc.call_once("getbestblockhash", &json!([]), CONFIRM_TIMEOUT)?;
        if hash_from_display_hex(&best) == Some(template.prev_hash) {
            return Ok(());
        }
        Err(FeedError::Stale { found: display_hex(&template.prev_hash), best })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no code panics while it holds this")
    }
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

impl State {
    /// A verified template has passed.
    fn remember(&mut self, template: &Template) {
        self.known = Known::of(template);
        self.is_distrustful = false;
        self.count += 1;
        self.last = Some(Passed {
            prev_hash: template.prev_hash,
            height: template.height,
            curtime: template.curtime,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::cookie::Auth;
    use super::super::receive::Turns;
    use super::*;
    use crossbeam_channel::{Receiver, unbounded};

    const TXID: &str = "99296a9c40f5e307530147cc99133f35ae866b280d362d7c487bfd30ea1d72d8";
    const DATA: &str = "010000000111111111111111111111111111111111111111111111111111111111111111110000000000ffffffff01e803000000000000015100000000";
    /// To no transaction, and to that one.
    const COMMITMENTS: [&str; 2] = [
        "6a24aa21a9ede2f61c3f71d1defd3fa999dfa36953755c690689799962b48bebd836974e8cf9",
        "6a24aa21a9edb63ced83fcd96f2307b3220a12ca09af11877120172cc9cb0eee6c77ac052b80",
    ];

    fn answer(height: u64, prev_hash: &str, transactions: &str, commitment: &str) -> String {
        let prev_hash = prev_hash.repeat(64);
        format!(
            r#"{{"result":{{"version":536870912,"previousblockhash":"{prev_hash}","transactions":[{transactions}],"coinbaseaux":{{}},"coinbasevalue":5000000000,"longpollid":"x","mintime":1600000000,"curtime":1700000000,"bits":"207fffff","height":{height},"default_witness_commitment":"{commitment}"}},"error":null,"id":1}}"#
        )
    }

    fn transaction(data: &str) -> String {
        format!(r#"{{"data":"{data}","txid":"{TXID}","hash":"{TXID}","depends":[]}}"#)
    }

    struct Scene {
        gate: Gate,
        turns: Turns,
        events: Receiver<NodeEvent>,
    }

    impl Scene {
        /// A pool whose miners work at height 1.
        fn new() -> Self {
            let (sender, events) = unbounded();
            // Nobody is asked anything.
            let rpc = Rpc::new("http://127.0.0.1:1", Auth::None);
            let gate = Gate::new(Arc::new(rpc), sender);
            let scene = Self { gate, turns: Turns::default(), events };
            scene.pass(&answer(1, "1", "", COMMITMENTS[0])).unwrap();
            assert!(matches!(scene.next(), NodeEvent::Template(Work { unverified: None, .. })));
            scene
        }

        fn pass(&self, answer: &str) -> Result<(), FeedError> {
            let mut turn = self.turns.take();
            let received = turn.read(&mut answer.as_bytes(), 1).unwrap();
            self.gate.pass(received, turn.answer(), self.gate.asked(None))
        }

        fn next(&self) -> NodeEvent {
            self.events.try_recv().expect("an event")
        }
    }

    #[test]
    fn on_a_new_tip_work_goes_out_before_its_transactions_are_hashed() {
        let scene = Scene::new();
        scene.pass(&answer(2, "2", &transaction(DATA), COMMITMENTS[1])).unwrap();
        let NodeEvent::Template(Work { template, unverified, .. }) = scene.next() else {
            panic!("no template")
        };
        assert!(unverified.is_some());
        assert_eq!(template.transactions.list()[0].data, const_hex::decode(DATA).unwrap());
        assert!(matches!(scene.next(), NodeEvent::Verified));
        // The same tip once more: nobody is in a hurry.
        scene.pass(&answer(2, "2", "", COMMITMENTS[0])).unwrap();
        assert!(matches!(scene.next(), NodeEvent::Template(Work { unverified: None, .. })));
    }

    #[test]
    fn work_that_is_not_what_it_was_called_is_withdrawn_and_trust_with_it() {
        for (transactions, commitment) in [
            (transaction(&DATA.replace("e803", "e903")), COMMITMENTS[1]),
            (transaction("no hex"), COMMITMENTS[1]),
            (transaction(DATA), COMMITMENTS[0]),
        ] {
            let scene = Scene::new();
            let bad = answer(2, "2", &transactions, commitment);
            scene.pass(&bad).unwrap_err();
            let NodeEvent::Template(Work { template, .. }) = scene.next() else {
                panic!("no template")
            };
            assert!(matches!(scene.next(), NodeEvent::Withdrawn(_)));
            // Nobody waits for ever for what is not there.
            template.transactions.list();
            // The next time it is looked at first, and does not go out.
            scene.pass(&bad).unwrap_err();
            assert!(scene.events.is_empty());
            scene.pass(&answer(2, "2", &transaction(DATA), COMMITMENTS[1])).unwrap();
            assert!(matches!(scene.next(), NodeEvent::Template(Work { unverified: None, .. })));
            scene.pass(&answer(3, "3", "", COMMITMENTS[0])).unwrap();
            assert!(matches!(scene.next(), NodeEvent::Template(Work { unverified: Some(_), .. })));
        }
    }

    #[test]
    fn what_is_wrong_without_any_hashing_never_goes_out() {
        let scene = Scene::new();
        let bad_id = transaction(DATA).replace(TXID, "00");
        for bad in [
            answer(2, "2", "", ""),
            answer(0, "2", "", COMMITMENTS[0]),
            answer(2, "2", &bad_id, COMMITMENTS[1]),
        ] {
            scene.pass(&bad).unwrap_err();
            assert!(scene.events.is_empty());
        }
    }
}
