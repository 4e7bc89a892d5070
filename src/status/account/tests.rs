//! The signed-in routes over a real database, in local mode.

use gopool_shards::tally::{Accuracy, Look};
use serde_json::Value;

use super::bench::{Bench, look};
use super::*;
use crate::clock::unix_now;
use crate::identity::worker_hash_hex as worker_hash;
use crate::status::http::{Method, Request, Status};

#[test]
fn who_is_not_signed_in_learns_and_changes_nothing() {
    let mut bench = Bench::new();
    bench.people.local = None;
    for path in ["/api/saved-workers", "/api/saved-workers/history?hash=pool"] {
        assert_eq!(bench.get(path).0, Status::Unauthorized);
    }
    for (path, _) in paths().filter(|(_, method)| *method == "post") {
        assert_eq!(bench.post(path, "worker=w").status, Status::Unauthorized, "{path}");
    }
}

/// Its name leads here, for a browser that asks again.
#[test]
fn a_name_that_is_not_ours_is_somebody_elses_page() {
    let bench = Bench::new();
    let asked = |host: &str| {
        let mut request = Request::get("/api/saved-workers", &[]);
        request.set_header("host", host);
        bench.ask(&request).status
    };
    for host in ["POOL:8080", "127.0.0.1:8080", "[::1]:8080", "localhost"] {
        assert_eq!(asked(host), Status::Ok, "{host}");
    }
    for host in ["evil.example:8080", "127.0.0.1.evil.example", "localhost.evil.example", ""] {
        assert_eq!(asked(host), Status::Unauthorized, "{host}");
    }
}

#[test]
fn only_our_own_pages_change_anything() {
    let bench = Bench::new();
    let mut foreign = Request::get("/worker/save", &[("origin", "https://evil.example")]);
    foreign.method = Method::Post;
    foreign.body = b"worker=w".to_vec();
    assert_eq!(bench.ask(&foreign).status, Status::Forbidden);
    assert!(bench.people.saved.list("local-noauth").is_empty());
    for (path, _) in paths().filter(|(_, method)| *method == "post") {
        foreign.path = path.to_owned();
        assert_eq!(bench.ask(&foreign).status, Status::Forbidden, "{path}");
    }
}

#[test]
fn a_saved_worker_has_a_row_for_each_of_its_connections() {
    let bench = Bench::new();
    bench.location("/worker/save", "worker=w.1");
    let now = unix_now();
    let new = Look { round_trip: None, last_share: None, connected_at: now, ..look("w.1", now) };
    let stable = Look { accuracy: Accuracy::Stable, ..new };
    bench.connect(&[(9, look("w.1", now)), (4, stable)]);
    let (_, list) = bench.get("/api/saved-workers");
    assert_eq!((&list["online_count"], &list["online_worker_count"]), (&2.into(), &1.into()));
    assert_eq!(list["offline_workers"], Value::Array(Vec::new()));
    let rows = list["online_workers"].as_array().unwrap();
    assert_eq!((&rows[0]["connection_seq"], &rows[1]["connection_seq"]), (&4.into(), &9.into()));
    assert_eq!(
        (&rows[1]["estimated_ping_p50_ms"], &rows[1]["accepted"]),
        (&20.0.into(), &10.into())
    );
    assert_eq!(rows[1]["hashrate_accuracy"], "≈");
    assert!(rows[0].get("hashrate_accuracy").is_none() && rows[0].get("last_share").is_none());
}

#[test]
fn many_connections_leave_no_saved_worker_out_and_all_of_them_count() {
    let bench = Bench::new();
    let name = |number: u64| format!("w.{number:02}");
    for number in 0..64 {
        bench.location("/worker/save", &format!("worker={}", name(number)));
    }
    let now = unix_now();
    let each = (0..63).map(|number| (number, look(&name(number), now)));
    let more = (100..120).map(|number| (number, look(&name(0), now)));
    bench.connect(&each.chain(more).collect::<Vec<_>>());
    let (_, list) = bench.get("/api/saved-workers");
    let count = |key: &str| list[key].as_array().unwrap().len();
    assert_eq!((count("online_workers"), count("offline_workers")), (63, 1));
    assert_eq!((&list["online_count"], &list["online_worker_count"]), (&83.into(), &63.into()));
    let list = SavedList::new(&bench.people, "local-noauth", now);
    assert_eq!(list.left_out(), 20);
    assert!((list.sums().0 / 83e12 - 1.0).abs() < 0.01, "{:?}", list.sums());
    // With room in the list one worker has up to sixteen rows.
    let hash = |number| worker_hash(&name(number));
    for number in 1..60 {
        bench.location("/worker/remove", &format!("hash={}", hash(number)));
    }
    let list = SavedList::new(&bench.people, "local-noauth", now);
    assert_eq!(list.left_out(), 5);
}

#[test]
fn workers_that_were_found_are_saved_with_one_press() {
    let bench = Bench::new();
    let now = unix_now();
    bench.connect(&[(1, look("w.1", now)), (2, look("w.2", now)), (3, look("w.3", now))]);
    let form = format!("hash={}&hash={}", worker_hash("w.1"), worker_hash("w.3"));
    assert_eq!(bench.location("/worker/save", &form), "/saved-workers?notice=saved");
    let saved = bench.people.saved.list("local-noauth");
    assert_eq!(saved.iter().map(|row| &*row.display).collect::<Vec<_>>(), ["w.1", "w.3"]);
    let unknown = format!("hash={}", worker_hash("w.4"));
    assert_eq!(bench.location("/worker/save", &unknown), "/saved-workers?notice=not_found");
    assert_eq!(bench.location("/worker/save", "hash=1"), "/worker");
}

/// Its address is no name that somebody else's page could have.
#[test]
fn the_local_user_may_call_the_pages_by_their_address() {
    let bench = Bench::new();
    let save = |host: &str, origin: &str| {
        let mut request = Request::get("/worker/save", &[("origin", origin)]);
        request.method = Method::Post;
        request.set_header("host", host);
        request.body = b"worker=w".to_vec();
        bench.ask(&request).status
    };
    assert_eq!(save("192.168.1.10:8080", "http://192.168.1.10:8080"), Status::SeeOther);
    assert_eq!(save("pool", "http://pool"), Status::SeeOther);
    for (host, origin) in [
        ("192.168.1.10:8080", "http://evil.example"),
        ("192.168.1.10:8080", "http://192.168.1.10"),
        ("192.168.1.10:8080", "http://192.168.1.11:8080"),
        ("evil.example", "http://evil.example"),
    ] {
        assert_eq!(save(host, origin), Status::Forbidden, "{host} {origin}");
    }
}

#[test]
fn a_worker_is_saved_listed_and_removed() {
    let bench = Bench::new();
    assert_eq!(bench.location("/worker/save", "worker="), "/worker");
    assert_eq!(bench.location("/worker/save", "worker=w.1"), "/saved-workers?notice=saved");
    let long = format!("worker={}", "w".repeat(300));
    assert_eq!(bench.location("/worker/save", &long), "/saved-workers?notice=too_long");
    let (status, list) = bench.get("/api/saved-workers");
    assert_eq!(status, Status::Ok);
    assert_eq!(
        (&list["saved_count"], &list["saved_max"], &list["online_count"]),
        (&1.into(), &64.into(), &0.into())
    );
    assert_eq!(list["online_workers"], Value::Array(Vec::new()), "never null");
    let row = &list["offline_workers"][0];
    assert_eq!((&row["name"], &row["notify_enabled"]), (&"w.1".into(), &true.into()));
    let hash = worker_hash("w.1");
    let off = bench.post("/api/saved-workers/notify-enabled", &format!("hash={hash}&enabled=off"));
    assert_eq!(off.body.as_bytes(), br#"{"ok":true,"enabled":false}"#);
    assert_eq!(bench.get("/api/saved-workers").1["offline_workers"][0]["notify_enabled"], false);
    let removed = bench.location("/worker/remove", &format!("hash={hash}"));
    assert_eq!(removed, "/saved-workers?notice=removed");
    assert_eq!(bench.get("/api/saved-workers").1["saved_count"], 0);
    let gone = bench.post("/api/saved-workers/notify-enabled", &format!("hash={hash}&enabled=1"));
    assert_eq!(gone.status, Status::NotFound);
}

#[test]
fn the_history_is_of_ones_own_workers_and_the_pool() {
    let bench = Bench::new();
    bench.location("/worker/save", "worker=w.1");
    let (own, other) = (worker_hash("w.1"), worker_hash("w.2"));
    let ask = |query: &str| bench.get(&format!("/api/saved-workers/history?{query}"));
    let (status, series) = ask(&format!("hash={own}"));
    assert_eq!(status, Status::Ok);
    assert_eq!(
        (&series["name"], &series["i"], &series["n"]),
        (&"w.1".into(), &60.into(), &1440.into())
    );
    assert_eq!(series["hq"].as_array().unwrap().len(), 1440, "zeros when there is nothing");
    assert_eq!(ask("hash=POOL").1["name"], "pool");
    assert_eq!(ask("hash=pool&days=30").1["i"], 1800);
    assert_eq!(ask(&format!("hash={other}")).0, Status::NotFound);
    for query in
        ["", "hash=x", "hash=pool&days=7", "hash=%zz", &format!("hash={}", "pool,".repeat(70))]
    {
        assert_eq!(ask(query).0, Status::BadRequest, "{query}");
    }
    let (_, batch) = ask(&format!("hash={own},{other},pool"));
    let names: Vec<_> = batch["series"].as_array().unwrap().iter().map(|s| &s["name"]).collect();
    assert_eq!(names, ["w.1", "pool"]);
}

#[test]
fn codes_are_made_and_cleared_where_they_can_be_used() {
    let mut bench = Bench::new();
    let made = bench.post("/api/saved-workers/one-time-code", "");
    let made: Value = serde_json::from_slice(made.body.as_bytes()).unwrap();
    let code = made["code"].as_str().unwrap();
    assert!(code.starts_with("ABCD-"), "{code}");
    let clear = |bench: &Bench, code: &str| {
        let cleared = bench.post("/api/saved-workers/one-time-code/clear", &format!("code={code}"));
        String::from_utf8(cleared.body.as_bytes().to_vec()).unwrap()
    };
    assert_eq!(clear(&bench, "ABCD-no-such-code-here"), r#"{"cleared":false}"#);
    assert_eq!(clear(&bench, code), r#"{"cleared":true}"#);
    for _ in 0..4 {
        bench.post("/api/saved-workers/one-time-code", "");
    }
    let refused = bench.post("/api/saved-workers/one-time-code", "");
    assert_eq!(refused.status, Status::TooManyRequests);
    assert!(refused.field("Retry-After").is_some());
    bench.people.has_discord = false;
    assert_eq!(bench.post("/api/saved-workers/one-time-code", "").status, Status::NotFound);
    assert_eq!(bench.post("/api/discord/notify-enabled", "enabled=1").status, Status::NotFound);
}

#[test]
fn notices_on_discord_are_switched_by_who_is_linked() {
    let mut bench = Bench::new();
    let switch = |bench: &Bench, body: &str| {
        let response = bench.post("/api/discord/notify-enabled", body);
        (response.status, String::from_utf8(response.body.as_bytes().to_vec()).unwrap())
    };
    let flags = |bench: &Bench| {
        let (_, list) = bench.get("/api/saved-workers");
        [list["discord_registered"].as_bool(), list["discord_notify_enabled"].as_bool()]
    };
    assert_eq!(switch(&bench, "enabled=1").0, Status::NotFound);
    assert_eq!(flags(&bench), [Some(false), Some(false)]);
    bench.people.links.link("local-noauth", "7", 100).unwrap();
    assert_eq!(flags(&bench), [Some(true), Some(true)]);
    assert_eq!(
        switch(&bench, "enabled=off"),
        (Status::Ok, r#"{"ok":true,"enabled":false}"#.to_owned())
    );
    assert_eq!(flags(&bench), [Some(true), Some(false)]);
    assert_eq!(switch(&bench, "enabled=on").0, Status::Ok);
    assert_eq!(flags(&bench), [Some(true), Some(true)]);
    assert_eq!(switch(&bench, "").0, Status::BadRequest);
    bench.people.has_discord = false;
    assert_eq!((switch(&bench, "enabled=1").0, flags(&bench)), (Status::NotFound, [None, None]));
}

#[test]
fn all_of_ones_workers_are_one_series_too() {
    let bench = Bench::new();
    bench.location("/worker/save", "worker=w.1");
    let (status, series) = bench.get("/api/saved-workers/history?hash=combined");
    assert_eq!((status, &series["name"]), (Status::Ok, &"combined".into()));
    assert_eq!(series["hq"].as_array().unwrap().len(), 1440);
}
