//! Connections that have not authorized: nobody's workers, so they are asked of the shards, and are
//! told apart by their other ends (`web.md` §6.7).

use std::collections::{BTreeSet, HashSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crossbeam_channel::bounded;
use gopool_shards::limits::STRANGERS_LISTED_MAX;
use gopool_shards::session::Stranger;
use minijinja::context;
use serde::Serialize;

use super::super::format;
use super::super::http::{Answer, Response};
use super::bans::names;
use super::list::Wanted;
use super::miners::GOODBYE;
use super::visit::{Problem, Visit};
use crate::command::Command;

pub const PATH: &str = "/admin/strangers";
const FORM: &str = "strangers";
const TAB: &str = super::miners::PATH;
/// Shards that hang are not waited for: those that have answered are shown.
const ANSWERS_WAIT_MAX: Duration = Duration::from_secs(2);

#[derive(Serialize)]
struct Row {
    remote: String,
    is_tls: bool,
    client: String,
    has_subscribed: bool,
    /// RFC 3339.
    connected_at: String,
}

impl From<&Stranger> for Row {
    fn from(stranger: &Stranger) -> Self {
        Self {
            remote: stranger.remote.to_string(),
            is_tls: stranger.is_tls,
            client: stranger.client_id.to_string(),
            has_subscribed: stranger.has_subscribed,
            connected_at: format::rfc3339_unix(stranger.connected_at),
        }
    }
}

pub fn page(visit: &Visit, problem: Option<&Problem>) -> Answer {
    let (answer, answers) = bounded(STRANGERS_LISTED_MAX);
    visit.admin().command(Command::Strangers { answer });
    let (visit, problem) = (visit.clone(), problem.cloned());
    let collect = move || {
        let deadline = Instant::now() + ANSWERS_WAIT_MAX;
        let mut strangers = Vec::new();
        while let Ok(stranger) = answers.recv_deadline(deadline) {
            strangers.push(stranger);
        }
        strangers
    };
    Answer::waiting(collect, move |strangers| render(&visit, strangers, problem.as_ref()))
}

fn render(visit: &Visit, mut strangers: Vec<Stranger>, problem: Option<&Problem>) -> Response {
    let is_sent = visit.desk.path != PATH;
    let wanted = Wanted::of(if is_sent { &visit.form } else { &visit.query });
    // Who has been here longest has had the most time to say who they are.
    strangers.sort_by_key(|stranger| (stranger.connected_at, stranger.remote));
    let rows: Vec<Row> = (strangers.iter().map(Row::from))
        .filter(|row| wanted.is_found(&[&row.remote, &row.client]))
        .collect();
    let is_cut = strangers.len() == STRANGERS_LISTED_MAX;
    let (rows, part) = wanted.part(&rows);
    let page = context! { rows, part, is_cut, path => PATH };
    visit.page(TAB, "admin_strangers.html", page, problem)
}

pub fn disconnect(visit: Visit) -> Answer {
    let remotes: BTreeSet<SocketAddr> =
        names(&visit, "remote").filter_map(|remote| remote.parse().ok()).collect();
    if remotes.is_empty() {
        let words = "Choose connections that are there. Nothing was done.";
        return page(&visit, Some(&Problem::bad(FORM, words)));
    }
    visit.with_password("disconnect", FORM, page, move |visit| {
        let targets: Vec<String> = remotes.iter().map(SocketAddr::to_string).collect();
        let remotes: HashSet<SocketAddr> = remotes.into_iter().collect();
        visit.admin().command(Command::DisconnectStrangers { remotes, words: GOODBYE });
        visit.note("disconnect", &targets.join(", "), "done");
        visit.see(&Wanted::of(&visit.form).place(PATH), "stranger_disconnected")
    })
}
