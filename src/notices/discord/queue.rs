//! What waits to be said on Discord (`state-and-services.md` §13.8, with FIX-39). Pure: the caller
//! brings the time, sends what [`Queue::next`] gives and tells by [`Queue::done`] what came of it.
//!
//! | what waits           | bound                   | when it is full                            |
//! |----------------------|-------------------------|--------------------------------------------|
//! | found blocks         | as many as were found   | never: sent before all else, and kept      |
//! | notices, user lines  | [`MESSAGES_MAX`]        | the line is dropped, counted, and told of  |
//! | who was told of late | those with a link       |                                            |

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use super::message::{Line, Message};
use super::words;

/// Besides those about blocks.
const MESSAGES_MAX: usize = 3;
/// From one message to the next.
const SEND_INTERVAL: Duration = Duration::from_secs(10);
/// A message that nobody takes is given up after so many.
const TRIES_MAX: u32 = 10;
/// A found block is kept, whatever Discord says to it, and tried again after this: somebody may have
/// to invite the bot once more.
const REFUSED_BLOCK_WAIT: Duration = Duration::from_secs(600);
/// How far apart notices of dropped lines are.
const DROP_NOTICE_INTERVAL: Duration = Duration::from_secs(60);
/// People who are told within this are told at once, as far as the guard is concerned: two passes
/// over all workers.
const BURST_WINDOW: Duration = Duration::from_secs(60);
/// So many people may always be told at once.
const BURST_USERS: usize = 100;
/// How long nobody is told of workers after a burst: the warm-up after a reset.
const BURST_REST: Duration = Duration::from_secs(300);

/// A message to be sent now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Post {
    pub number: u64,
    pub text: String,
    pub users: Vec<String>,
    pub is_everyone: bool,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Sent,
    /// Such a message is never taken.
    Malformed,
    /// We may not send there.
    Forbidden,
    /// It may be taken later, after a wait if Discord has asked for one.
    Later(Option<Duration>),
}

/// Too many people were to be told at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Burst {
    pub affected: usize,
    pub limit: usize,
}

/// Counted since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueFigures {
    pub waiting: usize,
    pub sent: u64,
    /// Lines, not messages.
    pub dropped: u64,
    pub bursts: u64,
}

#[derive(Debug, Default)]
pub struct Queue {
    blocks: VecDeque<Waiting>,
    others: VecDeque<Waiting>,
    last_number: u64,
    /// The next message leaves then, or later.
    next_at: Option<Instant>,
    /// Who was to be told of workers lately, by their numbers on Discord.
    affected: HashMap<String, Instant>,
    resting_until: Option<Instant>,
    /// Not told yet.
    dropped: u64,
    dropped_told_at: Option<Instant>,
    figures: QueueFigures,
}

#[derive(Debug)]
struct Waiting {
    number: u64,
    message: Message,
    tries: u32,
    not_before: Option<Instant>,
    /// Without a link and without calling anybody: as it was, Discord would not have it.
    is_plain: bool,
    is_last_try: bool,
    /// Hashes of the blocks that everybody is told of by it.
    blocks: Vec<String>,
}

impl Waiting {
    fn is_due(&self, now: Instant) -> bool {
        self.not_before.is_none_or(|at| at <= now)
    }

    /// As it is sent now.
    fn post(&mut self, link: &str) -> Post {
        self.tries += 1;
        Post {
            number: self.number,
            text: self.message.text_with_link(if self.is_plain { "" } else { link }),
            users: if self.is_plain { Vec::new() } else { self.message.users() },
            is_everyone: self.message.is_everyone,
        }
    }
}

impl Queue {
    pub fn notice(&mut self, text: String) {
        self.add(Line::Notice(text));
    }

    /// Tells somebody of their workers, unless too many people are told at once: then whatever waits
    /// is forgotten, and nobody is told for a while. `linked` is how many people could be told.
    pub fn user(
        &mut self,
        discord_user_id: String,
        text: String,
        linked: usize,
        now: Instant,
    ) -> Result<(), Burst> {
        if self.resting_until.is_some_and(|until| now < until) {
            return Ok(());
        }
        self.affected.retain(|_, at| now.saturating_duration_since(*at) < BURST_WINDOW);
        self.affected.insert(discord_user_id.clone(), now);
        // Counted before there is room or not (FIX-39).
        let limit = BURST_USERS.max(linked.div_ceil(10));
        let affected = self.affected.len();
        if affected > limit {
            self.reset();
            self.resting_until = Some(now + BURST_REST);
            self.figures.bursts += 1;
            return Err(Burst { affected, limit });
        }
        self.add(Line::User(discord_user_id, text));
        Ok(())
    }

    /// Tells everybody of a found block, and those who want to hear of the worker themselves. Everybody
    /// is called once, however many messages it takes.
    pub fn block(&mut self, hash: &str, text: String, own: &str, discord_user_ids: &[String]) {
        let notice = Line::Notice(text);
        if !add_to_last(&mut self.blocks, &notice, true) {
            let waiting = self.waiting(Message::of(notice, true));
            self.blocks.push_back(waiting);
        }
        self.blocks.back_mut().expect("it is there").blocks.push(hash.to_owned());
        for id in discord_user_ids {
            let line = Line::User(id.clone(), own.to_owned());
            if ![true, false].iter().any(|all| add_to_last(&mut self.blocks, &line, *all)) {
                let waiting = self.waiting(Message::of(line, false));
                self.blocks.push_back(waiting);
            }
        }
    }

    /// Forgets everything but found blocks.
    pub fn reset(&mut self) {
        self.others.clear();
        self.affected.clear();
        self.dropped = 0;
        self.dropped_told_at = None;
    }

    /// The pool stops: each found block has one more try, whatever was before, and nothing else has.
    pub fn next_of_last(&mut self, link: &str) -> Option<Post> {
        self.others.clear();
        let block = self.blocks.iter_mut().find(|block| !block.is_last_try)?;
        block.is_last_try = true;
        Some(block.post(link))
    }

    /// What is said of found blocks that nobody has been told of. Messages that only call more people by
    /// name are not among them.
    pub fn untold_blocks(&self) -> impl Iterator<Item = String> {
        let untold = self.blocks.iter().filter(|waiting| !waiting.blocks.is_empty());
        untold.map(|waiting| waiting.message.text_with_link(""))
    }

    /// The message to send now, if there is one. `link` is put below it.
    pub fn next(&mut self, link: &str, now: Instant) -> Option<Post> {
        if self.next_at.is_some_and(|at| now < at) {
            return None;
        }
        // One that is refused keeps none behind it from being told.
        let block = self.blocks.iter_mut().find(|block| block.is_due(now));
        let waiting = block.or_else(|| self.others.front_mut())?;
        self.next_at = Some(now + SEND_INTERVAL);
        Some(waiting.post(link))
    }

    /// How long it is until [`Self::next`] has something; none while nothing waits.
    pub fn wait(&self, now: Instant) -> Option<Duration> {
        let not_before = |waiting: &Waiting| waiting.not_before.unwrap_or(now);
        let block = self.blocks.iter().map(not_before).min();
        let other = self.others.front().map(not_before);
        let ready = block.into_iter().chain(other).min()?;
        let at = self.next_at.map_or(ready, |next| next.max(ready));
        Some(at.saturating_duration_since(now))
    }

    /// What came of a message; `tag` is what the notice of dropped lines begins with. Hashes of the blocks
    /// that everybody has been told of by it.
    pub fn done(&mut self, number: u64, outcome: Outcome, tag: &str, now: Instant) -> Vec<String> {
        let mut told = Vec::new();
        if let Outcome::Later(Some(wait)) = outcome {
            self.next_at = self.next_at.max(Some(now + wait));
        }
        if outcome == Outcome::Sent {
            self.figures.sent += 1;
        }
        let is_it = |waiting: &Waiting| waiting.number == number;
        if let Some(block) = self.blocks.iter_mut().find(|waiting| is_it(waiting)) {
            match outcome {
                Outcome::Sent => {
                    told = std::mem::take(&mut block.blocks);
                    self.blocks.retain(|it| !is_it(it));
                }
                Outcome::Malformed if !block.is_plain => block.is_plain = true,
                Outcome::Malformed | Outcome::Forbidden => {
                    block.not_before = Some(now + REFUSED_BLOCK_WAIT);
                }
                Outcome::Later(_) => {}
            }
        } else if let Some(other) = self.others.iter().find(|waiting| is_it(waiting)) {
            let is_given_up = match outcome {
                Outcome::Sent => false,
                Outcome::Malformed | Outcome::Forbidden => true,
                Outcome::Later(_) => other.tries >= TRIES_MAX,
            };
            if is_given_up {
                self.dropped += other.message.line_count();
                self.figures.dropped += other.message.line_count();
            }
            if is_given_up || outcome == Outcome::Sent {
                self.others.retain(|it| !is_it(it));
            }
        }
        if outcome == Outcome::Sent {
            self.tell_of_dropped(tag, now);
        }
        told
    }

    pub fn figures(&self) -> QueueFigures {
        QueueFigures { waiting: self.blocks.len() + self.others.len(), ..self.figures }
    }

    fn add(&mut self, line: Line) {
        if add_to_last(&mut self.others, &line, false) {
            return;
        }
        if self.others.len() < MESSAGES_MAX {
            let waiting = self.waiting(Message::of(line, false));
            self.others.push_back(waiting);
        } else {
            self.dropped += 1;
            self.figures.dropped += 1;
        }
    }

    fn waiting(&mut self, message: Message) -> Waiting {
        self.last_number += 1;
        Waiting {
            number: self.last_number,
            message,
            tries: 0,
            not_before: None,
            is_plain: false,
            is_last_try: false,
            blocks: Vec::new(),
        }
    }

    fn tell_of_dropped(&mut self, tag: &str, now: Instant) {
        let is_due = self
            .dropped_told_at
            .is_none_or(|at| now.saturating_duration_since(at) >= DROP_NOTICE_INTERVAL);
        if self.dropped == 0 || !is_due || self.others.len() >= MESSAGES_MAX {
            return;
        }
        let lines = std::mem::take(&mut self.dropped);
        self.dropped_told_at = Some(now);
        self.notice(words::tagged(tag, &words::dropped(lines)));
    }
}

/// Whether a line had room in the last message. What has left once stays as it is: Discord may have
/// it already, and takes a message only once.
fn add_to_last(messages: &mut VecDeque<Waiting>, line: &Line, is_everyone: bool) -> bool {
    let last = messages.back_mut();
    let Some(last) = last.filter(|it| it.tries == 0 && it.message.is_everyone == is_everyone)
    else {
        return false;
    };
    let more = last.message.with(line);
    let has_room = more.is_some();
    if let Some(more) = more {
        last.message = more;
    }
    has_room
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A queue, and the time that passes.
    struct Bench {
        queue: Queue,
        now: Instant,
    }

    impl Bench {
        fn new() -> Self {
            Self { queue: Queue::default(), now: Instant::now() }
        }

        fn pass(&mut self, seconds: u64) {
            self.now += Duration::from_secs(seconds);
        }

        fn user(&mut self, id: usize, bytes: usize) -> Result<(), Burst> {
            self.queue.user(id.to_string(), "x".repeat(bytes), 0, self.now)
        }

        /// Sends the next one with this outcome, when it is time.
        fn send(&mut self, outcome: Outcome) -> Option<String> {
            let wait = self.queue.wait(self.now)?;
            self.now += wait;
            let post = self.queue.next("", self.now).expect("it is time");
            self.queue.done(post.number, outcome, "t", self.now);
            Some(post.text)
        }

        fn notice(&mut self, text: &str) {
            self.queue.notice(text.to_owned());
        }
    }

    #[test]
    fn one_message_leaves_in_ten_seconds_with_all_that_fits() {
        let mut bench = Bench::new();
        bench.notice("a");
        bench.notice("b");
        assert_eq!(bench.queue.wait(bench.now), Some(Duration::ZERO));
        assert_eq!(bench.send(Outcome::Sent).unwrap(), "a\nb");
        bench.notice("c");
        assert_eq!(bench.queue.wait(bench.now), Some(SEND_INTERVAL));
        assert_eq!(bench.queue.next("", bench.now), None);
        bench.pass(9);
        bench.user(1, 1).unwrap();
        assert_eq!(bench.send(Outcome::Sent).unwrap(), "c\n<@1> x");
        assert_eq!((bench.queue.wait(bench.now), bench.queue.figures().sent), (None, 2));
    }

    #[test]
    fn three_messages_wait_and_what_has_no_room_is_dropped_and_told_of() {
        let mut bench = Bench::new();
        for id in 0..5 {
            bench.user(id, 990).unwrap();
        }
        let figures = bench.queue.figures();
        assert_eq!((figures.waiting, figures.dropped), (3, 2));
        bench.send(Outcome::Sent).unwrap();
        let told = "[t] 2 notices had no room here and were left out.";
        for _ in 0..2 {
            assert!(bench.send(Outcome::Sent).unwrap().starts_with("<@"));
        }
        assert_eq!(bench.send(Outcome::Sent).unwrap(), told);
        // More of them are told of a minute after the last time: with the sixth message since.
        for id in 10..14 {
            bench.user(id, 990).unwrap();
        }
        for _ in 0..3 {
            assert!(bench.send(Outcome::Sent).unwrap().starts_with("<@1"));
        }
        assert!(bench.send(Outcome::Sent).unwrap().starts_with("[t] 1 notice had"));
        assert_eq!(bench.send(Outcome::Sent), None);
    }

    #[test]
    fn a_block_goes_first_and_is_never_dropped() {
        let mut bench = Bench::new();
        for id in 0..4 {
            bench.user(id, 900).unwrap();
        }
        bench.queue.block("h", "block".into(), "own", &["7".into(), "8".into()]);
        bench.queue.reset();
        bench.notice("n");
        let first = bench.send(Outcome::Later(None)).unwrap();
        assert_eq!(first, "@everyone block\n<@7> own\n<@8> own");
        for _ in 0..20 {
            assert_eq!(bench.send(Outcome::Later(None)).unwrap(), first);
        }
        // Where nobody may speak the others are not kept from trying, and the block is.
        bench.send(Outcome::Forbidden).unwrap();
        assert_eq!(bench.send(Outcome::Forbidden).unwrap(), "n");
        let before = bench.now;
        assert_eq!(bench.send(Outcome::Sent).unwrap(), first);
        assert!(bench.now - before > REFUSED_BLOCK_WAIT - 2 * SEND_INTERVAL);
        // Only that the other was dropped is still to be told.
        assert!(bench.send(Outcome::Sent).unwrap().contains("1 notice had"));
        assert_eq!(bench.send(Outcome::Sent), None);
    }

    #[test]
    fn a_block_that_is_refused_keeps_no_other_waiting_and_is_told_plainly_if_it_must() {
        let mut bench = Bench::new();
        bench.queue.block("h1", "first".into(), "own", &["7".into()]);
        let post = bench.queue.next("link", bench.now).unwrap();
        assert!(post.text.contains("(link)") && post.users == ["7"], "{post:?}");
        bench.queue.done(post.number, Outcome::Malformed, "t", bench.now);
        bench.queue.block("h2", "second".into(), "", &[]);
        bench.pass(10);
        let post = bench.queue.next("link", bench.now).unwrap();
        assert!(post.text.starts_with("@everyone first") && !post.text.contains("link"));
        assert!(post.users.is_empty() && post.is_everyone, "{post:?}");
        bench.queue.done(post.number, Outcome::Malformed, "t", bench.now);
        assert_eq!(bench.send(Outcome::Sent).unwrap(), "@everyone second");
        let before = bench.now;
        assert!(bench.send(Outcome::Sent).unwrap().starts_with("@everyone first"));
        assert!(bench.now - before > REFUSED_BLOCK_WAIT - 2 * SEND_INTERVAL);
        assert_eq!(bench.queue.figures().waiting, 0);
    }

    #[test]
    fn each_block_has_one_more_try_at_the_end_and_what_nobody_took_is_known() {
        let mut bench = Bench::new();
        bench.queue.block("h1", "first".into(), "", &[]);
        bench.send(Outcome::Forbidden).unwrap();
        bench.notice("n");
        bench.queue.block("h2", "second".into(), "", &[]);
        let mut tried = Vec::new();
        while let Some(post) = bench.queue.next_of_last("") {
            let outcome = if tried.is_empty() { Outcome::Later(None) } else { Outcome::Sent };
            bench.queue.done(post.number, outcome, "t", bench.now);
            tried.push(post.text);
        }
        assert_eq!(tried, ["@everyone first", "@everyone second"]);
        assert_eq!(bench.queue.untold_blocks().collect::<Vec<_>>(), ["@everyone first"]);
    }

    #[test]
    fn a_block_with_many_savers_has_several_messages_and_a_second_block_its_own_line() {
        let mut bench = Bench::new();
        let savers: Vec<String> = (0..30).map(|id| (1_000_000 + id).to_string()).collect();
        bench.queue.block("h1", "first".into(), "its own is one of yours", &savers);
        bench.queue.block("h2", "second".into(), "", &[]);
        let sent: Vec<String> = std::iter::from_fn(|| bench.send(Outcome::Sent)).collect();
        let all = sent.join("\n");
        assert!(sent.len() > 1 && sent.iter().all(|text| text.len() <= 1000));
        assert!(savers.iter().all(|id| all.matches(&format!("<@{id}>")).count() == 1));
        assert_eq!((all.matches("first").count(), all.matches("second").count()), (1, 1));
        assert_eq!(all.matches("@everyone").count(), 2, "for each block");
    }

    #[test]
    fn blocks_are_told_when_the_message_that_calls_everybody_is_taken() {
        let mut bench = Bench::new();
        let savers: Vec<String> = (0..30).map(|id| (1_000_000 + id).to_string()).collect();
        bench.queue.block("h1", "first".into(), "its own is one of yours", &savers);
        bench.queue.block("h2", "second".into(), "", &[]);
        bench.queue.block("h3", "third".into(), "", &[]);
        let outcomes = [Outcome::Later(None), Outcome::Sent, Outcome::Forbidden];
        let told: Vec<Vec<String>> = outcomes
            .into_iter()
            .chain(std::iter::repeat(Outcome::Sent))
            .map_while(|outcome| {
                let wait = bench.queue.wait(bench.now)?;
                bench.now += wait;
                let post = bench.queue.next("", bench.now)?;
                Some(bench.queue.done(post.number, outcome, "t", bench.now))
            })
            .filter(|told| !told.is_empty())
            .collect();
        assert_eq!(told, [vec!["h1"], vec!["h2", "h3"]]);
    }

    #[test]
    fn a_message_that_nobody_takes_is_given_up_after_ten_tries() {
        let mut bench = Bench::new();
        bench.notice("n");
        for _ in 0..TRIES_MAX {
            assert_eq!(bench.send(Outcome::Later(None)).unwrap(), "n");
            bench.notice("m");
        }
        assert!(bench.send(Outcome::Sent).unwrap().starts_with("m\nm"), "what came meanwhile");
        for outcome in [Outcome::Malformed, Outcome::Forbidden] {
            bench.queue.reset();
            bench.notice("n");
            bench.send(outcome).unwrap();
            assert_eq!(bench.send(outcome), None);
        }
    }

    #[test]
    fn who_asks_for_a_wait_gets_it() {
        let mut bench = Bench::new();
        bench.notice("n");
        bench.send(Outcome::Later(Some(Duration::from_secs(77)))).unwrap();
        assert_eq!(bench.queue.wait(bench.now), Some(Duration::from_secs(77)));
        // A shorter one than there is anyway changes nothing.
        bench.send(Outcome::Later(Some(Duration::from_secs(1)))).unwrap();
        assert_eq!(bench.queue.wait(bench.now), Some(SEND_INTERVAL));
    }

    #[test]
    fn too_many_people_at_once_are_not_told_whether_there_was_room_or_not() {
        let mut bench = Bench::new();
        for id in 0..100 {
            assert_eq!(bench.user(id, 900), Ok(()));
            // The same ones again are no more.
            assert_eq!(bench.user(id, 900), Ok(()));
        }
        assert_eq!(bench.user(100, 1), Err(Burst { affected: 101, limit: 100 }));
        assert_eq!(bench.queue.wait(bench.now), None, "nothing else is said");
        bench.pass(299);
        bench.user(1, 1).unwrap();
        assert_eq!(bench.queue.wait(bench.now), None);
        bench.pass(1);
        bench.user(1, 1).unwrap();
        assert_eq!(bench.send(Outcome::Sent).unwrap(), "<@1> x");
        // Spread over more than a minute they are not at once; and a tenth of all may always be.
        for id in 0..400 {
            assert_eq!(bench.user(id, 1), Ok(()));
            bench.pass(1);
        }
        for id in 0..150 {
            assert_eq!(bench.queue.user(format!("1{id}"), "x".into(), 2200, bench.now), Ok(()));
        }
    }
}
