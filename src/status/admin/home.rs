//! The panel's first page: the settings, and at its end loading the pages again and stopping the
//! pool (`web.md` §6.6).

use minijinja::context;

use super::super::http::{Answer, Response};
use super::routes::HOME;
use super::settings;
use super::visit::{Problem, Visit};
use crate::command::Command;
use crate::config::fields::Refusal;

const RELOAD: &str = "reload";
const REBOOT: &str = "reboot";

pub fn page(visit: &Visit, problem: Option<&Problem>) -> Response {
    page_with(visit, problem, &[])
}

/// With what is wrong with the fields of the settings, beside each of them.
pub fn page_with(visit: &Visit, problem: Option<&Problem>, refused: &[Refusal]) -> Response {
    visit.page(HOME, "admin.html", settings::context(visit, refused), problem)
}

/// As SIGUSR1.
pub fn reload_ui(visit: Visit) -> Answer {
    if let Some(refused) = unless_typed(&visit, "reload-ui", RELOAD, "RELOAD") {
        return refused.into();
    }
    visit.with_password("reload-ui", RELOAD, page, |visit| {
        visit.admin().switch.reload();
        visit.note("reload-ui", "", "done");
        visit.see(HOME, "ui_reloaded")
    })
}

/// As SIGTERM: the page comes first, for the pages are served until the miners have gone.
pub fn reboot(visit: Visit) -> Answer {
    if let Some(refused) = unless_typed(&visit, "reboot", REBOOT, "REBOOT") {
        return refused.into();
    }
    visit.with_password("reboot", REBOOT, page, |visit| {
        let is_sent = visit.admin().command(Command::Stop);
        visit.note("reboot", "", if is_sent { "done" } else { "the pool is stopping already" });
        visit.page(HOME, "admin_stopping.html", context! {}, None)
    })
}

/// The word that shows that somebody means it, exactly.
pub fn unless_typed(
    visit: &Visit,
    action: &'static str,
    form: &'static str,
    word: &str,
) -> Option<Response> {
    if visit.form.get("confirm") == word {
        return None;
    }
    let problem = Problem::bad(form, format!("Type {word}, in capitals, to confirm this."));
    visit.note(action, "", "the word was not typed");
    Some(page(visit, Some(&problem)))
}
