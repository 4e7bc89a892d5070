//! Signing in and out (`web.md` §6.2).

use std::rc::Rc;

use minijinja::context;
use subtle::ConstantTimeEq;
use tracing::{error, info};

use super::super::account::Fields;
use super::super::auth::Signed;
use super::super::http::{Answer, Request, Response, Status};
use super::Credentials;
use super::audit::Note;
use super::notice;
use super::visit::{Desk, Problem, Visit, busy, too_many};
use crate::config::admin::{self, Access};

pub const FORM: &str = "login";

/// The form, with what was wrong with it.
pub fn page(desk: &Desk, query: &Fields, problem: Option<&Problem>) -> Response {
    let status = problem.map_or(Status::Ok, |problem| problem.status);
    let page = context! { notice => notice::of(query.get("notice")), problem };
    let response = desk.paper.page(status, "admin_login.html", page);
    match problem.and_then(|problem| problem.retry_after) {
        Some(seconds) => response.with("Retry-After", seconds.to_string()),
        None => response,
    }
}

/// `before` is the session that the browser had, which ends if this makes another; `is_https` decides
/// whether the cookie may travel over anything else.
pub fn sign_in(
    desk: Desk,
    access: Access,
    form: &Fields,
    before: Option<Signed<Credentials>>,
    is_https: bool,
) -> Answer {
    let [username, password] = ["username", "password"].map(|name| form.get(name).to_owned());
    // What is not even looked at is not written down: it could be said a thousand times a second.
    let refuse = |desk: &Desk, problem: Problem| page(desk, &Fields::default(), Some(&problem));
    let admin = Rc::clone(&desk.admin);
    let Some(place) = admin.hashing.queue() else { return refuse(&desk, busy(FORM)).into() };
    let begun = admin.backoff.borrow_mut().begin(desk.client, admin.now());
    if let Err(wait) = begun {
        return refuse(&desk, too_many(FORM, wait)).into();
    }
    let paths = admin.plan.paths.clone();
    Answer::Later(Box::pin(async move {
        let checked =
            admin.hashing.run(place, move || check(&access, &paths, &username, &password));
        let Some(access) = checked.await else {
            let words = "Username and password do not belong together.";
            note(&desk, "", words);
            return refuse(&desk, Problem::new(FORM, Status::Unauthorized, words));
        };
        admin.backoff.borrow_mut().succeeded(desk.client);
        let mut sessions = admin.sessions.borrow_mut();
        if let Some(before) = before {
            sessions.end(&before.name);
        }
        let (with, now) = (access.fingerprint, admin.now());
        let signed = sessions.open(with, desk.client, is_https, access.idle, now);
        drop(sessions);
        note(&desk, &signed.name, "done");
        Response::see_other("/admin?notice=logged_in").with("Set-Cookie", signed.cookie)
    }))
}

/// Takes a while: runs on a thread of its own. What the file says afterwards comes back.
fn check(
    access: &Access,
    paths: &crate::config::Paths,
    username: &str,
    password: &str,
) -> Option<Access> {
    // Both are looked at whatever the first one says: the time taken tells nothing of the username.
    let is_name = bool::from(access.username.as_bytes().ct_eq(username.as_bytes()));
    let is_password = access.password.is(password);
    if !is_name || username.is_empty() || !is_password {
        return None;
    }
    match admin::settle(paths, password) {
        Ok(true) => info!(component = "admin", "the password is kept as Argon2id"),
        Ok(false) => {}
        // Whoever knows the password gets in all the same.
        Err(error) => error!(component = "admin", %error, "admin.toml not changed"),
    }
    // What it says now is what the session must go on with.
    admin::read(paths).ok().filter(|now| now.is_enabled && now.username == access.username)
}

fn note(desk: &Desk, session: &str, result: &str) {
    let Desk { admin, client, .. } = desk;
    admin.audit.note(&Note {
        session,
        client: *client,
        action: "login",
        targets: "",
        changes: &[],
        result,
    });
}

pub fn sign_out(visit: &Visit, request: &Request, is_https: bool) -> Response {
    let cookie = visit.admin().sessions.borrow_mut().close(request, is_https);
    visit.note("logout", "", "done");
    Response::see_other("/admin?notice=logged_out").with("Set-Cookie", cookie)
}
