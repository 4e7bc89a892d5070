//! Notices on Discord, as forms without scripts have it: an account is connected by a code that is
//! shown once, and all of them or those of one worker are switched (`web.md` §4.11, §7.5).

use minijinja::context;

use super::lookup::{field, fields};
use super::{Asked, DASHBOARD, LOOKUP};
use crate::clock::unix_now;
use crate::codes::CreateError;
use crate::identity::is_hash_hex;
use crate::saved_workers::SaveError;
use crate::status::account::Fields;
use crate::status::format;
use crate::status::http::{Answer, Response, Status};

pub const CONNECT: &str = "/saved-workers/discord";
pub const FORGET: &str = "/saved-workers/discord/forget";
pub const SWITCH: &str = "/saved-workers/notices";
pub const SWITCH_ONE: &str = "/worker/notify";

/// Makes a code, in the place of the one before, and shows it.
pub fn connect(asked: &Asked<'_>) -> Answer {
    let Some(user) = &asked.user else { return Response::see_other(LOOKUP).into() };
    if !asked.people.has_discord {
        return nowhere(asked);
    }
    let made = {
        let mut codes = asked.people.codes.lock().expect("no code panics while it holds this");
        codes.create(user, unix_now())
    };
    let (status, code, expires_at, problem) = match made {
        Ok(issued) => {
            (Status::Ok, issued.code, format::rfc3339_unix(issued.expires_at_unix), String::new())
        }
        Err(error) => {
            let status = match error {
                CreateError::TooMany { .. } => Status::TooManyRequests,
                _ => Status::InternalError,
            };
            (status, String::new(), String::new(), error.to_string())
        }
    };
    let page = context! { here => DASHBOARD, code, expires_at, problem };
    asked.paper.page(status, "discord.html", page).into()
}

/// Whoever has seen enough of the code takes it back.
pub fn forget(asked: &Asked<'_>) -> Answer {
    let Some(user) = &asked.user else { return Response::see_other(LOOKUP).into() };
    let fields = fields(asked.request);
    let mut codes = asked.people.codes.lock().expect("no code panics while it holds this");
    codes.clear(user, field(&fields, "code"), unix_now());
    Response::see_other(DASHBOARD).into()
}

/// All notices of somebody who is linked.
pub fn switch(asked: &Asked<'_>) -> Answer {
    let Some(user) = asked.user.clone() else { return Response::see_other(LOOKUP).into() };
    if !asked.people.has_discord {
        return nowhere(asked);
    }
    let enabled = Fields::of(asked.request).and_then(|fields| fields.truth("enabled"));
    let (links, enabled) = (asked.people.links.clone(), enabled.unwrap_or(false));
    Answer::waiting(
        move || links.set_enabled(&user, enabled, unix_now()),
        move |set| {
            back(match set {
                Ok(true) if enabled => "notices_on",
                Ok(true) => "notices_off",
                Ok(false) => "not_linked",
                Err(_) => "store_failed",
            })
        },
    )
}

/// Notices of one worker.
pub fn switch_one(asked: &Asked<'_>) -> Answer {
    let Some(user) = asked.user.clone() else { return Response::see_other(LOOKUP).into() };
    let fields = Fields::of(asked.request).unwrap_or_default();
    let hash = fields.get("hash").to_ascii_lowercase();
    if !is_hash_hex(&hash) {
        return Response::see_other(DASHBOARD).into();
    }
    let (saved, enabled) = (asked.people.saved.clone(), fields.truth("enabled").unwrap_or(false));
    Answer::waiting(
        move || saved.set_notify(&user, &hash, enabled),
        move |set| {
            back(match set {
                Ok(()) if enabled => "worker_on",
                Ok(()) => "worker_off",
                Err(SaveError::Unknown) => "removed",
                Err(_) => "store_failed",
            })
        },
    )
}

fn back(notice: &str) -> Response {
    Response::see_other(format!("{DASHBOARD}?notice={notice}"))
}

fn nowhere(asked: &Asked<'_>) -> Answer {
    let path = &asked.request.path;
    asked.paper.error(Status::NotFound, path, "Not Found", "This pool has no Discord.").into()
}
