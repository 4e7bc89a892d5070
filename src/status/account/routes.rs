//! The signed-in routes, one function each.

use serde::Serialize;

use super::super::format;
use super::super::http::{Answer, Method, Request, Response, Status};
use super::{Fields, People, SavedList};
use crate::clock::unix_now;
use crate::history::{CompactSeries, History, POOL_KEY, Resolution};
use crate::identity::{NameHash, is_hash_hex};
use crate::saved_workers::SaveError;
use crate::store::{SAVED_PER_USER_MAX, SavedWorkerRow};

const JSON: &str = "application/json";
const DASHBOARD: &str = "/saved-workers";
const LOOKUP: &str = "/worker";
/// All saved workers of somebody, added up.
const COMBINED: &str = "combined";
/// Series in one answer: a user's list, and the pool.
const SERIES_MAX: usize = 65;

/// A route and what it wants.
pub struct AccountRoute {
    path: &'static str,
    pub method: Method,
    answer: fn(&People, &str, &Request) -> Answer,
}

const ROUTES: [AccountRoute; 8] = [
    AccountRoute { path: "/api/saved-workers", method: Method::Get, answer: list },
    AccountRoute { path: "/api/saved-workers/history", method: Method::Get, answer: history },
    AccountRoute {
        path: "/api/saved-workers/notify-enabled",
        method: Method::Post,
        answer: notify_enabled,
    },
    AccountRoute {
        path: "/api/discord/notify-enabled",
        method: Method::Post,
        answer: discord_enabled,
    },
    AccountRoute {
        path: "/api/saved-workers/one-time-code",
        method: Method::Post,
        answer: one_time_code,
    },
    AccountRoute {
        path: "/api/saved-workers/one-time-code/clear",
        method: Method::Post,
        answer: clear_code,
    },
    AccountRoute { path: "/worker/save", method: Method::Post, answer: save },
    AccountRoute { path: "/worker/remove", method: Method::Post, answer: remove },
];

pub fn find(path: &str) -> Option<&'static AccountRoute> {
    ROUTES.iter().find(|route| route.path == path)
}

/// Every path, and what OpenAPI calls its method.
#[cfg(test)]
pub fn paths() -> impl Iterator<Item = (&'static str, &'static str)> {
    let method = |route: &AccountRoute| if route.method == Method::Get { "get" } else { "post" };
    ROUTES.iter().map(move |route| (route.path, method(route)))
}

impl AccountRoute {
    pub fn takes(&self, method: Method) -> bool {
        method == self.method || self.method == Method::Get && method == Method::Head
    }

    /// The methods to name with a 405.
    pub fn allow(&self) -> &'static str {
        if self.method == Method::Get { "GET, HEAD" } else { "POST" }
    }

    /// Something is changed only from our own pages, and who is not signed in learns nothing.
    pub fn answer(&self, people: &People, request: &Request) -> Answer {
        if self.method == Method::Post
            && let Err(refused) = people.refuse_foreign(request)
        {
            return refused.into();
        }
        let Some(user) = people.user_of(request) else { return people.nobody(request) };
        (self.answer)(people, &user, request)
    }
}

fn json(value: &impl Serialize) -> Response {
    match serde_json::to_string(value) {
        Ok(text) => Response::new(Status::Ok, JSON, text).with("Cache-Control", "no-store"),
        Err(_) => Response::plain(Status::InternalError),
    }
}

fn store_failed(error: &SaveError) -> Response {
    match error {
        SaveError::Unknown => Response::refusal(Status::NotFound, &error.to_string()),
        SaveError::Store(_) => {
            Response::refusal(Status::Unavailable, "the database cannot be written now")
        }
        _ => Response::refusal(Status::BadRequest, &error.to_string()),
    }
}

fn list(people: &People, user: &str, _: &Request) -> Answer {
    json(&SavedList::new(people, user, unix_now())).into()
}

/// One series as the charts read it.
#[derive(Serialize)]
struct NamedSeries {
    hash: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    name: String,
    u: String,
    #[serde(flatten)]
    series: CompactSeries,
}

/// `hash=` one worker, `pool`, or several with commas between: then a list of what is the user's own.
/// `days=30` asks for half hours instead of minutes.
fn history(people: &People, user: &str, request: &Request) -> Answer {
    let Some(query) = Fields::of_form(&request.query) else {
        return Response::refusal(Status::BadRequest, "the query cannot be read").into();
    };
    let resolution = match query.get("days") {
        "" | "1" => Resolution::Minute,
        "30" => Resolution::HalfHour,
        other => {
            let words = format!("days is {other:?}, allowed are 1 and 30");
            return Response::refusal(Status::BadRequest, &words).into();
        }
    };
    let asked = query.get("hash").to_ascii_lowercase();
    let hashes: Vec<&str> = asked.split(',').map(str::trim).collect();
    let is_key = |hash: &&str| [POOL_KEY, COMBINED].contains(hash) || is_hash_hex(hash);
    if hashes.len() > SERIES_MAX || !hashes.iter().all(is_key) {
        let words =
            "hash must be 64 hex digits, pool or combined, or up to 65 of these with commas";
        return Response::refusal(Status::BadRequest, words).into();
    }
    let saved = people.saved.list(user);
    let now = unix_now();
    let minute = u32::try_from(now / 60).unwrap_or(u32::MAX);
    let history = people.history.read();
    let named = |hash: &str| {
        let name = match hash {
            POOL_KEY | COMBINED => hash.to_owned(),
            _ => saved.iter().find(|row| row.worker_hash == hash)?.display.clone(),
        };
        let known = match hash {
            COMBINED => combined(&history, &saved, minute),
            hash => history.compact(resolution, hash, minute),
        };
        let series = known.unwrap_or_else(|| CompactSeries::of(None, resolution, minute));
        Some(NamedSeries { hash: hash.to_owned(), name, u: format::rfc3339_unix(now), series })
    };
    match &hashes[..] {
        [hash] => match named(hash) {
            Some(series) => json(&series).into(),
            None => Response::refusal(Status::NotFound, "no such worker is saved").into(),
        },
        hashes => {
            let series: Vec<NamedSeries> = hashes.iter().filter_map(|hash| named(hash)).collect();
            json(&serde_json::json!({ "series": series })).into()
        }
    }
}

/// What all of somebody's workers did in the last day, those that are away now included.
pub fn combined(history: &History, saved: &[SavedWorkerRow], minute: u32) -> Option<CompactSeries> {
    let of = |row: &SavedWorkerRow| history.compact(Resolution::Minute, &row.worker_hash, minute);
    let all: Vec<CompactSeries> = saved.iter().filter_map(of).collect();
    CompactSeries::sum(all.iter(), minute)
}

#[derive(Serialize)]
struct Done {
    ok: bool,
    enabled: bool,
}

fn notify_enabled(people: &People, user: &str, request: &Request) -> Answer {
    let Some(fields) = Fields::of(request) else {
        return Response::refusal(Status::BadRequest, "the body is neither a form nor JSON").into();
    };
    let hash = fields.get("hash").to_ascii_lowercase();
    let Some(enabled) = fields.truth("enabled").filter(|_| is_hash_hex(&hash)) else {
        let words = "hash must be 64 hex digits, and enabled true or false";
        return Response::refusal(Status::BadRequest, words).into();
    };
    let (saved, user) = (people.saved.clone(), user.to_owned());
    Answer::waiting(
        move || saved.set_notify(&user, &hash, enabled),
        move |set| match set {
            Ok(()) => json(&Done { ok: true, enabled }),
            Err(error) => store_failed(&error),
        },
    )
}

/// The switch of all notices on Discord, of somebody who is linked.
fn discord_enabled(people: &People, user: &str, request: &Request) -> Answer {
    if !people.has_discord {
        return Response::refusal(Status::NotFound, "Discord is not configured").into();
    }
    let enabled = Fields::of(request).and_then(|fields| fields.truth("enabled"));
    let Some(enabled) = enabled else {
        return Response::refusal(Status::BadRequest, "enabled must be true or false").into();
    };
    let (links, user) = (people.links.clone(), user.to_owned());
    Answer::waiting(
        move || links.set_enabled(&user, enabled, unix_now()),
        move |set| match set {
            Ok(true) => json(&Done { ok: true, enabled }),
            Ok(false) => Response::refusal(Status::NotFound, "not linked with anybody on Discord"),
            Err(error) => store_failed(&error.into()),
        },
    )
}

#[derive(Serialize)]
struct Code {
    code: String,
    expires_at: String,
}

fn one_time_code(people: &People, user: &str, _: &Request) -> Answer {
    if !people.has_discord {
        return Response::refusal(Status::NotFound, "Discord is not configured").into();
    }
    let mut codes = people.codes.lock().expect("no code panics while it holds this");
    let response = match codes.create(user, unix_now()) {
        Ok(issued) => json(&Code {
            code: issued.code,
            expires_at: format::rfc3339_unix(issued.expires_at_unix),
        }),
        Err(crate::codes::CreateError::TooMany { wait_seconds }) => {
            Response::refusal(Status::TooManyRequests, "too many codes, wait a little")
                .with("Retry-After", wait_seconds.to_string())
        }
        Err(error) => Response::refusal(Status::InternalError, &error.to_string()),
    };
    response.into()
}

fn clear_code(people: &People, user: &str, request: &Request) -> Answer {
    if !people.has_discord {
        return Response::refusal(Status::NotFound, "Discord is not configured").into();
    }
    let fields = Fields::of(request).unwrap_or_default();
    let mut codes = people.codes.lock().expect("no code panics while it holds this");
    let cleared = codes.clear(user, fields.get("code"), unix_now());
    json(&serde_json::json!({ "cleared": cleared })).into()
}

/// One worker by its name, or some by their hashes. The dashboard says what became of it.
fn save(people: &People, user: &str, request: &Request) -> Answer {
    let Some(fields) = Fields::of(request) else {
        return Response::refusal(Status::BadRequest, "the form cannot be read").into();
    };
    // Of workers that were found by their wallet only hashes are told.
    let hashes: Vec<NameHash> = fields
        .all("hash")
        .filter_map(|hash| const_hex::decode_to_array(hash).ok())
        .take(SAVED_PER_USER_MAX)
        .collect();
    let names: Vec<String> = match fields.get("worker") {
        "" => {
            let known = people.roster.read().known_among(&hashes).into_iter();
            known.map(|(_, name, _)| name.to_string()).collect()
        }
        name => vec![name.to_owned()],
    };
    if names.is_empty() {
        return match hashes.is_empty() {
            true => Response::see_other(LOOKUP).into(),
            false => Response::see_other(format!("{DASHBOARD}?notice=not_found")).into(),
        };
    }
    let (saved, user) = (people.saved.clone(), user.to_owned());
    Answer::waiting(
        move || names.iter().try_for_each(|name| saved.save(&user, name).map(drop)),
        |saved| {
            let notice = match saved {
                Ok(()) => "saved",
                Err(SaveError::ListFull) => "list_full",
                Err(SaveError::TooLong { .. }) => "too_long",
                Err(_) => "store_failed",
            };
            Response::see_other(format!("{DASHBOARD}?notice={notice}"))
        },
    )
}

fn remove(people: &People, user: &str, request: &Request) -> Answer {
    let Some(fields) = Fields::of(request) else {
        return Response::refusal(Status::BadRequest, "the form cannot be read").into();
    };
    let hash = fields.get("hash").to_ascii_lowercase();
    if hash.len() != 64 {
        return Response::see_other(LOOKUP).into();
    }
    let (saved, user) = (people.saved.clone(), user.to_owned());
    Answer::waiting(
        move || saved.remove(&user, &hash),
        |removed| match removed {
            Ok(()) | Err(SaveError::Unknown) => {
                Response::see_other(format!("{DASHBOARD}?notice=removed"))
            }
            Err(_) => Response::see_other(format!("{DASHBOARD}?notice=store_failed")),
        },
    )
}
