//! Who has signed in or saved workers, and what can be done about either (`web.md` §6.8).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use minijinja::context;
use serde::Serialize;

use super::super::format;
use super::super::http::{Answer, Response, Status};
use super::bans::{REASON, names};
use super::list::Wanted;
use super::visit::{Problem, Visit};
use crate::command::{BanLength, Command};
use crate::identity::{NameHash, is_hash_hex};
use crate::privacy;
use crate::store::{SavedWorkerRow, UserRow};

pub const PATH: &str = "/admin/logins";
const FORM: &str = "accounts";

/// Somebody, with what they have saved.
struct Account {
    user: UserRow,
    saved: Vec<SavedWorkerRow>,
}

#[derive(Serialize)]
struct Row {
    user_id: String,
    /// RFC 3339; none when they have never signed in.
    first_seen: Option<String>,
    last_seen: Option<String>,
    visits: u64,
    saved: Vec<SavedCell>,
    notified: usize,
}

#[derive(Serialize)]
struct SavedCell {
    hash: String,
    short_hash: String,
    display: String,
    notify: bool,
    /// Its connections.
    online: Vec<OnlineCell>,
}

#[derive(Serialize)]
struct OnlineCell {
    sequence: u64,
    is_tls: bool,
}

/// Asks the database, beside the status thread.
pub fn page(visit: &Visit, problem: Option<&Problem>) -> Answer {
    let (visit, problem) = (visit.clone(), problem.cloned());
    let reader = visit.admin().plan.reader.clone();
    Answer::waiting(
        move || reader.users().map_err(|error| error.to_string()),
        move |users| render(&visit, users, problem.as_ref()),
    )
}

fn render(
    visit: &Visit,
    users: Result<Vec<UserRow>, String>,
    problem: Option<&Problem>,
) -> Response {
    let is_sent = visit.desk.path != PATH;
    let wanted = Wanted::of(if is_sent { &visit.form } else { &visit.query });
    let (users, load_error) = match users {
        Ok(users) => (users, None),
        Err(error) => (Vec::new(), Some(error)),
    };
    let accounts = accounts(visit, users, &wanted);
    let (shown, part) = wanted.part(&accounts);
    let online = online(visit, shown);
    let rows: Vec<Row> = shown.iter().map(|account| row(account, &online)).collect();
    let page = context! { rows, part, load_error, path => PATH };
    visit.page(PATH, "admin_accounts.html", page, problem)
}

/// Who was seen last first, and who never was last.
fn accounts(visit: &Visit, users: Vec<UserRow>, wanted: &Wanted) -> Vec<Account> {
    let mut by_id: BTreeMap<String, UserRow> =
        users.into_iter().map(|user| (user.user_id.clone(), user)).collect();
    let saved = &visit.admin().plan.saved;
    for user_id in saved.users() {
        let unseen =
            || UserRow { user_id: user_id.clone(), first_seen: 0, last_seen: 0, visits: 0 };
        by_id.entry(user_id.clone()).or_insert_with(unseen);
    }
    let accounts = by_id.into_values().map(|user| {
        let saved = saved.list(&user.user_id);
        Account { user, saved }
    });
    let mut accounts: Vec<Account> = accounts
        .filter(|Account { user, saved }| {
            let of_workers = saved.iter().flat_map(|row| [&*row.display, &*row.worker_hash]);
            let texts: Vec<&str> = std::iter::once(&*user.user_id).chain(of_workers).collect();
            wanted.is_found(&texts)
        })
        .collect();
    // By id already, which the order keeps.
    accounts.sort_by_key(|account| std::cmp::Reverse(account.user.last_seen));
    accounts
}

type Online = HashMap<NameHash, Vec<OnlineCell>>;

fn online(visit: &Visit, shown: &[Account]) -> Online {
    let hashes: Vec<NameHash> =
        shown.iter().flat_map(|it| &it.saved).filter_map(|row| hash(&row.worker_hash)).collect();
    let roster = visit.admin().plan.roster.read();
    let known = roster.known_among(&hashes).into_iter().map(|(hash, _, sequences)| {
        let cells = sequences.into_iter().filter_map(|sequence| {
            let is_tls = roster.connection(sequence)?.is_tls;
            Some(OnlineCell { sequence, is_tls })
        });
        (hash, cells.collect())
    });
    known.collect()
}

fn row(Account { user, saved }: &Account, online: &Online) -> Row {
    let at = |unix: u64| (unix > 0).then(|| format::rfc3339_unix(unix));
    let cell = |row: &SavedWorkerRow| SavedCell {
        hash: row.worker_hash.clone(),
        short_hash: privacy::hash(&row.worker_hash),
        display: row.display.clone(),
        notify: row.notify,
        online: hash(&row.worker_hash)
            .and_then(|hash| online.get(&hash))
            .into_iter()
            .flatten()
            .map(|it| OnlineCell { sequence: it.sequence, is_tls: it.is_tls })
            .collect(),
    };
    Row {
        user_id: user.user_id.clone(),
        first_seen: at(user.first_seen),
        last_seen: at(user.last_seen),
        visits: user.visits,
        notified: saved.iter().filter(|row| row.notify).count(),
        saved: saved.iter().map(cell).collect(),
    }
}

fn hash(hex: &str) -> Option<NameHash> {
    const_hex::decode_to_array(hex).ok()
}

/// Deletes accounts with all that belongs to them: of all that were chosen, or of none.
pub fn delete(visit: Visit) -> Answer {
    let users: Vec<String> =
        names(&visit, "user_id").collect::<BTreeSet<_>>().into_iter().collect();
    if users.is_empty() {
        return page(&visit, Some(&Problem::bad(FORM, "Choose whose account to delete.")));
    }
    visit.with_password_later("delete-accounts", FORM, page, move |visit| {
        let admin = visit.admin();
        let (saved, links) = (admin.plan.saved.clone(), admin.plan.links.clone());
        let (codes, targets) = (Arc::clone(&admin.plan.codes), users.join(", "));
        let sightings = admin.plan.sightings.clone();
        let work = move || {
            let removed = saved.remove_users(&users);
            if removed.is_ok() {
                let mut codes = codes.lock().expect("no code panics while it holds this");
                for user in &users {
                    codes.forget_user(user);
                    sightings.forget(user);
                }
                links.forget_users(&users);
            }
            removed
        };
        Answer::Later(Box::pin(async move {
            let error = match glommio::executor().spawn_blocking(work).await {
                Ok(_) => {
                    visit.note("delete-accounts", &targets, "done");
                    let place = Wanted::of(&visit.form).place(PATH);
                    return visit.see(&place, "saved_worker_deleted");
                }
                Err(error) => error.to_string(),
            };
            visit.note("delete-accounts", &targets, &error);
            let words = format!("Nothing was deleted: {error}");
            page(&visit, Some(&Problem::new(FORM, Status::Unavailable, words))).finish().await
        }))
    })
}

/// Bans saved workers: by name where the pool knows it, and by the hash of the name, which is all
/// that is kept of a saved worker, where it has not been here since the start.
pub fn ban(visit: Visit) -> Answer {
    let hashes: BTreeSet<String> = names(&visit, "worker_hash")
        .map(|hash| hash.to_ascii_lowercase())
        .filter(|hash| is_hash_hex(hash))
        .collect();
    if hashes.is_empty() {
        return page(&visit, Some(&Problem::bad(FORM, "Choose which workers to ban.")));
    }
    visit.with_password("ban", FORM, page, move |visit| {
        let wanted: Vec<NameHash> = hashes.iter().filter_map(|hex| hash(hex)).collect();
        let known = visit.admin().plan.roster.read().known_among(&wanted);
        let known: HashMap<NameHash, Arc<str>> =
            known.into_iter().map(|(hash, name, _)| (hash, name)).collect();
        let name = |hash: &NameHash| match known.get(hash) {
            Some(name) => name.to_string(),
            None => const_hex::encode(hash),
        };
        let workers: Vec<String> = wanted.iter().map(name).collect();
        visit.note("ban", &workers.join(", "), "done");
        let (length, reason) = (BanLength::Usual, REASON.to_owned());
        visit.admin().command(Command::Ban { workers, length, reason });
        visit.see(&Wanted::of(&visit.form).place(PATH), "saved_worker_banned")
    })
}
