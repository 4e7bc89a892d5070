//! Pages about single workers: looking one up, what it does and what its block would pay, and the list
//! of those that somebody has saved (`web.md` §4.8–4.11, §7).

mod banned;
mod coinbase;
mod dashboard;
mod discord;
mod lookup;
mod page;
mod payout;
mod reconnect;
mod view;
mod wanted;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use crossbeam_channel::Sender;
use gopool_shards::admission::bans::Bans;
use gopool_shards::work::address::Network;

use super::StatusSwitch;
use super::account::{People, PeoplePlan};
use super::http::{Answer, Method, Request, Response, Status};
use super::rendered::Paper;
use crate::command::Command;
use banned::BannedByHash;
use page::Shows;
pub use reconnect::ReconnectPolicy;
use reconnect::Resets;

const LOOKUP: &str = "/worker";
const SEARCH: &str = "/worker/search";
const WORKER: &str = "/worker/sha256";
const DASHBOARD: &str = "/saved-workers";

/// What the status server is given for these pages.
pub struct WorkersPlan {
    pub people: PeoplePlan,
    pub bans: Arc<Bans>,
    pub network: Network,
    /// To the control loop.
    pub commands: Sender<Command>,
    pub reconnect: ReconnectPolicy,
}

/// What these pages have in common.
pub struct Workers {
    pub people: People,
    network: Network,
    commands: Sender<Command>,
    reconnect: ReconnectPolicy,
    banned: BannedByHash,
    resets: Resets,
    shows: Shows,
}

impl Workers {
    pub fn new(plan: WorkersPlan, switch: Arc<StatusSwitch>) -> Self {
        Self {
            people: People::new(plan.people, switch),
            network: plan.network,
            commands: plan.commands,
            reconnect: plan.reconnect,
            banned: BannedByHash::new(plan.bans),
            resets: Resets::default(),
            shows: Shows::default(),
        }
    }
}

/// What a path means and which methods it takes.
pub struct WorkerRoute {
    methods: &'static [Method],
    /// It changes something: only our own pages may ask for it.
    is_change: bool,
    answer: fn(&Asked<'_>) -> Answer,
}

const READ: &[Method] = &[Method::Get, Method::Head];
const READ_OR_POST: &[Method] = &[Method::Get, Method::Head, Method::Post];
const POST: &[Method] = &[Method::Post];

/// The route of a path, if it is one of these.
pub fn find(path: &str) -> Option<WorkerRoute> {
    let read = |answer| WorkerRoute { methods: READ, is_change: false, answer };
    let ask = |answer| WorkerRoute { methods: READ_OR_POST, is_change: false, answer };
    let change = |answer| WorkerRoute { methods: POST, is_change: true, answer };
    Some(match path {
        LOOKUP => read(lookup::lookup_page),
        SEARCH => ask(lookup::search),
        WORKER => ask(page::worker),
        DASHBOARD | "/stats" | "/stats/" => ask(dashboard::dashboard),
        "/worker/reconnect" => change(reconnect::reconnect),
        discord::CONNECT => change(discord::connect),
        discord::FORGET => change(discord::forget),
        discord::SWITCH => change(discord::switch),
        discord::SWITCH_ONE => change(discord::switch_one),
        "/user" => read(|_| Response::see_other("/user/").into()),
        "/users" => read(|_| Response::see_other("/users/").into()),
        _ if path.starts_with("/user/") => read(lookup::wallet_path),
        _ if path.starts_with("/stats/") => read(lookup::wallet_path),
        _ if path.starts_with("/users/") => read(lookup::hash_path),
        _ => return None,
    })
}

/// Whether the list of saved workers is to look a wallet up, too.
pub fn is_wallet_search(request: &Request) -> bool {
    if !matches!(&*request.path, DASHBOARD | "/stats" | "/stats/") {
        return false;
    }
    let fields = lookup::fields(request);
    ["wallet", "hash"].iter().any(|name| !lookup::field(&fields, name).is_empty())
}

impl WorkerRoute {
    pub fn answer(&self, paper: Paper, workers: &Workers, request: &Request) -> Answer {
        let people = &workers.people;
        if !self.methods.contains(&request.method) {
            let allowed = match self.methods {
                READ => "GET, HEAD",
                POST => "POST",
                _ => "GET, HEAD, POST",
            };
            return Response::plain(Status::MethodNotAllowed).with("Allow", allowed).into();
        }
        if self.is_change
            && let Err(refused) = people.refuse_foreign(request)
        {
            return refused.into();
        }
        let user = people.user_of(request);
        (self.answer)(&Asked { paper, workers, people, request, user })
    }
}

/// A request, who sent it, and what it is answered from.
struct Asked<'a> {
    paper: Paper,
    workers: &'a Workers,
    people: &'a People,
    request: &'a Request,
    user: Option<String>,
}
