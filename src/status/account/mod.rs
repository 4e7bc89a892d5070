//! What signed-in people ask for and change: their saved workers, the history of these, their codes
//! (`web.md` §2.3, §3.9 to §3.14).

#[cfg(test)]
pub mod bench;
mod forms;
mod list;
mod routes;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use serde::Serialize;

pub use forms::Fields;
pub use list::SavedList;
pub use routes::find;
#[cfg(test)]
pub use routes::paths;

use super::StatusSwitch;
use super::auth::{LOCAL_USER, Origin, cookie, refuse_foreign};
use super::http::{Answer, Method, Networks, Request, Response, Status, host_name};
use crate::clerk::{Clerk, Session};
use crate::clock::unix_now;
use crate::codes::Codes;
use crate::history::HistoryReader;
use crate::ledger::RosterReader;
use crate::notices::discord::Links;
use crate::saved_workers::SavedWorkers;
use crate::sightings::Sightings;

/// What the status server is given to know people and their workers by.
pub struct PeoplePlan {
    pub saved: SavedWorkers,
    pub roster: RosterReader,
    pub history: HistoryReader,
    pub codes: Arc<Mutex<Codes>>,
    pub links: Links,
    /// Discord is configured.
    pub has_discord: bool,
    /// Somebody is told of workers, there or elsewhere.
    pub has_notices: bool,
    pub sightings: Sightings,
    /// Who signs people in, if anybody does.
    pub clerk: Option<Arc<Clerk>>,
    /// Beside this machine, for whom `-saved-workers-local-noauth` is; none without that flag.
    pub local: Option<Networks>,
}

/// What is known of people and their workers, for the status server.
#[derive(Clone)]
pub struct People {
    pub saved: SavedWorkers,
    pub roster: RosterReader,
    pub history: HistoryReader,
    pub codes: Arc<Mutex<Codes>>,
    pub links: Links,
    sightings: Sightings,
    pub clerk: Option<Arc<Clerk>>,
    /// Whoever comes from here is the one local user.
    pub local: Option<Networks>,
    /// Knows `status_public_url`, which may change while the pool runs.
    pub switch: Arc<StatusSwitch>,
    /// Codes are made for those who can use them.
    pub has_discord: bool,
    pub has_notices: bool,
}

/// What a page needs to have Clerk's script on it.
#[derive(Debug, Serialize)]
pub struct ClerkScript {
    src: String,
    publishable_key: String,
}

impl People {
    pub fn new(plan: PeoplePlan, switch: Arc<StatusSwitch>) -> Self {
        Self {
            saved: plan.saved,
            roster: plan.roster,
            history: plan.history,
            codes: plan.codes,
            links: plan.links,
            sightings: plan.sightings,
            clerk: plan.clerk,
            local: plan.local,
            switch,
            has_discord: plan.has_discord,
            has_notices: plan.has_notices,
        }
    }

    /// Who sent a request; none for somebody who is not signed in. They have been here, then.
    pub fn user_of(&self, request: &Request) -> Option<String> {
        let session = self.session_of(request).map(|session| session.user_id);
        let user = session.or_else(|| self.is_local(request).then(|| LOCAL_USER.to_owned()))?;
        self.sightings.see(&user, unix_now());
        Some(user)
    }

    /// What is answered to somebody who is not signed in and wants what is for users.
    pub fn nobody(&self, request: &Request) -> Answer {
        // A page may have been open for longer than its session.
        let is_form = request.method == Method::Post && !request.path.starts_with("/api/");
        match is_form && self.clerk.is_some() {
            true => Response::see_other("/sign-in?redirect=/saved-workers").into(),
            false => Response::plain(Status::Unauthorized).into(),
        }
    }

    /// The session at Clerk that a request's cookie holds a token of.
    pub fn session_of(&self, request: &Request) -> Option<Session> {
        let clerk = self.clerk.as_ref()?;
        let token = cookie(request, &clerk.settings.cookie_name).filter(|it| !it.is_empty())?;
        let origin = self.origin(request).map(|origin| origin.to_string());
        clerk.check(token, origin.as_deref()).ok()
    }

    /// Refuses what does not come from our own pages. The local user may call them by another name than
    /// the public one: [`Self::is_local`] has seen that it is ours.
    pub fn refuse_foreign(&self, request: &Request) -> Result<(), Response> {
        let by_public_name = refuse_foreign(request, self.public_url().as_deref());
        match by_public_name {
            Err(_) if self.is_local(request) => refuse_foreign(request, None),
            result => result,
        }
    }

    /// `-saved-workers-local-noauth`: whoever reaches the pages from here shares one list. No cookie
    /// protects it, so it is not for everybody (FIX-44).
    fn is_local(&self, request: &Request) -> bool {
        let is_near = |near: &Networks| {
            request.client.to_canonical().is_loopback() || near.contains(request.client)
        };
        self.local.as_ref().is_some_and(is_near) && self.is_called_by_our_name(request)
    }

    /// Whether a browser that came here meant us: anybody's page can have a name of its own lead to an
    /// address near its visitor (DNS rebinding), but not an address itself, and not ours.
    fn is_called_by_our_name(&self, request: &Request) -> bool {
        let Some(name) = request.header("host").and_then(host_name) else { return false };
        let is_address = name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
        let public = self.switch.public_url.load();
        let is_known = |ours: &str| name.eq_ignore_ascii_case(ours);
        is_address
            || is_known("localhost")
            || public.as_ref().is_some_and(|url| is_known(&url.host))
    }

    pub fn public_url(&self) -> Option<String> {
        self.switch.public_url.load().as_ref().map(|url| url.to_string())
    }

    /// Where the pages are, as browsers know them.
    pub fn origin(&self, request: &Request) -> Option<Origin> {
        Origin::canonical(self.public_url().as_deref(), request, request.is_https)
    }

    pub fn clerk_script(&self) -> Option<ClerkScript> {
        let settings = &self.clerk.as_ref()?.settings;
        Some(ClerkScript {
            src: format!(
                "{}/npm/@clerk/clerk-js@5/dist/clerk.browser.js",
                settings.frontend_api_url
            ),
            publishable_key: settings.publishable_key.clone(),
        })
    }
}
