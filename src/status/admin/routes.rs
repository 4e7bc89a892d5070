//! Which path of the panel gives what, and everything that is checked before: that it is on, where
//! a form comes from, who sends it, and that it was made for them.

use std::rc::Rc;

use serde::Serialize;

use super::super::account::Fields;
use super::super::auth::refuse_foreign;
use super::super::http::{Answer, Method, Request, Response, Status};
use super::super::rendered::Paper;
use super::Admin;
use super::visit::{Desk, Visit};
use super::{accounts, bans, home, login, logs, miners, operator, settings, strangers};

pub const HOME: &str = "/admin";
const LOGIN: &str = "/admin/login";
const LOGOUT: &str = "/admin/logout";

/// A page with an entry in the bar.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Tab {
    pub path: &'static str,
    pub name: &'static str,
}

pub const TABS: &[Tab] = &[
    Tab { path: HOME, name: "Settings" },
    Tab { path: miners::PATH, name: "Miners" },
    Tab { path: accounts::PATH, name: "Accounts" },
    Tab { path: bans::PATH, name: "Bans" },
    Tab { path: settings::CONFIG, name: "Configuration" },
    Tab { path: logs::PATH, name: "Logs" },
    Tab { path: operator::PATH, name: "Operator" },
];

struct AdminRoute {
    path: &'static str,
    method: Method,
    /// Asked for by a script, which has no use for the page where people sign in.
    is_data: bool,
    answer: fn(Visit) -> Answer,
}

const fn page(path: &'static str, answer: fn(Visit) -> Answer) -> AdminRoute {
    AdminRoute { path, method: Method::Get, is_data: false, answer }
}

const fn action(path: &'static str, answer: fn(Visit) -> Answer) -> AdminRoute {
    AdminRoute { path, method: Method::Post, is_data: false, answer }
}

const fn data(path: &'static str, method: Method, answer: fn(Visit) -> Answer) -> AdminRoute {
    AdminRoute { path, method, is_data: true, answer }
}

/// Pages and actions for who is signed in.
const ROUTES: &[AdminRoute] = &[
    page(HOME, |visit| home::page(&visit, None).into()),
    page(miners::PATH, |visit| miners::page(&visit, None).into()),
    action("/admin/miners/disconnect", miners::disconnect),
    action("/admin/miners/ban", miners::ban),
    page(strangers::PATH, |visit| strangers::page(&visit, None)),
    action("/admin/strangers/disconnect", strangers::disconnect),
    page(accounts::PATH, |visit| accounts::page(&visit, None)),
    action("/admin/logins/delete", accounts::delete),
    action("/admin/logins/ban", accounts::ban),
    page(bans::PATH, bans::fresh_page),
    action("/admin/bans/remove", bans::lift),
    action("/admin/bans/add", bans::add),
    page(operator::PATH, |visit| operator::page(&visit).into()),
    action("/admin/apply", settings::apply),
    action("/admin/persist", settings::persist),
    action("/admin/reload-ui", home::reload_ui),
    action("/admin/reboot", home::reboot),
    page(settings::CONFIG, |visit| settings::viewer(&visit).into()),
    page(logs::PATH, logs::page),
    data("/admin/logs/tail", Method::Get, logs::tail),
    action("/admin/logs/switch", logs::switch),
    data("/admin/logs/flags", Method::Post, logs::switch_data),
];

/// None for what is not there, or must seem so: the panel is off.
pub fn answer(admin: &Rc<Admin>, paper: impl Fn() -> Paper, request: &Request) -> Option<Answer> {
    let path = &*request.path;
    let wanted = match path {
        LOGIN | LOGOUT => Method::Post,
        "/admin/" => Method::Get,
        _ => ROUTES.iter().find(|route| route.path == path)?.method,
    };
    let is_data = ROUTES.iter().any(|route| route.path == path && route.is_data);
    let access = admin.access()?;
    let public = admin.switch.public_url.load();
    let is_https = request.is_https || public.as_ref().is_some_and(|url| url.is_https);
    let is_wanted = match request.method {
        Method::Head => wanted == Method::Get,
        method => method == wanted,
    };
    if !is_wanted {
        let allow = if wanted == Method::Get { "GET, HEAD" } else { "POST" };
        return Some(Response::plain(Status::MethodNotAllowed).with("Allow", allow).into());
    }
    if path == "/admin/" {
        return Some(Response::see_other(HOME).into());
    }
    let form = match wanted {
        Method::Post => match form_of(request, public.as_ref().map(|url| url.to_string())) {
            Ok(form) => form,
            Err(refused) => return Some(refused.into()),
        },
        _ => Fields::default(),
    };
    let query = Fields::of_form(&request.query).unwrap_or_default();
    let signed = admin.sessions.borrow_mut().of(request, is_https, access.idle, admin.now());
    let desk = || Desk::new(Rc::clone(admin), paper(), request);
    if path == LOGIN {
        return Some(login::sign_in(desk(), access, &form, signed, is_https));
    }
    let Some(signed) = signed else {
        return Some(match path {
            HOME => login::page(&desk(), &query, None).into(),
            LOGOUT => Response::see_other("/admin?notice=logged_out").into(),
            _ if is_data => Response::refusal(Status::Unauthorized, "Sign in first.").into(),
            _ if wanted == Method::Post => {
                Response::see_other("/admin?notice=session_ended").into()
            }
            _ => Response::see_other(HOME).into(),
        });
    };
    let visit = Visit { desk: desk(), access, signed, query, form };
    if wanted == Method::Post && !visit.signed.made(visit.form.get("form_token")) {
        visit.note("refused", path, "the form is of another session");
        let words = "This form was made for another session, in another tab perhaps. Nothing was \
                     done. Go back, load the page again and repeat it.";
        if is_data {
            return Some(Response::refusal(Status::Forbidden, words).into());
        }
        let (status, reason) = (Status::Forbidden, "This form is too old");
        return Some(visit.desk.paper.error(status, path, reason, words).into());
    }
    if path == LOGOUT {
        return Some(login::sign_out(&visit, request, is_https).into());
    }
    let route = ROUTES.iter().find(|route| route.path == path)?;
    Some((route.answer)(visit))
}

fn form_of(request: &Request, public_url: Option<String>) -> Result<Fields, Response> {
    if refuse_foreign(request, public_url.as_deref()).is_err() {
        let words = "This did not come from one of the pool's own pages, so nothing was done. If the \
                     pool is reached under another address than status_public_url, use that one.";
        return Err(Response::refusal(Status::Forbidden, words));
    }
    Fields::of(request).ok_or_else(|| {
        Response::refusal(Status::BadRequest, "The form cannot be read. Nothing was done.")
    })
}

/// Every path there is, and the method that it takes.
#[cfg(test)]
pub(super) fn paths() -> impl Iterator<Item = (&'static str, Method)> {
    let routes = ROUTES.iter().map(|route| (route.path, route.method));
    routes.chain([(LOGIN, Method::Post), (LOGOUT, Method::Post)])
}
