//! Accounts over a real database.

use rusqlite::Connection;

use super::super::accounts;
use super::lists::look;
use super::*;
use crate::command::BanLength;
use crate::identity::worker_hash_hex;

const CONFIRM: &str = "password=correct+horse+battery";

impl Bench {
    fn database(&self) -> Connection {
        let database = Connection::open(self.folder.path().join("state/workers.db")).unwrap();
        database.busy_timeout(Duration::from_secs(5)).unwrap();
        database
    }

    /// One who was here long ago, one who was here lately, and one who has never signed in.
    fn people(&self) {
        let users = [("old", 1_600_000_000, 1_600_000_000), ("new", 1_600_000_000, 1_700_000_000)];
        for (user, first, last) in users {
            self.database()
                .execute("INSERT INTO clerk_users VALUES (?1, ?2, ?3, 7)", (user, first, last))
                .unwrap();
        }
        self.admin().plan.links.link("new", "7", 0).unwrap();
        let saved = &self.admin().plan.saved;
        for (user, worker) in [("new", "w.1"), ("new", "w.2"), ("never", "w.2"), ("never", "w.3")] {
            saved.save(user, worker).unwrap();
        }
        saved.set_notify("new", &worker_hash_hex("w.2"), false).unwrap();
    }

    fn users(&self, query: &str) -> Vec<String> {
        let response = self.get(&format!("{}?{query}", accounts::PATH));
        let html = body(&response).to_owned();
        let values = html.match_indices("name=\"user_id\" value=\"");
        values.map(|(at, it)| html[at + it.len()..].split('"').next().unwrap().to_owned()).collect()
    }

    fn rows(&self, table: &str) -> i64 {
        let count = format!("SELECT count(*) FROM {table}");
        self.database().query_row(&count, (), |row| row.get(0)).unwrap()
    }
}

#[test]
fn accounts_are_listed_by_who_was_here_last_with_what_they_have_saved() {
    let bench = Bench::signed_in();
    assert!(body(&bench.get(accounts::PATH)).contains("Nobody has signed in or saved"));
    bench.people();
    bench.connect([look("w.2", "cgminer", "10.0.0.7:4000")]);
    assert_eq!(bench.users(""), ["new", "old", "never"]);
    assert_eq!(bench.users("q=W.3"), ["never"]);
    assert_eq!(bench.users(&format!("q={}", worker_hash_hex("w.1"))), ["new"]);
    assert_eq!(bench.users("per_page=1&page=2"), ["old"]);
    let response = bench.get(accounts::PATH);
    let html = body(&response);
    assert!(html.contains("2 saved, 1 with notifications") && html.contains("1 plain"), "{html}");
    assert!(html.contains(">7<"), "visits");
}

#[test]
fn accounts_are_deleted_with_all_that_was_theirs() {
    let bench = Bench::signed_in();
    bench.people();
    bench.users("");
    let codes = &bench.admin().plan.codes;
    codes.lock().unwrap().create("new", crate::clock::unix_now()).unwrap();
    for (form, status) in
        [("user_id=new&password=x", Status::Unauthorized), (CONFIRM, Status::BadRequest)]
    {
        let response = bench.post("/admin/logins/delete", form);
        assert_eq!(response.status, status, "{form}");
        assert!(body(&response).contains("id=\"problem-accounts\""));
    }
    assert_eq!((bench.rows("clerk_users"), bench.rows("saved_workers")), (2, 4));
    let form = format!("{CONFIRM}&user_id=new&user_id=never&user_id=new&user_id=&page=1");
    let response = bench.post("/admin/logins/delete", &form);
    assert_eq!(location(&response), "/admin/logins?page=1&per_page=25&notice=saved_worker_deleted");
    assert_eq!(bench.users(""), ["old"]);
    assert_eq!((bench.rows("clerk_users"), bench.rows("saved_workers")), (1, 0));
    assert_eq!(bench.rows("discord_links"), 0);
    assert_eq!(bench.admin().plan.links.count(), (0, 0));
    assert!(codes.lock().unwrap().live().is_empty());
    assert_eq!(bench.last(), ("delete-accounts", "never, new".to_owned(), "done".to_owned()));
}

#[test]
fn what_cannot_be_deleted_is_said_and_nothing_is() {
    let bench = Bench::signed_in();
    bench.people();
    bench.users("");
    bench
        .database()
        .execute_batch(
            "CREATE TRIGGER no BEFORE DELETE ON clerk_users WHEN OLD.user_id = 'old'
             BEGIN SELECT raise(ABORT, 'not this one'); END",
        )
        .unwrap();
    let form = format!("{CONFIRM}&user_id=new&user_id=old");
    let response = bench.post("/admin/logins/delete", &form);
    assert_eq!(response.status, Status::Unavailable);
    assert!(body(&response).contains("Nothing was deleted: "), "{}", body(&response));
    assert_eq!((bench.rows("clerk_users"), bench.rows("saved_workers")), (2, 4));
    assert_eq!(bench.users(""), ["new", "old", "never"]);
    assert!(bench.last().2.contains("not this one"));
}

#[test]
fn saved_workers_are_banned_by_name_or_where_it_is_not_known_by_hash() {
    let bench = Bench::signed_in();
    bench.people();
    bench.connect([look("w.2", "cgminer", "10.0.0.7:4000")]);
    bench.users("");
    let [away, here] = ["w.1", "w.2"].map(worker_hash_hex);
    let form = format!("{CONFIRM}&user_id=new&worker_hash={away}&worker_hash={here}&worker_hash=x");
    let response = bench.post("/admin/logins/ban", &form);
    assert_eq!(location(&response), "/admin/logins?page=1&per_page=25&notice=saved_worker_banned");
    let Ok(Command::Ban { mut workers, length, reason }) = bench.commands.try_recv() else {
        panic!()
    };
    workers.sort();
    assert_eq!((workers, length), (vec![away, "w.2".to_owned()], BanLength::Usual));
    assert!(!reason.contains("new"), "whose worker it is stays private");
    let response = bench.post("/admin/logins/ban", &format!("{CONFIRM}&worker_hash=x"));
    assert_eq!(response.status, Status::BadRequest);
    assert!(bench.commands.is_empty());
}
