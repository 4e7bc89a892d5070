//! One request of somebody who is signed in, and what is answered to it.

use std::net::IpAddr;
use std::rc::Rc;

use minijinja::context;
use minijinja::value::Value;
use serde::Serialize;

use super::super::account::Fields;
use super::super::auth::Signed;
use super::super::http::{Answer, Request, Response, Status};
use super::super::rendered::Paper;
use super::audit::{Changed, Note};
use super::notice;
use super::routes::TABS;
use super::{Admin, Credentials};
use crate::config::admin::Access;

/// What pages are made of, as of the request: an answer that takes its time keeps it.
#[derive(Clone)]
pub struct Desk {
    pub admin: Rc<Admin>,
    pub paper: Paper,
    pub client: IpAddr,
    pub path: String,
}

/// A form that could not be done as it was sent: said beside it.
#[derive(Clone, Debug, Serialize)]
pub struct Problem {
    /// Which form of the page.
    pub form: &'static str,
    pub words: String,
    #[serde(skip)]
    pub status: Status,
    /// Seconds after which it is worth another try.
    #[serde(skip)]
    pub retry_after: Option<u64>,
}

impl Problem {
    pub fn new(form: &'static str, status: Status, words: impl Into<String>) -> Self {
        Self { form, words: words.into(), status, retry_after: None }
    }

    /// A field that is not what it must be.
    pub fn bad(form: &'static str, words: impl Into<String>) -> Self {
        Self::new(form, Status::BadRequest, words)
    }
}

impl Desk {
    pub fn new(admin: Rc<Admin>, paper: Paper, request: &Request) -> Self {
        Self { admin, paper, client: request.client, path: request.path.clone() }
    }
}

/// Somebody who is signed in and wants something.
#[derive(Clone)]
pub struct Visit {
    pub desk: Desk,
    pub access: Access,
    pub signed: Signed<Credentials>,
    pub query: Fields,
    /// What a form has sent; empty for one who only looks.
    pub form: Fields,
}

impl Visit {
    pub fn admin(&self) -> &Rc<Admin> {
        &self.desk.admin
    }

    /// A page of the panel, under one of its tabs. With a problem it has the problem's status, and
    /// shows the problem beside its form; the template finds it as `problem`.
    pub fn page(
        &self,
        tab: &'static str,
        template: &str,
        page: Value,
        problem: Option<&Problem>,
    ) -> Response {
        let shell = context! {
            tabs => TABS,
            tab_path => tab,
            form_token => self.signed.form_token,
            username => self.access.username,
            notice => notice::of(self.query.get("notice")),
            problem,
        };
        let status = problem.map_or(Status::Ok, |problem| problem.status);
        let response = self.desk.paper.page(status, template, context! { ..page, ..shell });
        let response = match problem.and_then(|problem| problem.retry_after) {
            Some(seconds) => response.with("Retry-After", seconds.to_string()),
            None => response,
        };
        response.with("Set-Cookie", self.signed.cookie.clone())
    }

    /// After something was done: where to look at it, and what is said there.
    pub fn see(&self, path: &str, notice: &str) -> Response {
        let mark = if path.contains('?') { '&' } else { '?' };
        Response::see_other(format!("{path}{mark}notice={notice}"))
    }

    /// Writes down what was done.
    pub fn note(&self, action: &'static str, targets: &str, result: &str) {
        self.note_changes(action, targets, &[], result);
    }

    pub fn note_changes(
        &self,
        action: &'static str,
        targets: &str,
        changes: &[Changed],
        result: &str,
    ) {
        self.admin().audit.note(&Note {
            session: &self.signed.name,
            client: self.desk.client,
            action,
            targets,
            changes,
            result,
        });
    }

    /// Does something for which the password must be typed again: the form's field `password`. What
    /// is wrong with it is shown on `page`, beside `form`, and written down as `action`.
    pub fn with_password<P: Into<Answer> + 'static>(
        self,
        action: &'static str,
        form: &'static str,
        page: fn(&Visit, Option<&Problem>) -> P,
        act: impl FnOnce(&Visit) -> Response + 'static,
    ) -> Answer {
        self.with_password_later(action, form, page, |visit| {
            let response = act(&visit);
            Answer::from(response)
        })
    }

    /// The same for what takes its time.
    pub fn with_password_later<P: Into<Answer> + 'static>(
        self,
        action: &'static str,
        form: &'static str,
        page: fn(&Visit, Option<&Problem>) -> P,
        act: impl FnOnce(Visit) -> Answer + 'static,
    ) -> Answer {
        let password = self.form.get("password").to_owned();
        let refuse = move |visit: &Visit, problem: Problem| -> Answer {
            visit.note(action, "", &problem.words);
            page(visit, Some(&problem)).into()
        };
        if password.is_empty() {
            let words = "Type your password to confirm this.";
            return refuse(&self, Problem::new(form, Status::Unauthorized, words));
        }
        let admin = Rc::clone(self.admin());
        let Some(place) = admin.hashing.queue() else {
            return refuse(&self, busy(form));
        };
        let begun = admin.backoff.borrow_mut().begin(self.desk.client, admin.now());
        if let Err(wait) = begun {
            return refuse(&self, too_many(form, wait));
        }
        let kept = self.access.password.clone();
        Answer::Later(Box::pin(async move {
            let is_right = admin.hashing.run(place, move || kept.is(&password)).await;
            if !is_right {
                let words = "That is not the password. Nothing was done.";
                let problem = Problem::new(form, Status::Unauthorized, words);
                return refuse(&self, problem).finish().await;
            }
            admin.backoff.borrow_mut().succeeded(self.desk.client);
            act(self).finish().await
        }))
    }
}

/// Too many are signing in at this moment.
pub fn busy(form: &'static str) -> Problem {
    let words = "Too many passwords are being checked at this moment. Try again in a few seconds.";
    let problem = Problem::new(form, Status::TooManyRequests, words);
    Problem { retry_after: Some(2), ..problem }
}

/// Too many passwords were wrong.
pub fn too_many(form: &'static str, wait: std::time::Duration) -> Problem {
    let seconds = wait.as_secs() + 1;
    let words = match seconds.div_ceil(60) {
        1 => "Too many passwords were wrong. Try again in a minute.".to_owned(),
        minutes => format!("Too many passwords were wrong. Try again in {minutes} minutes."),
    };
    let problem = Problem::new(form, Status::TooManyRequests, words);
    Problem { retry_after: Some(seconds), ..problem }
}
