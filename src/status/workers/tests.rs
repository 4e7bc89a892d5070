//! Pages about workers, asked for as a browser asks.

use std::path::PathBuf;

use crossbeam_channel::{Receiver, unbounded};
use glommio::LocalExecutorBuilder;
use gopool_shards::admission::ban::Ban;

use super::*;
use crate::clock::unix_now;
use crate::command::Command;
use crate::identity::worker_hash_hex;
use crate::snapshot::SnapshotCell;
use crate::status::account::bench::{Bench, look, post};
use crate::status::sample;
use crate::status::site::Site;

const WALLET: &str = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4";
const WALLET_HASH: &str = "6cd42dab0217b54fdf5df95b892f055d2a462baa8c0b269e71e4ba6ec65ca66b";

struct Visitor {
    site: Site,
    bans: Arc<Bans>,
    workers: Workers,
    commands: Receiver<Command>,
    bench: Bench,
}

impl Visitor {
    fn new() -> Self {
        let snapshots = SnapshotCell::new(sample::busy());
        let site = Site::new(snapshots, sample::history(), PathBuf::new(), true, None);
        let (bench, bans) = (Bench::new(), Arc::<Bans>::default());
        let (sender, commands) = unbounded();
        let workers = Workers {
            people: bench.people.clone(),
            network: Network::Mainnet,
            commands: sender,
            reconnect: ReconnectPolicy::default(),
            banned: BannedByHash::new(Arc::clone(&bans)),
            resets: Resets::default(),
            shows: Shows::default(),
        };
        Self { site, bans, workers, commands, bench }
    }

    fn stranger() -> Self {
        let mut visitor = Self::new();
        visitor.workers.people.local = None;
        visitor
    }

    fn ask(&self, request: &Request) -> Response {
        let route = find(&request.path).expect("a route");
        match route.answer(self.site.paper(), &self.workers, request) {
            Answer::Now(response) => response,
            Answer::Later(response) => {
                LocalExecutorBuilder::default().make().unwrap().run(response)
            }
            Answer::Stream(..) => panic!("no events here"),
        }
    }

    fn get(&self, target: &str) -> (Status, String) {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut request = Request::get(path, &[]);
        request.query = query.to_owned();
        let response = self.ask(&request);
        let text = String::from_utf8(response.body.as_bytes().to_vec()).unwrap();
        (response.status, response.field("Location").map_or(text, str::to_owned))
    }
}

#[test]
fn paths_of_wallets_and_hashes_lead_to_the_same_search() {
    let visitor = Visitor::stranger();
    let search = format!("/worker/search?hash={WALLET_HASH}");
    let upper = WALLET_HASH.to_uppercase();
    for path in [
        format!("/user/{WALLET}.rig-01"),
        format!("/stats/{WALLET}"),
        format!("/users/{upper}"),
        format!("/user/{}", WALLET.to_uppercase()),
    ] {
        assert_eq!(visitor.get(&path), (Status::SeeOther, search.clone()), "{path}");
    }
    for path in ["/user/", "/users/", "/user/...", "/users/xyz", &format!("/users/{WALLET}")] {
        let (status, html) = visitor.get(path);
        assert_eq!(status, Status::BadRequest, "{path}");
        assert!(html.contains("cannot be looked up"));
    }
    assert_eq!(visitor.get("/user").1, "/user/");
    assert_eq!(visitor.get("/stats/"), (Status::SeeOther, "/worker".to_owned()));
}

#[test]
fn workers_of_a_wallet_are_found_by_address_or_hash_in_a_query_or_a_form() {
    let visitor = Visitor::stranger();
    let worker = format!("{WALLET}.rig-01");
    visitor.bench.connect(&[(7, look(&worker, unix_now()))]);
    let by_hash = visitor.get(&format!("/worker/search?hash={WALLET_HASH}"));
    let by_name = visitor.get(&format!("/worker/search?wallet={worker}"));
    let posted = visitor.ask(&post("/worker/search", &format!("wallet={worker}")));
    let posted = String::from_utf8(posted.body.as_bytes().to_vec()).unwrap();
    for html in [&by_hash.1, &by_name.1, &posted] {
        assert!(html.contains("bc1qw508...7kv8f3t4.rig-01") && html.contains("One worker"));
        assert!(!html.contains(WALLET), "not in full");
    }
    assert!(visitor.get("/worker/search").1.contains("Enter a wallet"));
    assert!(visitor.get("/worker/search?wallet=1Nobody").1.contains("No worker of this wallet"));
    assert_eq!(visitor.get("/worker/search?hash=12").0, Status::BadRequest);
}

#[test]
fn a_workers_page_tells_no_more_than_the_visitor_wants() {
    let visitor = Visitor::stranger();
    let worker = format!("{WALLET}.rig-01");
    visitor.bench.connect(&[(7, look(&worker, unix_now()))]);
    let hash = worker_hash_hex(&worker);
    let (status, html) = visitor.get(&format!("/worker/sha256?hash={hash}"));
    assert_eq!(status, Status::Ok);
    assert!(html.contains("bc1qw508...7kv8f3t4.rig-01") && !html.contains(WALLET));
    assert!(html.contains("cgminer") && html.contains("4.12.1"));
    // Asked of its newest connection; nobody answers here.
    assert!(matches!(visitor.commands.try_recv(), Ok(Command::Show { sequence: 7, .. })));
    assert!(html.contains("cannot be shown at this moment"));
    let (_, html) = visitor.get(&format!("/worker/sha256?worker={worker}&privacy=OFF"));
    assert!(html.contains(&worker) && html.contains(&hash));
    for target in ["/worker/sha256?worker=nobody", &format!("/worker/sha256?hash={WALLET_HASH}")] {
        assert_eq!(visitor.get(target).0, Status::NotFound);
    }
    assert_eq!(visitor.get("/worker/sha256").0, Status::Ok);
    assert_eq!(visitor.get("/worker/sha256?hash=12").0, Status::BadRequest);
    assert_eq!(
        visitor.get(&format!("/worker/sha256?worker={}", "w".repeat(257))).0,
        Status::BadRequest
    );
}

#[test]
fn a_banned_worker_has_a_page_without_being_there() {
    let visitor = Visitor::stranger();
    let ban = Ban::new("w.1", unix_now() + 600, "the user is secret-id", None);
    visitor.bans.insert(ban);
    let (status, html) = visitor.get(&format!("/worker/sha256?hash={}", worker_hash_hex("w.1")));
    assert_eq!(status, Status::Ok);
    assert!(html.contains("may not mine until") && html.contains("in "));
    assert!(!html.contains("secret-id"), "what an operator has written stays private");
}

#[test]
fn who_is_signed_in_has_a_list_instead_of_a_lookup() {
    let stranger = Visitor::stranger();
    assert!(stranger.get("/worker").1.contains("Look a worker up"));
    for path in ["/saved-workers", "/stats/", "/stats"] {
        assert_eq!(stranger.get(path), (Status::SeeOther, "/worker".to_owned()));
    }
    let visitor = Visitor::new();
    assert_eq!(visitor.get("/worker"), (Status::SeeOther, "/saved-workers".to_owned()));
    let (status, html) = visitor.get("/saved-workers?notice=list_full");
    assert!(status == Status::Ok && html.contains("Save your first worker"));
    assert!(html.contains("the list is full") && !html.contains("Sign out"));
    assert!(!visitor.get("/saved-workers?notice=odd-code").1.contains("odd-code"));

    visitor.bench.people.saved.save("local-noauth", "w.1").unwrap();
    visitor.bench.people.saved.save("local-noauth", "w.2").unwrap();
    visitor.bench.connect(&[(3, look("w.1", unix_now())), (4, look("x.other", unix_now()))]);
    let (_, html) = visitor.get("/stats/");
    assert!(html.contains(">w.1</a>") && html.contains(">w.2</a>") && html.contains("Away"));
    let (_, html) = visitor.get("/saved-workers?wallet=x.other");
    assert!(html.contains("x.other") && html.contains("1 connected."));
    assert!(!html.contains("Save all"), "one has a button of its own");
    visitor.bench.connect(&[(5, look("x.another", unix_now()))]);
    assert!(visitor.get("/saved-workers?wallet=x").1.contains("Save all 2"));
    assert!(visitor.get("/saved-workers?hash=12").1.contains("64 digits"));
    // A worker of one's own is shown when it is away too.
    let (status, html) = visitor.get(&format!("/worker/sha256?hash={}", worker_hash_hex("w.2")));
    assert!(status == Status::Ok && html.contains("Not connected"));
}

#[test]
fn only_ones_own_worker_is_reset_and_not_again_at_once() {
    let visitor = Visitor::new();
    let reset = |name: &str| {
        let body = format!("hash={}", worker_hash_hex(name));
        let response = visitor.ask(&post("/worker/reconnect", &body));
        (response.status, response.field("Location").unwrap_or_default().to_owned())
    };
    visitor.bench.connect(&[(3, look("w.1", unix_now())), (4, look("w.2", unix_now()))]);
    assert_eq!(reset("w.1").0, Status::Forbidden);
    visitor.bench.people.saved.save("local-noauth", "w.1").unwrap();
    visitor.bench.people.saved.save("local-noauth", "w.3").unwrap();
    assert!(reset("w.1").1.ends_with("notice=reset"));
    match visitor.commands.try_recv() {
        Ok(Command::Disconnect { sequences, .. }) => assert_eq!(sequences, [3]),
        other => panic!("{other:?}"),
    }
    assert!(reset("w.1").1.ends_with("notice=reset_too_soon"));
    assert!(reset("w.3").1.ends_with("notice=not_connected"));
    assert!(visitor.commands.is_empty());
    let mut without = Visitor::new();
    without.workers.reconnect = ReconnectPolicy::Off;
    without.bench.people.saved.save("local-noauth", "w.1").unwrap();
    without.bench.connect(&[(3, look("w.1", unix_now()))]);
    let off = without.ask(&post("/worker/reconnect", &format!("hash={}", worker_hash_hex("w.1"))));
    assert!(off.field("Location").unwrap().ends_with("notice=reset_off"));
    assert!(!without.get("/saved-workers").1.contains("/worker/reconnect"));
    assert!(without.commands.is_empty());
    assert_eq!(visitor.ask(&post("/worker/reconnect", "hash=1")).status, Status::BadRequest);
    let mut foreign = post("/worker/reconnect", "");
    foreign.set_header("origin", "https://evil.example");
    assert_eq!(visitor.ask(&foreign).status, Status::Forbidden);
    let stranger = Visitor::stranger();
    assert_eq!(stranger.ask(&post("/worker/reconnect", "")).status, Status::Unauthorized);
}

#[test]
fn methods_are_what_they_are() {
    let visitor = Visitor::new();
    for (path, method, allow) in [
        ("/worker", Method::Post, "GET, HEAD"),
        ("/worker/search", Method::Other, "GET, HEAD, POST"),
        ("/worker/reconnect", Method::Get, "POST"),
        ("/user/x", Method::Post, "GET, HEAD"),
    ] {
        let mut request = Request::get(path, &[]);
        request.method = method;
        let response = visitor.ask(&request);
        assert_eq!(response.status, Status::MethodNotAllowed, "{path}");
        assert_eq!(response.field("Allow"), Some(allow), "{path}");
    }
}

/// What a form leads to.
fn form(visitor: &Visitor, path: &str, body: &str) -> Response {
    visitor.ask(&post(path, body))
}

fn location(response: &Response) -> String {
    assert_eq!(response.status, Status::SeeOther);
    response.field("Location").unwrap().to_owned()
}

fn text(response: &Response) -> String {
    String::from_utf8(response.body.as_bytes().to_vec()).unwrap()
}

#[test]
fn a_discord_account_is_connected_by_a_code_on_a_page_of_its_own() {
    let visitor = Visitor::new();
    let (_, html) = visitor.get("/saved-workers");
    assert!(html.contains("No Discord account is connected") && html.contains("data-discord"));
    assert!(html.contains("disabled>Switch notices on"));
    let response = form(&visitor, discord::CONNECT, "");
    assert_eq!((response.status, response.field("Cache-Control")), (Status::Ok, Some("no-store")));
    let html = text(&response);
    let code = html.split("/notify ").nth(1).unwrap().split('<').next().unwrap().to_owned();
    assert!(code.starts_with("ABCD-") && html.contains("data-until"), "{html}");
    let codes = || visitor.workers.people.codes.lock().unwrap();
    assert_eq!(codes().live().len(), 1);
    assert_eq!(location(&form(&visitor, discord::FORGET, &format!("code={code}"))), DASHBOARD);
    assert_eq!(codes().live().len(), 0);
    for _ in 0..4 {
        form(&visitor, discord::CONNECT, "");
    }
    let refused = form(&visitor, discord::CONNECT, "");
    assert_eq!(refused.status, Status::TooManyRequests);
    assert!(text(&refused).contains("too many new codes"));
}

#[test]
fn notices_are_switched_for_all_workers_and_for_one() {
    let visitor = Visitor::new();
    let people = &visitor.workers.people;
    let switched = |path: &str, body: &str| {
        let to = location(&form(&visitor, path, body));
        to.split("notice=").nth(1).unwrap_or_default().to_owned()
    };
    assert_eq!(switched(discord::SWITCH, "enabled=1"), "not_linked");
    people.links.link("local-noauth", "7", 1).unwrap();
    assert!(visitor.get("/saved-workers").1.contains("Switch notices off"));
    assert_eq!(switched(discord::SWITCH, "enabled=0"), "notices_off");
    assert!(visitor.get("/saved-workers").1.contains("you are told nothing"));
    assert_eq!(switched(discord::SWITCH, "enabled=1"), "notices_on");
    people.saved.save("local-noauth", "w.1").unwrap();
    let hash = worker_hash_hex("w.1");
    assert!(visitor.get("/saved-workers").1.contains(">Mute<"));
    assert_eq!(switched(discord::SWITCH_ONE, &format!("hash={hash}&enabled=0")), "worker_off");
    assert!(people.saved.notified(&hash).is_empty());
    assert!(visitor.get("/saved-workers").1.contains(">Notify<"));
    assert_eq!(switched(discord::SWITCH_ONE, &format!("hash={hash}&enabled=1")), "worker_on");
    assert_eq!(switched(discord::SWITCH_ONE, "hash=x&enabled=1"), "");
}

#[test]
fn a_pool_without_discord_says_nothing_of_it() {
    let mut visitor = Visitor::new();
    visitor.workers.people.has_discord = false;
    visitor.workers.people.saved.save("local-noauth", "w.1").unwrap();
    let (_, html) = visitor.get("/saved-workers");
    assert!(!html.contains("Notices on Discord") && html.contains("/worker/notify"), "{html}");
    visitor.workers.people.has_notices = false;
    assert!(!visitor.get("/saved-workers").1.contains("/worker/notify"), "nobody would tell");
    for path in [discord::CONNECT, discord::SWITCH] {
        assert_eq!(form(&visitor, path, "enabled=1").status, Status::NotFound);
    }
    let stranger = Visitor::stranger();
    for path in [discord::CONNECT, discord::FORGET, discord::SWITCH, discord::SWITCH_ONE] {
        assert_eq!(location(&form(&stranger, path, "enabled=1")), LOOKUP);
    }
}
