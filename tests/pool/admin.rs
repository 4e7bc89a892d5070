//! The operator's panel: signing in with the password that the pool has made, and what is done there
//! reaches the miners and the process.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;
use sha2::{Digest, Sha256};

use crate::http::{self, Response};
use crate::miner::Miner;
use crate::node::{Chain, Node};
use crate::poll::until;
use crate::pool::{Pool, SNAPSHOT_LIMIT};
use crate::settings::{MINER_ADDRESS, Settings};
use crate::stratum::{ANSWER_LIMIT, Client, Connection, Heard, connect};

const STOP_LIMIT: Duration = Duration::from_secs(15);
/// Argon2 in a debug build, on a machine busy with other tests.
const HASH_LIMIT: Duration = Duration::from_secs(30);

/// A browser with one tab.
pub struct Operator {
    address: SocketAddr,
    origin: String,
    cookie: String,
    token: String,
    password: String,
}

fn file(pool: &Pool) -> PathBuf {
    pool.folder().join("config/admin.toml")
}

impl Operator {
    /// Switches the panel on and signs in.
    #[track_caller]
    pub fn sign_in(pool: &Pool) -> Self {
        let text = fs::read_to_string(file(pool)).expect("a file of the first start");
        assert_eq!(pool.get("/admin", &[]).status, 404, "it is off");
        let table: toml::Table = text.parse().expect("TOML");
        let password = table["password"].as_str().expect("a password").to_owned();
        fs::write(file(pool), text.replace("enabled = false", "enabled = true # now"))
            .expect("written");
        let origin = format!("http://{}", pool.http_address());
        let (cookie, token) = (String::new(), String::new());
        let address = pool.http_address();
        let mut operator = Self { address, origin, cookie, token, password };
        let wrong = operator.post("/admin/login", "username=admin&password=wrong");
        assert_eq!(wrong.status, 401);
        operator.sign_in_again();
        operator
    }

    /// The same at a pool that has been started again.
    #[track_caller]
    pub fn come_back(self, pool: &Pool) -> Self {
        let address = pool.http_address();
        let origin = format!("http://{address}");
        let mut operator = Self { address, origin, ..self };
        operator.sign_in_again();
        operator
    }

    #[track_caller]
    fn sign_in_again(&mut self) {
        let form = format!("username=admin&password={}", self.password);
        let right = self.post("/admin/login", &form);
        assert_eq!(
            (right.status, right.header("location")),
            (303, Some("/admin?notice=logged_in"))
        );
        self.get("/admin");
    }

    pub fn password(&self) -> &str {
        &self.password
    }

    fn exchange(&mut self, method: &str, path: &str, body: &str) -> Response {
        let headers = [("Cookie", &*self.cookie), ("Origin", &*self.origin)];
        let response = http::exchange(self.address, method, path, &headers, body, HASH_LIMIT)
            .expect("an answer");
        assert_eq!(response.header("cache-control"), Some("no-store"), "{method} {path}");
        if let Some(cookie) = response.header("set-cookie") {
            self.cookie = cookie.split(';').next().expect("a pair").to_owned();
        }
        if let Some((_, rest)) = response.body.split_once("name=\"form_token\" value=\"") {
            self.token = rest.split('"').next().expect("a token").to_owned();
        }
        response
    }

    pub fn get(&mut self, path: &str) -> Response {
        self.exchange("GET", path, "")
    }

    pub fn post(&mut self, path: &str, form: &str) -> Response {
        let body = format!("{form}&form_token={}", self.token);
        self.exchange("POST", path, &body)
    }

    /// With the password, to the page that says it is done.
    #[track_caller]
    pub fn act(&mut self, path: &str, form: &str, notice: &str) {
        let form = format!("{form}&password={}", self.password);
        let response = self.post(path, &form);
        let location = response.header("location").unwrap_or_else(|| panic!("{}", response.body));
        assert!(location.ends_with(&format!("notice={notice}")), "{location}");
        assert_eq!(self.get(location).status, 200);
    }
}

#[test]
fn an_operator_bans_a_miner_lets_it_back_and_stops_the_pool() {
    let node = Node::new(Chain::Regtest);
    let mut pool = Pool::start(Settings::of(&node));
    let worker = format!("{MINER_ADDRESS}.banned");
    let other = format!("{MINER_ADDRESS}.other");
    let mut miner = Miner::join(pool.stratum(), &worker);
    let mut stays = Miner::join(pool.stratum(), &other);
    miner.job();
    let mut operator = Operator::sign_in(&pool);

    let text = fs::read_to_string(file(&pool)).expect("the file");
    assert!(
        text.contains("enabled = true # now") && text.contains("password_argon2id = \"$argon2id$")
    );
    assert!(!text.contains(&operator.password), "the password is gone");
    let mode = fs::metadata(file(&pool)).expect("the file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    // Two that have not said who they mine for; one of them has to go.
    let mut silent = Connection::open(pool.stratum()).expect("a connection");
    let socket = connect(pool.stratum()).expect("a connection");
    let remote = socket.local_addr().expect("its address");
    let mut gone = Connection::over(socket);
    let page = until("the stranger is listed", SNAPSHOT_LIMIT, || {
        let page = operator.get("/admin/strangers").body;
        page.contains(&format!("value=\"{remote}\"")).then_some(page)
    });
    assert!(!page.contains(MINER_ADDRESS), "{page}");
    operator.act(
        "/admin/strangers/disconnect",
        &format!("remote={remote}"),
        "stranger_disconnected",
    );
    let lines = gone.last_words(ANSWER_LIMIT).expect("the pool closes");
    assert!(lines.last().is_some_and(|line| line.contains("by the pool's operator")), "{lines:?}");
    silent.send(b"{\"id\":1,\"method\":\"mining.ping\",\"params\":[]}\n").expect("it is open");
    assert!(matches!(silent.hear(ANSWER_LIMIT), Heard::Line(line) if line.contains("pong")));

    // The miner is listed about a second after it has come.
    let sequence = until("the miner is listed", SNAPSHOT_LIMIT, || {
        let page = operator.get("/admin/miners?q=.BANNED").body;
        let (_, rest) = page.split_once("name=\"connection_seq\" value=\"")?;
        Some(rest.split('"').next()?.to_owned())
    });
    operator.act("/admin/miners/ban", &format!("connection_seq={sequence}"), "miner_banned");
    let lines = miner.into_connection().last_words(ANSWER_LIMIT).expect("the pool closes");
    let message = "Banned: banned by the operator";
    let shown = json!({"id": null, "method": "client.show_message", "params": [message]});
    assert_eq!(lines.last(), Some(&shown.to_string()));

    let authorize = |worker: &str| {
        let mut client = Client::open(pool.stratum());
        client.request("mining.subscribe", &json!([]));
        client.request("mining.authorize", &json!([worker, ""]))
    };
    let refused = authorize(&worker);
    assert!(format!("{refused:?}").contains("banned until"), "{refused:?}");
    let page = operator.get("/admin/bans?q=.banned").body;
    assert!(page.contains(&format!("value=\"{worker}\"")), "{page}");

    operator.act("/admin/bans/remove", &format!("worker_name={worker}"), "bans_removed");
    until("the ban is lifted", SNAPSHOT_LIMIT, || {
        (!format!("{:?}", authorize(&worker)).contains("banned")).then_some(())
    });
    // One that is not here, and of which only the hash of its name is known.
    let hash = const_hex::encode(Sha256::digest(format!("{MINER_ADDRESS}.later")));
    operator.act(
        "/admin/bans/add",
        &format!("worker={hash}&unit=endless&reason=x"),
        "worker_banned",
    );
    let later = Miner::join(pool.stratum(), &format!("{MINER_ADDRESS}.later"));
    let lines = later.into_connection().last_words(ANSWER_LIMIT).expect("the pool closes");
    assert!(lines.last().is_some_and(|line| line.contains("Banned: x")), "{lines:?}");
    assert!(format!("{:?}", authorize(&format!("{MINER_ADDRESS}.later"))).contains("banned: x"));
    // Nobody else has noticed any of it.
    stays.job();

    for (action, result) in [("login", "done"), ("ban", "done"), ("lift-bans", "done")] {
        let fields =
            [&*format!("action={action}"), &*format!("result={result}"), "remote=127.0.0.1"];
        pool.await_log("admin", &fields, SNAPSHOT_LIMIT);
    }
    let page = operator.get("/admin/operator").body;
    assert!(page.contains("lift-bans") && page.contains("Username and password do not belong"));

    let password = operator.password.clone();
    let form = format!("confirm=reboot&password={password}");
    assert_eq!(operator.post("/admin/reboot", &form).status, 400);
    let form = format!("confirm=REBOOT&password={password}");
    let stopping = operator.post("/admin/reboot", &form);
    assert_eq!(stopping.status, 200);
    assert!(stopping.body.contains("The pool is stopping"));
    let status = pool.ended(STOP_LIMIT).expect("the pool ends");
    assert!(status.success(), "as after SIGTERM: {status}");
}
