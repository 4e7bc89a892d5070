//! Looking a worker or a wallet up.

use minijinja::context;

use super::view::Shown;
use super::wanted::{Kind, Wanted};
use super::{Asked, DASHBOARD, LOOKUP, SEARCH};
use crate::clock::unix_now;
use crate::status::account::Fields;
use crate::status::http::{Answer, Method, Request, Response, Status};

/// Two forms, for those who have no list of their own.
pub fn lookup_page(asked: &Asked<'_>) -> Answer {
    if asked.user.is_some() {
        return Response::see_other(DASHBOARD).into();
    }
    let page = context! { here => LOOKUP, can_sign_in => asked.people.clerk.as_ref().is_some_and(|clerk| clerk.is_ready()), is_local_elsewhere => asked.people.local.is_some() };
    asked.paper.page(Status::Ok, "lookup.html", page).into()
}

/// The fields of the query, and of a form that was posted; those of the form win.
pub fn fields(request: &Request) -> (Fields, Fields) {
    let query = Fields::of_form(&request.query).unwrap_or_default();
    let form = match request.method {
        Method::Post => Fields::of(request).unwrap_or_default(),
        _ => Fields::default(),
    };
    (form, query)
}

pub fn field<'a>((form, query): &'a (Fields, Fields), name: &str) -> &'a str {
    match form.get(name) {
        "" => query.get(name),
        value => value,
    }
}

/// Workers of a wallet that are connected.
pub fn search(asked: &Asked<'_>) -> Answer {
    let fields = fields(asked.request);
    let wanted = Wanted::of(field(&fields, "hash"), field(&fields, "wallet"), Kind::Wallet);
    let (status, message, workers) = match wanted {
        Err(error) => (Status::BadRequest, error.to_string(), Vec::new()),
        Ok(Wanted::Nothing) => {
            (Status::Ok, "Enter a wallet to see its workers.".to_owned(), Vec::new())
        }
        Ok(Wanted::Hash(hash)) => {
            let views = {
                let roster = asked.people.roster.read();
                roster.workers_of_wallet(&hash, roster.fading(unix_now()))
            };
            let message = match views.len() {
                0 => "No worker of this wallet is connected now.".to_owned(),
                1 => "One worker is connected.".to_owned(),
                count => format!("{count} workers are connected."),
            };
            let shown = views.iter().map(|view| Shown::new(view, true)).collect();
            (Status::Ok, message, shown)
        }
    };
    let page = context! { here => LOOKUP, message, workers };
    asked.paper.page(status, "search.html", page).into()
}

/// `/user/<wallet>` and `/stats/<wallet>`.
pub fn wallet_path(asked: &Asked<'_>) -> Answer {
    to_search(asked, Wanted::of_path(behind_prefix(&asked.request.path)))
}

/// `/users/<wallet hash>`: the same for those who do not want the wallet in an address.
pub fn hash_path(asked: &Asked<'_>) -> Answer {
    to_search(asked, Wanted::of_hash_path(behind_prefix(&asked.request.path)))
}

fn behind_prefix(path: &str) -> &str {
    path[1..].split_once('/').map_or("", |(_, rest)| rest)
}

fn to_search(asked: &Asked<'_>, wanted: Result<Wanted, super::wanted::Malformed>) -> Answer {
    match wanted {
        Ok(Wanted::Hash(hash)) => {
            Response::see_other(format!("{SEARCH}?hash={}", const_hex::encode(hash))).into()
        }
        Ok(Wanted::Nothing) => Response::see_other(LOOKUP).into(),
        Err(error) => {
            let (status, reason) = (Status::BadRequest, "That cannot be looked up");
            asked.paper.error(status, &asked.request.path, reason, &error.to_string()).into()
        }
    }
}
