//! The panel over a real `admin.toml`, from the outside: requests in, answers out.

use std::fs;
use std::path::{Path, PathBuf};

use crossbeam_channel::{Receiver, unbounded};
use glommio::LocalExecutorBuilder;

use super::super::http::{Answer, Method, Request, Response, Status};
use super::super::site::Site;
use super::super::{PublicUrl, routes as all_routes, sample};
use super::*;
use crate::cli::Flags;
use crate::config::Loader;
use crate::log::{Levels, LogPlan};
use crate::snapshot::SnapshotCell;
use crate::store::StoreHandle;
use crate::store::tests::Folder;

mod accounts;
mod lists;
mod operator;

const CONFIG: &str = "[node]\npayout_address = \"bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4\"\n\
                      rpc_url = \"http://me:hunter2@127.0.0.1:8332\"\n";
const PASSWORD: &str = "correct horse battery";

pub(super) struct Bench {
    pub(super) site: Site,
    pub(super) commands: Receiver<Command>,
    /// What a browser would send.
    cookie: RefCell<String>,
    token: RefCell<String>,
    pub(super) folder: Folder,
}

/// What a pool over this folder gives its panel.
fn plan(folder: &Path, commands: Sender<Command>, store: StoreHandle, reader: Reader) -> AdminPlan {
    let (config, logs) = (folder.join("config"), folder.join("logs"));
    fs::create_dir(&config).unwrap();
    fs::create_dir(&logs).unwrap();
    fs::write(config.join("config.toml"), CONFIG).unwrap();
    let arguments = ["gopool", "-data-dir", folder.to_str().unwrap(), "-max-conns", "7"];
    let loader = Loader::new(Flags::try_from(arguments).unwrap());
    let log_plan = LogPlan {
        pool: logs.join("pool.log"),
        errors: logs.join("errors.log"),
        debug: logs.join("debug.log"),
        net_debug: logs.join("net-debug.log"),
        stdout: false,
        levels: Levels::default(),
    };
    let live = LiveSettings::new(loader.clone(), loader.load().unwrap(), commands.clone());
    let logs = LogFiles::of(&log_plan);
    AdminPlan {
        paths: loader.paths().clone(),
        commands,
        live,
        logs,
        roster: RosterReader::default(),
        bans: Arc::default(),
        sightings: Sightings::new(store.clone()),
        clerk: None,
        saved: SavedWorkers::new(Vec::new(), store.clone()),
        links: Links::new(Vec::new(), store),
        discord: None,
        codes: Arc::new(Mutex::new(Codes::new("ABCD"))),
        reader,
        backup: BackupSettings {
            path: None,
            interval: Duration::from_secs(3600),
            force_every_interval: false,
            is_upload_wanted: false,
            bucket: None,
            b2: None,
        },
    }
}

impl Bench {
    pub(super) fn new() -> Self {
        let (folder, store, reader) = Folder::new();
        let (sender, commands) = unbounded();
        let plan = plan(folder.path(), sender, store, reader);
        let admin = Admin::new(plan, Arc::default());
        let site = Site::new(
            SnapshotCell::new(sample::busy()),
            sample::history(),
            PathBuf::new(),
            true,
            None,
        );
        let site = site.with_admin(Some(admin));
        let bench =
            Self { folder, site, commands, cookie: RefCell::default(), token: RefCell::default() };
        bench.write(&format!("enabled = true\npassword = \"{PASSWORD}\"\n"));
        bench
    }

    pub(super) fn signed_in() -> Self {
        let bench = Self::new();
        let response = bench.login("admin", PASSWORD);
        assert_eq!(location(&response), "/admin?notice=logged_in");
        bench
    }

    pub(super) fn admin(&self) -> &Admin {
        self.site.admin.as_deref().unwrap()
    }

    fn write(&self, text: &str) {
        fs::write(self.admin().plan.paths.folder.join("admin.toml"), text).unwrap();
    }

    fn file(&self) -> String {
        fs::read_to_string(self.admin().plan.paths.folder.join("admin.toml")).unwrap()
    }

    pub(super) fn pass(&self, time: Duration) {
        self.admin().ahead.set(self.admin().ahead.get() + time);
    }

    /// As it is, and what comes back.
    pub(super) fn ask(&self, request: &Request) -> Response {
        let response = match all_routes::answer(&self.site, request) {
            Answer::Now(response) => response,
            Answer::Later(response) => {
                LocalExecutorBuilder::default().make().unwrap().run(response)
            }
            Answer::Stream(..) => panic!("no events here"),
        };
        if let Some(cookie) = response.field("Set-Cookie") {
            *self.cookie.borrow_mut() = cookie.split(';').next().unwrap().to_owned();
        }
        if let Some((_, rest)) = body(&response).split_once("name=\"form_token\" value=\"") {
            *self.token.borrow_mut() = rest.split('"').next().unwrap().to_owned();
        }
        response
    }

    pub(super) fn request(&self, method: Method, target: &str, form: &str) -> Request {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut request = Request::get(path, &[("cookie", &self.cookie.borrow())]);
        request.query = query.to_owned();
        request.method = method;
        request.client = [10, 0, 0, 9].into();
        if method == Method::Post {
            request.set_header("origin", "http://pool");
            request.body = form.as_bytes().to_vec();
        }
        request
    }

    pub(super) fn get(&self, target: &str) -> Response {
        self.ask(&self.request(Method::Get, target, ""))
    }

    /// A form of the page that was seen last.
    pub(super) fn post(&self, path: &str, form: &str) -> Response {
        let form = format!("{form}&form_token={}", self.token.borrow());
        self.ask(&self.request(Method::Post, path, &form))
    }

    fn login(&self, username: &str, password: &str) -> Response {
        let form = format!("username={username}&password={}", password.replace(' ', "+"));
        let response = self.ask(&self.request(Method::Post, "/admin/login", &form));
        if response.status == Status::SeeOther {
            // For the token in its forms.
            self.get("/admin");
        }
        response
    }

    /// What the newest entry of the audit says.
    pub(super) fn last(&self) -> (&'static str, String, String) {
        let entry = self.admin().audit.entries().into_iter().next().unwrap();
        (entry.action, entry.targets, entry.result)
    }
}

pub(super) fn body(response: &Response) -> &str {
    std::str::from_utf8(response.body.as_bytes()).unwrap()
}

#[track_caller]
pub(super) fn location(response: &Response) -> &str {
    assert_eq!(response.status, Status::SeeOther, "{}", body(response));
    response.field("Location").unwrap()
}

/// What tells one answer from another for somebody outside.
fn seen(response: &Response, path: &str) -> (Status, String, Option<String>) {
    let body = body(response).replace(path, "PATH");
    (response.status, body, response.field("Set-Cookie").map(str::to_owned))
}

#[test]
fn where_the_panel_is_off_nothing_tells_that_there_could_be_one() {
    let bench = Bench::new();
    for text in ["", "enabled = false\n", "enabled = tru", "username = 1\nenabled = true\n"] {
        bench.write(text);
        for (path, _) in routes::paths().chain([("/admin/", Method::Get)]) {
            for method in [Method::Get, Method::Head, Method::Post, Method::Other] {
                let there = bench.ask(&bench.request(method, path, "username=a&password=b"));
                let nowhere = bench.ask(&bench.request(method, "/nowhere", ""));
                assert_eq!(seen(&there, path), seen(&nowhere, "/nowhere"), "{method:?} {path}");
            }
        }
    }
    fs::remove_file(bench.admin().plan.paths.folder.join("admin.toml")).unwrap();
    assert_eq!(bench.get("/admin").status, Status::NotFound);
    assert!(bench.admin().audit.entries().is_empty());
}

#[test]
fn who_is_not_signed_in_sees_a_form_and_nothing_else() {
    let bench = Bench::new();
    let response = bench.get("/admin");
    assert_eq!((response.status, response.field("Cache-Control")), (Status::Ok, Some("no-store")));
    let html = body(&response);
    assert!(html.contains("action=\"/admin/login\"") && !html.contains("form_token"));
    assert!(!html.contains("class=\"tabs\""));
    assert_eq!(location(&bench.get("/admin/")), "/admin");
    for (path, method) in
        routes::paths().filter(|(path, _)| !["/admin", "/admin/login"].contains(path))
    {
        let response = bench.ask(&bench.request(method, path, "password=x&confirm=REBOOT"));
        if ["/admin/logs/tail", "/admin/logs/flags"].contains(&path) {
            assert_eq!(response.status, Status::Unauthorized, "{path} is for scripts");
            continue;
        }
        let expected = match (path, method) {
            ("/admin/logout", _) => "/admin?notice=logged_out",
            (_, Method::Post) => "/admin?notice=session_ended",
            _ => "/admin",
        };
        assert_eq!(location(&response), expected, "{path}");
    }
    assert!(bench.commands.is_empty());
    assert!(bench.admin().audit.entries().is_empty(), "nothing was done");
    assert_eq!(bench.get("/admin/nope").status, Status::NotFound);
}

#[test]
fn other_methods_are_told_what_is_allowed() {
    let bench = Bench::signed_in();
    for (path, method) in routes::paths() {
        let (wrong, allowed) = match method {
            Method::Get => (Method::Post, "GET, HEAD"),
            _ => (Method::Get, "POST"),
        };
        let response = bench.ask(&bench.request(wrong, path, ""));
        assert_eq!(response.status, Status::MethodNotAllowed, "{path}");
        assert_eq!(response.field("Allow"), Some(allowed));
    }
}

#[test]
fn signing_in_makes_a_session_and_takes_the_password_out_of_the_file() {
    let bench = Bench::new();
    bench.write(&format!("# mine\nenabled = true\npassword = \"{PASSWORD}\"\n"));
    let response = bench.login(" admin ", PASSWORD);
    assert_eq!(location(&response), "/admin?notice=logged_in");
    let cookie = response.field("Set-Cookie").unwrap();
    assert!(cookie.starts_with("admin_session=") && cookie.contains("; Path=/admin; Expires="));
    assert!(cookie.ends_with("; Max-Age=900; HttpOnly; SameSite=Strict"), "{cookie}");
    let file = bench.file();
    assert!(!file.contains(PASSWORD) && file.contains("$argon2id$") && file.contains("# mine"));
    let page = bench.get("/admin?notice=logged_in");
    let html = body(&page);
    assert!(
        html.contains("aria-label=\"Admin\"") && !html.contains("role=\"status\">You"),
        "{html}"
    );
    assert!(page.field("Set-Cookie").unwrap().contains("Max-Age=900"), "it lasts from now");
    assert_eq!((bench.last().0, &*bench.last().2), ("login", "done"));
    // And again, with what is left in the file.
    assert_eq!(location(&bench.login("admin", PASSWORD)), "/admin?notice=logged_in");
    assert_eq!(bench.file(), file);
    let sessions = |bench: &Bench| {
        bench
            .admin()
            .sessions
            .borrow_mut()
            .list(Duration::from_secs(900), bench.admin().now())
            .len()
    };
    assert_eq!(sessions(&bench), 1, "the one before has ended");
}

#[test]
fn the_cookie_is_for_https_alone_where_the_pool_is_public_over_it() {
    let bench = Bench::new();
    let url = PublicUrl { is_https: true, host: "pool.example".to_owned(), port: None };
    bench.admin().switch.set_public_url(Some(url));
    let mut request = bench.request(Method::Post, "/admin/login", "username=admin&password=");
    request.body = b"username=admin&password=correct+horse+battery".to_vec();
    assert_eq!(bench.ask(&request).status, Status::Forbidden, "it is called another name");
    request.set_header("origin", "https://pool.example");
    let response = bench.ask(&request);
    assert!(response.field("Set-Cookie").unwrap().ends_with("; Secure"));
}

#[test]
fn wrong_passwords_are_refused_and_many_of_them_make_one_wait() {
    let bench = Bench::new();
    for (username, password) in
        [("admin", "x"), ("root", PASSWORD), ("", ""), ("admin", ""), ("", PASSWORD)]
    {
        let response = bench.login(username, password);
        assert_eq!(response.status, Status::Unauthorized, "{username} {password}");
        assert!(body(&response).contains("role=\"alert\""));
        assert_eq!((response.field("Set-Cookie"), bench.last().0), (None, "login"));
    }
    let response = bench.login("admin", PASSWORD);
    assert_eq!(response.status, Status::TooManyRequests, "even the right one");
    assert_eq!(response.field("Retry-After"), Some("60"));
    assert_eq!(bench.admin().audit.entries().len(), 5, "and that is not written down again");
    // Others are not locked out.
    let mut request = bench.request(Method::Post, "/admin/login", "");
    request.body = b"username=admin&password=correct+horse+battery".to_vec();
    request.client = [10, 0, 0, 10].into();
    assert_eq!(location(&bench.ask(&request)), "/admin?notice=logged_in");
    bench.pass(Duration::from_secs(61));
    assert_eq!(location(&bench.login("admin", PASSWORD)), "/admin?notice=logged_in");
    assert_eq!(bench.login("admin", "x").status, Status::Unauthorized, "and all is forgotten");
}

#[test]
fn when_too_many_passwords_are_checked_at_once_one_is_told_to_come_back() {
    let bench = Bench::signed_in();
    let held: Vec<_> = std::iter::from_fn(|| bench.admin().hashing.queue()).collect();
    let form = "confirm=REBOOT&password=correct+horse+battery";
    for response in [bench.login("admin", PASSWORD), bench.post("/admin/reboot", form)] {
        assert_eq!(response.status, Status::TooManyRequests);
        assert_eq!(response.field("Retry-After"), Some("2"));
        assert!(body(&response).contains("Too many passwords are being checked"));
    }
    drop(held);
    for _ in 0..10 {
        // Waiting for one's turn was no failure.
        assert_eq!(location(&bench.login("admin", PASSWORD)), "/admin?notice=logged_in");
    }
}

#[test]
fn a_session_ends_when_it_is_not_used_and_when_it_is_old() {
    let bench = Bench::signed_in();
    for _ in 0..50 {
        bench.pass(Duration::from_secs(890));
        let cookie = bench.get("/admin").field("Set-Cookie").map(str::to_owned);
        if cookie.is_none() {
            break;
        }
    }
    assert_eq!(bench.admin().ahead.get().as_secs() / 890, 49, "twelve hours");
    let bench = Bench::signed_in();
    bench.pass(Duration::from_secs(901));
    let response = bench.post("/admin/reboot", "confirm=REBOOT&password=correct+horse+battery");
    assert_eq!(location(&response), "/admin?notice=session_ended");
    assert!(body(&bench.get("/admin?notice=session_ended")).contains("Your session has ended"));
    assert!(bench.commands.is_empty());
}

#[test]
fn who_signs_out_is_out() {
    let bench = Bench::signed_in();
    let cookie = bench.cookie.borrow().clone();
    let response = bench.post("/admin/logout", "");
    assert_eq!(location(&response), "/admin?notice=logged_out");
    assert!(response.field("Set-Cookie").unwrap().starts_with("admin_session=; Path=/admin; "));
    *bench.cookie.borrow_mut() = cookie;
    assert!(body(&bench.get("/admin?notice=logged_out")).contains("You are signed out."));
    assert_eq!(bench.last().0, "logout");
}

#[test]
fn other_credentials_end_the_sessions_that_were_made_with_the_old_ones() {
    for (old, new) in [
        ("password_argon2id = ", "password_argon2id = \"other\" # "),
        ("enabled = true", "enabled = false"),
        ("enabled = true", "username = \"other\"\nenabled = true"),
        ("enabled = true", "password = \"0123456789abcdef\"\nenabled = true"),
    ] {
        let bench = Bench::signed_in();
        let before = bench.file().replace("password = \"\"\n", "");
        bench.write(&before);
        let changed = before.replace(old, new);
        assert!(body(&bench.get("/admin")).contains("form_token"), "nothing has changed yet");
        bench.write(&changed);
        assert!(!body(&bench.get("/admin")).contains("form_token"), "{new}");
        bench.write(&before);
        assert!(!body(&bench.get("/admin")).contains("form_token"), "and they stay ended");
    }
}

#[test]
fn forms_come_from_our_own_pages_and_from_this_session() {
    let bench = Bench::signed_in();
    let form = "confirm=REBOOT&password=correct+horse+battery";
    let with_token = format!("{form}&form_token={}", bench.token.borrow());
    for (name, value) in [("origin", "http://evil.example"), ("sec-fetch-site", "cross-site")] {
        let mut request = bench.request(Method::Post, "/admin/reboot", &with_token);
        request.set_header(name, value);
        let response = bench.ask(&request);
        assert_eq!(response.status, Status::Forbidden, "{name}");
        assert!(body(&response).contains("did not come from one of the pool's own pages"));
    }
    for form in [form.to_owned(), format!("{form}&form_token=x"), format!("{form}&form_token=")] {
        let response = bench.ask(&bench.request(Method::Post, "/admin/reboot", &form));
        assert_eq!(response.status, Status::Forbidden);
        assert!(body(&response).contains("made for another session"));
    }
    // Another tab has signed in anew: the old tab's form is of a session that has been replaced.
    let old = bench.token.borrow().clone();
    bench.login("admin", PASSWORD);
    let response = bench.ask(&bench.request(
        Method::Post,
        "/admin/reboot",
        &format!("{form}&form_token={old}"),
    ));
    assert_eq!(response.status, Status::Forbidden);
    let mut request = bench.request(Method::Post, "/admin/reboot", "%zz");
    assert_eq!(bench.ask(&request).status, Status::BadRequest);
    request.set_header("origin", "null");
    assert_eq!(bench.ask(&request).status, Status::Forbidden);
    assert!(bench.commands.is_empty());
}

#[test]
fn the_pool_stops_for_the_password_and_the_exact_word_alone() {
    let bench = Bench::signed_in();
    for (form, status, words) in [
        ("confirm=reboot&password=correct+horse+battery", Status::BadRequest, "Type REBOOT"),
        ("confirm=Reboot&password=correct+horse+battery", Status::BadRequest, "Type REBOOT"),
        ("confirm=RELOAD&password=correct+horse+battery", Status::BadRequest, "Type REBOOT"),
        ("password=correct+horse+battery", Status::BadRequest, "Type REBOOT"),
        ("confirm=REBOOT&password=x", Status::Unauthorized, "not the password"),
        ("confirm=REBOOT", Status::Unauthorized, "Type your password"),
    ] {
        let response = bench.post("/admin/reboot", form);
        assert_eq!(response.status, status, "{form}");
        let html = body(&response);
        let (_, after) = html.split_once("id=\"problem-reboot\"").expect("beside its form");
        assert!(after.starts_with(&format!(">{words}")) || after.contains(words), "{form}");
        assert_eq!(bench.last().0, "reboot");
    }
    assert!(bench.commands.is_empty());
    let response = bench.post("/admin/reboot", "confirm=+REBOOT+&password=correct+horse+battery");
    assert_eq!(response.status, Status::Ok);
    assert!(body(&response).contains("The pool is stopping"));
    assert!(matches!(bench.commands.try_recv(), Ok(Command::Stop)));
    assert_eq!(bench.last(), ("reboot", String::new(), "done".to_owned()));
}

#[test]
fn pages_are_loaded_again_for_the_password_and_the_word() {
    let bench = Bench::signed_in();
    let response = bench.post("/admin/reload-ui", "confirm=reload&password=correct+horse+battery");
    assert_eq!(response.status, Status::BadRequest);
    let response = bench.post("/admin/reload-ui", "confirm=RELOAD&password=correct+horse+battery");
    assert_eq!(location(&response), "/admin?notice=ui_reloaded");
    assert!(bench.admin().switch.reload.load(std::sync::atomic::Ordering::Relaxed));
}

#[test]
fn a_password_is_checked_by_the_same_rule_wherever_it_is_asked_for() {
    let bench = Bench::signed_in();
    for _ in 0..5 {
        bench.post("/admin/reboot", "confirm=REBOOT&password=x");
    }
    let form = "confirm=REBOOT&password=correct+horse+battery";
    let response = bench.post("/admin/reboot", form);
    assert_eq!(
        (response.status, response.field("Retry-After")),
        (Status::TooManyRequests, Some("60"))
    );
    assert!(body(&response).contains("id=\"problem-reboot\""));
    assert_eq!(bench.login("admin", PASSWORD).status, Status::TooManyRequests);
    assert!(bench.commands.is_empty());
    bench.pass(Duration::from_secs(60));
    assert_eq!(bench.post("/admin/reboot", form).status, Status::Ok);
}

#[test]
fn a_notice_is_one_of_ours_or_none() {
    let bench = Bench::signed_in();
    for (query, is_said) in [
        ("notice=ui_reloaded", true),
        ("notice=<b>x</b>", false),
        ("notice=%zz", false),
        ("", false),
    ] {
        let response = bench.get(&format!("/admin?{query}"));
        assert_eq!(body(&response).contains("class=\"notice good\""), is_said, "{query}");
        assert!(!body(&response).contains("<b>x</b>"));
    }
}
