//! What only the operator is told: the pool in figures, who is signed in, and what the panel was used
//! for (`web.md` §6.10, §6.12). Read from the newest snapshot, so nothing here waits.

use minijinja::context;
use serde::Serialize;

use super::super::format;
use super::super::http::Response;
use super::audit::Entry;
use super::visit::Visit;

pub const PATH: &str = "/admin/operator";

/// A signed-in session.
#[derive(Serialize)]
struct SessionRow {
    name: String,
    client: String,
    age: String,
    idle: String,
    is_own: bool,
}

#[derive(Serialize)]
struct AuditRow {
    /// RFC 3339.
    at: String,
    #[serde(flatten)]
    entry: Entry,
}

pub fn page(visit: &Visit) -> Response {
    let admin = visit.admin();
    let seen = admin.sessions.borrow_mut().list(visit.access.idle, admin.now());
    let sessions: Vec<SessionRow> = seen
        .into_iter()
        .map(|seen| SessionRow {
            is_own: seen.name == visit.signed.name,
            name: seen.name,
            client: seen.client.to_string(),
            age: format::uptime(seen.age),
            idle: format::uptime(seen.idle),
        })
        .collect();
    let entries = admin.audit.entries().into_iter();
    let audit: Vec<AuditRow> =
        entries.map(|entry| AuditRow { at: format::rfc3339_unix(entry.at), entry }).collect();
    visit.page(PATH, "admin_operator.html", context! { sessions, audit }, None)
}
