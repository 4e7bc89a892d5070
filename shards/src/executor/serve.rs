//! One miner's bytes: text → lines → requests → session.

use std::rc::Rc;

use tracing::debug;

use crate::session::{Next, Refusal};
use crate::tally::CloseReason;
use crate::wire::foreign::Foreign;
use crate::wire::request::Request;
use crate::wire::submit::Submit;

use super::connection::{Connection, is_traced, trace_lines};
use super::{Shard, sweep};

/// Bytes have come.
pub(super) fn on_received(shard: &Rc<Shard>, connection: &Rc<Connection>, bytes: &[u8]) {
    if connection.is_ending() {
        connection.discard(bytes);
        return;
    }
    // New work that its answers call for may take the jobs away that these bytes name.
    conclude_own(shard, connection);
    if connection.is_first_read() && answer_foreign(shard, connection, bytes) {
        end(shard, connection, CloseReason::Foreign);
        return;
    }
    let mut input = Input { shard, connection, close: None, has_talked: false };
    let mut partial = connection.partial.take();
    let received = receive(shard, connection, bytes, |text| {
        partial.feed(text, |line| input.on_line(line)).map_err(|_| CloseReason::LineTooLong)
    });
    connection.partial.replace(partial);
    let Input { close, has_talked, .. } = input;
    if has_talked || received.is_err() {
        conclude_own(shard, connection);
        shard.with_env(connection, |session, env| {
            if received == Err(CloseReason::LineTooLong) {
                session.on_violation(env);
            } else if close.is_none() {
                session.on_input_end(env);
            }
        });
    }
    if let Some(reason) = received.err().or(close).or(connection.closing()) {
        conclude_own(shard, connection);
        end(shard, connection, reason);
        return;
    }
    if has_talked {
        connection.settle_owed_work(shard);
        connection.look_at_visit(shard);
        schedule_first_work(shard, connection);
    }
}

/// Nothing will come any more.
pub(super) fn on_ended(shard: &Rc<Shard>, connection: &Rc<Connection>) {
    connection.has_ended();
    if !connection.is_ending() {
        // Its last bytes may have been shares: they count before it goes.
        conclude_own(shard, connection);
        end(shard, connection, CloseReason::Hangup);
    }
}

/// The session is over; the socket may still have something to say.
fn end(shard: &Rc<Shard>, connection: &Rc<Connection>, reason: CloseReason) {
    let reason = connection.begin_end(reason, shard);
    shard.ending.set(shard.ending.get() + 1);
    // One that came and went between two looks has been there all the same.
    sweep::observe(shard, connection);
    shard.with_env(connection, |session, env| session.on_close(env));
    shard.tally.borrow_mut().connection_closed(reason);
    debug!(shard = shard.id, reason = reason.label(), "connection closed");
    if connection.is_finished() {
        leave(shard, connection);
        return;
    }
    let (shard, connection) = (Rc::clone(shard), Rc::clone(connection));
    shard.clone().spawn(async move {
        connection.finish(&shard).await;
        leave(&shard, &connection);
    });
}

fn leave(shard: &Shard, connection: &Connection) {
    shard.connections.borrow_mut().remove(connection.token as usize);
    shard.ending.set(shard.ending.get() - 1);
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

fn schedule_first_work(shard: &Shard, connection: &Connection) {
    if let Some(due) = connection.session.borrow().first_work_due() {
        let mut queue = shard.first_work_due.borrow_mut();
        // A connection that talks during its pause is queued once more; the first one counts.
        queue.push_back((due, connection.token));
    }
}

/// Has the connection's own submissions answered, and with them those of others that wait.
fn conclude_own(shard: &Shard, connection: &Rc<Connection>) {
    if connection.is_being_judged.get() {
        shard.judge();
    }
}

/// The lines of one read, in order.
struct Input<'a> {
    shard: &'a Shard,
    connection: &'a Rc<Connection>,
    close: Option<CloseReason>,
    /// There was something else than submissions.
    has_talked: bool,
}

impl Input<'_> {
    /// Whether to go on with the next line.
    fn on_line(&mut self, line: &[u8]) -> bool {
        if is_traced() {
            trace_lines("recv", line);
        }
        match Submit::scan(line) {
            Some(submit) => {
                let next = self
                    .shard
                    .with_env(self.connection, |session, env| session.on_submit(&submit, env));
                self.follow(next, submit.id);
            }
            None => self.on_request(line),
        }
        // A connection that is being closed by others is still heard out: one of the lines that
        // have come may be a block.
        self.close.is_none()
    }

    fn on_request(&mut self, line: &[u8]) {
        self.has_talked = true;
        let request = Request::parse(line);
        let is_submit = request.as_ref().is_ok_and(|request| request.method == "mining.submit");
        if !is_submit {
            // Its answer must not overtake those of the submissions before it.
            conclude_own(self.shard, self.connection);
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
        self.follow(next, request.as_ref().map_or("null", |request| request.id));
    }

    fn follow(&mut self, next: Next, id: &str) {
        match next {
            Next::Continue => {}
            Next::Judge(submission) => {
                self.shard.judge.borrow_mut().push(self.connection, submission);
                if self.shard.judge.borrow().is_full() {
                    self.shard.judge();
                }
            }
            Next::Refuse(Refusal { reject, counts }) => {
                // It needs no hashing, those before it do.
                conclude_own(self.shard, self.connection);
                self.shard.with_env(self.connection, |session, env| {
                    session.refuse(id, reject, counts, env);
                });
            }
            Next::Close(reason) => self.close = Some(reason),
        }
    }
}
