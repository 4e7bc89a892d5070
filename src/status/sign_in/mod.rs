//! Signing in and out with Clerk (`web.md` §2.3, §3.8, §4.12): to its pages and back, its form on a
//! page of ours, and the cookie that holds the session's token.

mod cookie;
pub mod policy;
mod target;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use minijinja::context;
use serde::Deserialize;
use tracing::{info, warn};

use super::account::People;
use super::auth::{self, Origin};
use super::format;
use super::http::{Answer, Method, Request, Response, Status};
use super::rendered::Paper;
use crate::clerk::Clerk;

const LOGIN: &str = "/login";
pub const SIGN_IN: &str = "/sign-in";
const LOGOUT: &str = "/logout";
const REFRESH: &str = "/api/auth/session-refresh";
const DASHBOARD: &str = "/saved-workers";
const LOOKUP: &str = "/worker";
/// In a query: whoever asks was sent to the place that people know.
const MOVED: &str = "moved";
const JSON: &str = "application/json";
/// A token has about a thousand.
const REFRESH_BYTES_MAX: usize = 16 * 1024;

/// Something to do with signing in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignIn {
    Login,
    Page,
    Callback,
    Logout,
    Refresh,
}

/// What a path means, if it is about this. Without Clerk there is nothing to sign in with: the ways to it
/// that stand on old pages lead back, and for programs there is nothing.
pub fn find(path: &str, people: &People) -> Option<SignIn> {
    match (path, &people.clerk) {
        (LOGIN, _) => Some(SignIn::Login),
        (LOGOUT, _) => Some(SignIn::Logout),
        (REFRESH, _) => Some(SignIn::Refresh),
        (SIGN_IN, Some(_)) => Some(SignIn::Page),
        (path, Some(clerk)) if path == clerk.settings.callback_path => Some(SignIn::Callback),
        _ => None,
    }
}

/// A request, and what it is answered from.
struct Asked<'a> {
    paper: Paper,
    people: &'a People,
    request: &'a Request,
    clerk: &'a Arc<Clerk>,
}

impl SignIn {
    pub fn answer(self, paper: Paper, people: &People, request: &Request) -> Answer {
        let is_change = matches!(self, Self::Logout | Self::Refresh);
        let is_wanted = match request.method {
            Method::Post => is_change,
            _ => !is_change,
        };
        if !is_wanted {
            let allow = if is_change { "POST" } else { "GET, HEAD" };
            return Response::plain(Status::MethodNotAllowed).with("Allow", allow).into();
        }
        let Some(clerk) = &people.clerk else {
            return match self {
                Self::Refresh => Response::plain(Status::NotFound).into(),
                _ => Response::see_other(LOOKUP).into(),
            };
        };
        if is_change && let Err(refused) = people.refuse_foreign(request) {
            return refused.into();
        }
        let asked = Asked { paper, people, request, clerk };
        match self {
            Self::Login => asked.login().into(),
            Self::Page => asked.page().into(),
            Self::Callback => asked.callback(),
            Self::Logout => asked.logout(),
            Self::Refresh => asked.refresh().into(),
        }
    }
}

/// `redirect` of the query, if it is one of our own places.
fn target<'a>(query: &'a super::account::Fields, usual: &'a str) -> &'a str {
    target::local(query.get("redirect"), usual)
}

impl Asked<'_> {
    fn query(&self) -> super::account::Fields {
        super::account::Fields::of_form(&self.request.query).unwrap_or_default()
    }

    /// Where people know our pages to be; cookies and tokens are for that place.
    fn origin(&self) -> Option<Origin> {
        self.people.origin(self.request)
    }

    fn is_https(&self) -> bool {
        self.origin().is_some_and(|origin| origin.is_https())
    }

    /// The same address at the place that people know, when they came to another. Once: a proxy that
    /// tells us a name of its own for theirs would bring them back here for ever.
    fn elsewhere(&self) -> Option<Response> {
        if !self.query().get(MOVED).is_empty() {
            return None;
        }
        let public = self.people.public_url()?;
        let ours = Origin::of_url(&public)?;
        // Over what they came, a proxy may know better than we do.
        let scheme = if ours.is_https() { "https" } else { "http" };
        let host = self.request.header("host")?;
        let is_there = Origin::of_url(&format!("{scheme}://{host}")) == Some(ours);
        let target = self.request.target();
        let more = if target.contains('?') { '&' } else { '?' };
        let place = || Response::see_other(format!("{public}{target}{more}{MOVED}=1"));
        (!is_there).then(place)
    }

    /// To the page that Clerk hosts.
    fn login(&self) -> Response {
        if !self.clerk.is_ready() {
            return Response::see_other(LOOKUP);
        }
        if let Some(elsewhere) = self.elsewhere() {
            return elsewhere;
        }
        let settings = &self.clerk.settings;
        let base = self.origin().map(|it| it.to_string()).unwrap_or_default();
        let query = self.query();
        let target = target(&query, DASHBOARD);
        // Clerk brings people back to this very address, and to nothing that stands beside it.
        let further = match target {
            DASHBOARD => String::new(),
            target => format!("?redirect={}", format::url_encoded(target)),
        };
        let back = format!("{base}{}{further}", settings.callback_path);
        let location = format!(
            "{}?frontend_api={}&redirect_url={}&redirect={}",
            settings.signin_url,
            format::url_encoded(&settings.frontend_api_url),
            format::url_encoded(&back),
            format::url_encoded(target),
        );
        Response::see_other(location)
    }

    /// To where somebody wanted to go who is signed in already. Their cookie may be the one that Clerk's
    /// script has set, which every script can read: from here on none can.
    fn onward(&self, target: &str) -> Option<Response> {
        let session = self.people.session_of(self.request)?;
        let name = &self.clerk.settings.cookie_name;
        let token = auth::cookie(self.request, name)?;
        let held = cookie::holding(name, token, session.expires_at, self.is_https());
        Some(Response::see_other(target.to_owned()).with("Set-Cookie", held))
    }

    /// A page of ours with Clerk's form on it.
    fn page(&self) -> Response {
        if let Some(elsewhere) = self.elsewhere() {
            return elsewhere;
        }
        let query = self.query();
        let target = target(&query, DASHBOARD);
        if let Some(onward) = self.onward(target) {
            return onward;
        }
        if !self.clerk.is_ready() {
            let words = "Clerk, who signs people in for this pool, cannot be reached. Try again in \
                         a minute.";
            let (status, reason) = (Status::Unavailable, "Nobody can sign in now");
            return self.paper.error(status, SIGN_IN, reason, words).with("Retry-After", "60");
        }
        let settings = &self.clerk.settings;
        let page = context! {
            here => LOOKUP,
            target,
            clerk => self.people.clerk_script(),
            callback => format!("{}?redirect={}", settings.callback_path, format::url_encoded(target)),
            login => format!("{LOGIN}?redirect={}", format::url_encoded(target)),
        };
        let page = self.paper.page(Status::Ok, "sign_in.html", page);
        page.with("Content-Security-Policy", policy::of(&settings.frontend_api_url))
    }

    /// Back from Clerk's page.
    fn callback(&self) -> Answer {
        let query = self.query();
        let target = target(&query, DASHBOARD).to_owned();
        if let Some(onward) = self.onward(&target) {
            return onward.into();
        }
        if !self.clerk.is_ready() {
            return Response::see_other(target).into();
        }
        let sign_in = format!("{SIGN_IN}?redirect={}", format::url_encoded(&target));
        let browser_token = query.get("__clerk_db_jwt").to_owned();
        if browser_token.is_empty() || !self.clerk.backend.can_exchange() {
            return Response::see_other(sign_in).into();
        }
        let (backend, clerk) = (self.clerk.backend.clone(), Arc::clone(self.clerk));
        let origin = self.origin().map(|it| it.to_string());
        let is_https = self.is_https();
        Answer::elsewhere(
            "clerk-exchange",
            move || backend.exchange(&browser_token),
            move |token| {
                let error = match token {
                    Some(Ok(token)) => match clerk.check(&token, origin.as_deref()) {
                        Ok(session) => {
                            let name = &clerk.settings.cookie_name;
                            let held = cookie::holding(name, &token, session.expires_at, is_https);
                            return Response::see_other(target).with("Set-Cookie", held);
                        }
                        Err(error) => error.to_string(),
                    },
                    Some(Err(error)) => error.to_string(),
                    None => "too many are signing in at this moment".to_owned(),
                };
                info!(component = "clerk", error, "somebody who came back is not signed in");
                Response::see_other(sign_in)
            },
        )
    }

    /// Ends the session, here and at Clerk: otherwise its script would sign them straight back in.
    fn logout(&self) -> Answer {
        let query = self.query();
        let gone = cookie::gone(&self.clerk.settings.cookie_name, self.is_https());
        let response =
            Response::see_other(target(&query, LOOKUP).to_owned()).with("Set-Cookie", gone);
        let Some(session) = self.people.session_of(self.request) else { return response.into() };
        self.clerk.end(&session);
        let session = session.session_id;
        if session.is_empty() {
            return response.into();
        }
        let backend = self.clerk.backend.clone();
        Answer::elsewhere(
            "clerk-logout",
            move || backend.end_session(&session),
            move |ended| {
                let error = match ended {
                    Some(Ok(())) => return response,
                    Some(Err(error)) => error.to_string(),
                    None => "too many are signing in or out at this moment".to_owned(),
                };
                warn!(component = "clerk", error, "a session is not ended at Clerk");
                response
            },
        )
    }

    /// Takes a newer token of the session from Clerk's script: each lasts a minute.
    fn refresh(&self) -> Response {
        #[derive(Default, Deserialize)]
        struct Body {
            #[serde(default)]
            token: String,
        }
        if !self.clerk.is_ready() {
            return Response::plain(Status::NotFound);
        }
        if self.request.body.len() > REFRESH_BYTES_MAX {
            return Response::plain(Status::ContentTooLarge);
        }
        let content_type = self.request.header("content-type").unwrap_or_default();
        if !content_type.to_ascii_lowercase().contains(JSON) {
            let words = "the body must be JSON, such as {\"token\":\"…\"}";
            return Response::refusal(Status::BadRequest, words);
        }
        let body: Body = serde_json::from_slice(&self.request.body).unwrap_or_default();
        let token = body.token.trim();
        if token.is_empty() {
            return Response::refusal(Status::BadRequest, "there is no token in it");
        }
        let origin = self.origin().map(|it| it.to_string());
        let Ok(session) = self.clerk.check(token, origin.as_deref()) else {
            return Response::refusal(Status::Unauthorized, "the token is not taken");
        };
        let name = &self.clerk.settings.cookie_name;
        let held = cookie::holding(name, token, session.expires_at, self.is_https());
        let expires_at = format::rfc3339_unix(session.expires_at);
        let text = serde_json::json!({ "ok": true, "expires_at": expires_at }).to_string();
        Response::new(Status::Ok, JSON, text)
            .with("Cache-Control", "no-store")
            .with("Set-Cookie", held)
    }
}
