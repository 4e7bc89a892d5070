//! One miner, from its first byte to its last: bytes → lines → requests → session.

use std::rc::Rc;
use std::time::Duration;

use glommio::timer::sleep;
use tracing::{debug, error};

use crate::link::Sent;
use crate::session::{Next, Refusal};
use crate::share::Solved;
use crate::tally::CloseReason;
use crate::wire::foreign::Foreign;
use crate::wire::line::Partial;
use crate::wire::request::Request;

use super::Shard;
use super::connection::Connection;

/// How long a block waits before it tries control's queue again.
const SOLVED_RETRY: Duration = Duration::from_millis(1);

/// Serves a connection that has been let in, until it ends.
pub(super) async fn run(shard: Rc<Shard>, connection: Rc<Connection>) {
    let reason = serve(&shard, &connection).await;
    let reason = connection.settle_reason(reason, &shard);
    shard.connections.borrow_mut().remove(&connection.key);
    shard.ending.set(shard.ending.get() + 1);
    shard.with_env(&connection, |session, env| session.on_close(env));
    shard.tally.borrow_mut().connection_closed(reason);
    connection.finish(&shard).await;
    shard.ending.set(shard.ending.get() - 1);
    debug!(shard = shard.id, reason = reason.label(), "connection closed");
}

async fn serve(shard: &Rc<Shard>, connection: &Connection) -> CloseReason {
    let mut partial = Partial::default();
    let mut is_first = true;
    loop {
        let count = match connection.read(shard).await {
            Ok(0) | Err(_) => return CloseReason::Hangup,
            Ok(count) => count,
        };
        let mut input = Input { shard, connection, solved: Vec::new(), close: None };
        let received = {
            // The buffer is the shard's: it is given back before anything is waited for.
            let buffer = shard.read_buffer.borrow();
            let bytes = &buffer[..count];
            if std::mem::take(&mut is_first) && answer_foreign(shard, connection, bytes) {
                return CloseReason::Foreign;
            }
            receive(shard, connection, bytes, |text| {
                partial.feed(text, |line| input.on_line(line)).map_err(|_| CloseReason::LineTooLong)
            })
        };
        input.on_end();
        let Input { solved, close, .. } = input;
        for block in solved {
            hand_over(shard, block).await;
        }
        if received == Err(CloseReason::LineTooLong) {
            shard.with_env(connection, |session, env| session.on_violation(env));
        }
        if let Some(reason) = received.err().or(close).or(connection.closing()) {
            return reason;
        }
        connection.settle_owed_work(shard);
        connection.look_at_visit(shard);
        schedule_first_work(shard, connection);
        glommio::yield_if_needed().await;
    }
}

/// A client of another protocol is told so in its own.
fn answer_foreign(shard: &Shard, connection: &Connection, first: &[u8]) -> bool {
    let Some(foreign) = Foreign::recognise(first) else {
        return false;
    };
    let mut answer = Vec::new();
    if connection.is_tls() {
        foreign.answer_on_tls_port(&mut answer);
    } else {
        foreign.answer_on_plain_port(&mut answer);
    }
    if answer.is_empty() {
        return false;
    }
    connection.send_wire(&answer, shard);
    connection.give_up_tls();
    true
}

/// Hands the text that `bytes` stand for to `on_text`.
fn receive(
    shard: &Shard,
    connection: &Connection,
    bytes: &[u8],
    on_text: impl FnOnce(&[u8]) -> Result<(), CloseReason>,
) -> Result<(), CloseReason> {
    if !connection.is_tls() {
        return on_text(bytes);
    }
    let mut text = shard.text.take();
    text.clear();
    // What came before the damage has been said.
    let opened = connection.open(bytes, &mut text, shard);
    let handled = on_text(&text);
    shard.text.replace(text);
    handled.and(opened.map_err(|_| CloseReason::Tls))
}

/// A block waits for control's queue: nothing found is ever dropped, and nobody else waits.
async fn hand_over(shard: &Shard, mut solved: Solved) {
    loop {
        match shard.up.try_send_solved(solved) {
            Sent::Yes => return,
            Sent::Full(again) => solved = again,
            Sent::ControlGone(lost) => {
                // Nobody is left to submit it; whoever reads this still can.
                let (header, coinbase) =
                    (const_hex::encode(lost.header), const_hex::encode(lost.coinbase));
                error!(height = lost.job.height, header, coinbase, "block found after the end");
                return;
            }
        }
        sleep(SOLVED_RETRY).await;
    }
}

fn schedule_first_work(shard: &Shard, connection: &Connection) {
    if let Some(due) = connection.session.borrow().first_work_due() {
        let mut queue = shard.first_work_due.borrow_mut();
        // A connection that talks during its pause is queued once more; the first one counts.
        queue.push_back((due, connection.key));
    }
}

/// The lines of one read, in order.
struct Input<'a> {
    shard: &'a Shard,
    connection: &'a Connection,
    solved: Vec<Solved>,
    close: Option<CloseReason>,
}

impl Input<'_> {
    /// Whether to go on with the next line.
    fn on_line(&mut self, line: &[u8]) -> bool {
        let request = Request::parse(line);
        let is_submit = request.as_ref().is_ok_and(|request| request.method == "mining.submit");
        if !is_submit {
            // Its answer must not overtake those of the submissions before it.
            self.judge();
        }
        let next = self.shard.with_env(self.connection, |session, env| {
            match session.on_line(line, request.as_ref(), env) {
                Next::Continue => {}
                too_many => return too_many,
            }
            match &request {
                Ok(request) => session.on_request(request, env),
                Err(malformed) => session.on_malformed(malformed, env),
            }
        });
        match next {
            Next::Continue => {}
            Next::Judge(submission) => {
                self.shard.judge.borrow_mut().push(submission);
                if self.shard.judge.borrow().is_full() {
                    self.judge();
                }
            }
            Next::Refuse(Refusal { reject, counts }) => {
                // Likewise: it needs no hashing, those before it do.
                self.judge();
                let id = request.as_ref().map_or("null", |request| request.id);
                self.shard.with_env(self.connection, |session, env| {
                    session.refuse(id, reject, counts, env);
                });
            }
            Next::Close(reason) => self.close = Some(reason),
        }
        // A connection that is being closed by others is still heard out: one of the lines that
        // have come may be a block.
        self.close.is_none()
    }

    fn on_end(&mut self) {
        self.judge();
        if self.close.is_none() {
            self.shard.with_env(self.connection, |session, env| session.on_input_end(env));
        }
    }

    fn judge(&mut self) {
        let mut judge = self.shard.judge.borrow_mut();
        if judge.is_empty() {
            return;
        }
        self.shard.with_env(self.connection, |session, env| {
            judge.conclude(|submission, verdict| {
                self.solved.extend(session.on_verdict(submission, verdict, env));
            });
        });
    }
}
