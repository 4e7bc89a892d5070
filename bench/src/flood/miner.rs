//! One connection: how far its handshake is, what it works on, what it waits for.

use super::transport::Transport;
use super::wire::{Dialect, SubmitLine, share_id, share_number};

/// Shares that the pool takes for one notify; then it gives another.
pub const SHARES_PER_JOB_MAX: u32 = 1 << 14;
/// Makes nonces of consecutive numbers look like those of a miner; being odd, it makes no two alike.
const NONCE_STEP: u32 = 0x9e37_79b1;

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It is not there yet.
    Connecting,
    /// It has said what it wants and waits for its first work.
    Greeting,
    /// It can submit.
    Ready,
    Ended,
}

/// One miner's connection.
#[derive(Debug)]
pub struct Miner {
    /// Its place in the fleet.
    pub index: usize,
    pub stage: Stage,
    pub(super) transport: Option<Transport>,
    pub worker: String,
    pub extranonce1: String,
    pub extranonce2_bytes: usize,
    pub(super) is_authorized: bool,
    /// Of the newest notify.
    pub(super) job: String,
    pub(super) ntime: String,
    pub(super) line: SubmitLine,
    /// The newest notify itself, when it is kept.
    pub notify: Vec<u8>,
    /// The start of a line whose end has not come.
    pub(super) partial: Vec<u8>,
    /// Numbers of shares, from 0: the next, and how many have been answered.
    next: u64,
    answered: u64,
    /// Shares of the newest job.
    pub(super) job_shares: u32,
    /// When the shares that wait for an answer were sent, by their number; as many as may wait.
    sent_at: Box<[u64]>,
    /// For whoever plays: when the next share is due, or something else.
    pub due_at: u64,
}

/// How many shares may wait for an answer at a time.
pub const IN_FLIGHT_MAX: usize = 1024;

impl Miner {
    pub(super) fn new(index: usize, worker: String, in_flight: usize) -> Self {
        Self {
            index,
            stage: Stage::Ended,
            transport: None,
            worker,
            extranonce1: String::new(),
            extranonce2_bytes: 0,
            is_authorized: false,
            job: String::new(),
            ntime: String::new(),
            line: SubmitLine::default(),
            notify: Vec::new(),
            partial: Vec::new(),
            next: 0,
            answered: 0,
            job_shares: 0,
            sent_at: vec![0; in_flight.clamp(1, IN_FLIGHT_MAX).next_power_of_two()].into(),
            due_at: 0,
        }
    }

    /// A new connection of the same miner. Its shares stay different from the earlier ones.
    pub(super) fn begin(&mut self, transport: Transport) {
        self.stage = Stage::Connecting;
        self.transport = Some(transport);
        self.is_authorized = false;
        self.partial = Vec::new();
        self.answered = self.next;
        self.job.clear();
    }

    pub fn in_flight(&self) -> usize {
        (self.next - self.answered) as usize
    }

    /// The id of the next share.
    pub fn next_id(&self) -> u64 {
        share_id(self.next)
    }

    /// Shares that have been sent in all.
    pub fn shares(&self) -> u64 {
        self.next
    }

    /// Takes new work up.
    pub(super) fn work_on(&mut self, job: &str, ntime: &str, dialect: Dialect) {
        self.job.clear();
        self.job.push_str(job);
        self.ntime.clear();
        self.ntime.push_str(ntime);
        self.job_shares = 0;
        self.line = SubmitLine::new(dialect, &self.worker, job, self.extranonce2_bytes, ntime);
    }

    /// Appends the next share, no two of which are alike: each has an extranonce2 of its own, as
    /// those of a machine that is through with 2^32 nonces in no time.
    #[inline]
    pub(super) fn write_share(&mut self, out: &mut Vec<u8>, now: u64) {
        let number = self.next;
        self.next += 1;
        self.job_shares += 1;
        let mask = self.sent_at.len() - 1;
        self.sent_at[number as usize & mask] = now;
        let extranonce2 = number as u32;
        let nonce = extranonce2.wrapping_mul(NONCE_STEP);
        self.line.write(out, share_id(number), extranonce2, nonce);
    }

    /// How many more shares may be sent, when `wanted` may wait for an answer.
    #[inline]
    pub(super) fn room(&self, wanted: usize, per_job: u32) -> usize {
        let room = wanted.min(self.sent_at.len()).saturating_sub(self.in_flight());
        room.min((per_job - self.job_shares.min(per_job)) as usize)
    }

    /// When the share was sent that `id` answers. None when nothing of the kind was asked.
    #[inline]
    pub(super) fn settle(&mut self, id: u64) -> Option<u64> {
        // Answers come in the order of the questions, so this is nearly always the oldest.
        let number = if id == share_id(self.answered) && self.answered < self.next {
            self.answered
        } else {
            share_number(id, self.next).filter(|number| *number >= self.answered)?
        };
        self.answered += 1;
        Some(self.sent_at[number as usize & (self.sent_at.len() - 1)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ready(in_flight: usize) -> Miner {
        let mut miner = Miner::new(0, "w.r".into(), in_flight);
        miner.extranonce2_bytes = 4;
        miner.work_on("1-1", "66230000", Dialect::Compact);
        miner
    }

    #[test]
    fn shares_are_all_different_and_settled_once() {
        let mut miner = ready(4);
        let mut lines = std::collections::HashSet::new();
        for now in 0..1000 {
            let mut out = Vec::new();
            miner.write_share(&mut out, now);
            let start = memchr::memmem::find(&out, b"params").unwrap();
            assert!(lines.insert(out[start..].to_vec()), "share {now}");
            assert_eq!(miner.settle(share_id(now)), Some(now));
            assert_eq!(miner.settle(share_id(now)), None);
        }
    }

    #[test]
    fn room_is_what_may_wait_and_what_the_job_takes() {
        let mut miner = ready(4);
        assert_eq!(miner.room(4, SHARES_PER_JOB_MAX), 4);
        miner.write_share(&mut Vec::new(), 1);
        assert_eq!(miner.room(4, SHARES_PER_JOB_MAX), 3);
        assert_eq!(miner.room(4, 2), 1);
        miner.write_share(&mut Vec::new(), 2);
        assert_eq!(miner.room(4, 2), 0);
        assert_eq!(miner.room(1000, 2), 0);
        miner.work_on("2-1", "66230000", Dialect::Compact);
        assert_eq!(miner.room(4, 2), 2);
    }
}
