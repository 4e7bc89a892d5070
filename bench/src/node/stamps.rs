//! What happened when, in nanoseconds of the clock that the load client reads too.

use std::sync::Mutex;

/// Entries kept of each kind; the oldest go first.
const KEPT_MAX: usize = 10_000;

/// A new tip, told over ZMQ.
#[derive(Clone, Copy, Debug)]
pub struct Tip {
    pub tip: u64,
    /// Right before the message was handed to ZMQ.
    pub told_at: u64,
}

/// A template that was asked for.
#[derive(Clone, Copy, Debug)]
pub struct TemplateAnswer {
    /// The tip it builds on.
    pub tip: u64,
    pub is_long_poll: bool,
    /// The request's last byte had come.
    pub asked_at: u64,
    /// The answer's last byte had been written.
    pub answered_at: u64,
}

/// A block that was handed in.
#[derive(Clone, Debug)]
pub struct Submitted {
    /// The request's first byte had come.
    pub first_byte_at: u64,
    pub last_byte_at: u64,
    pub hash_hex: String,
    /// None for a good block.
    pub refused: Option<&'static str>,
}

/// All of it, in the order in which it happened.
#[derive(Debug, Default)]
pub struct Stamps(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    tips: Vec<Tip>,
    answers: Vec<TemplateAnswer>,
    submitted: Vec<Submitted>,
}

impl Stamps {
    pub(super) fn tip(&self, tip: Tip) {
        push(&mut self.kept().tips, tip);
    }

    pub(super) fn answer(&self, answer: TemplateAnswer) {
        push(&mut self.kept().answers, answer);
    }

    pub(super) fn submitted(&self, submitted: Submitted) {
        push(&mut self.kept().submitted, submitted);
    }

    /// The first template that was given for a tip, by whichever way.
    pub fn first_answer(&self, tip: u64) -> Option<TemplateAnswer> {
        let kept = self.kept();
        let of_tip = kept.answers.iter().filter(|answer| answer.tip == tip);
        of_tip.min_by_key(|answer| answer.answered_at).copied()
    }

    pub fn told_at(&self, tip: u64) -> Option<u64> {
        self.kept().tips.iter().find(|entry| entry.tip == tip).map(|entry| entry.told_at)
    }

    pub fn all_submitted(&self) -> Vec<Submitted> {
        self.kept().submitted.clone()
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.0.lock().expect("no code panics while it holds this")
    }
}

fn push<T>(list: &mut Vec<T>, entry: T) {
    if list.len() >= KEPT_MAX {
        list.drain(..KEPT_MAX / 2);
    }
    list.push(entry);
}
