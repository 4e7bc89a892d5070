//! Signing in, as a browser asks for it, with tokens that a key of ours has signed.

use std::path::PathBuf;

use glommio::LocalExecutorBuilder;
use serde_json::{Value, json};

use super::super::redirect::PublicUrl;
use super::super::sample;
use super::super::site::Site;
use super::*;
use crate::clerk::ClerkSettings;
use crate::clerk::tests::{USER, clerk, token};
use crate::clock::unix_now;
use crate::outgoing::tests::Served;
use crate::privacy::Secret;
use crate::snapshot::SnapshotCell;
use crate::status::account::bench::Bench;
use crate::status::json::description::faults;

struct Visitor {
    bench: Bench,
    site: Site,
    served: Served,
}

impl Visitor {
    fn new(change: impl FnOnce(&mut ClerkSettings)) -> Self {
        let (clerk, served) = clerk(change);
        let mut bench = Bench::new();
        (bench.people.local, bench.people.clerk) = (None, Some(Arc::new(clerk)));
        let snapshots = SnapshotCell::new(sample::busy());
        let site = Site::new(snapshots, sample::history(), PathBuf::new(), true, None);
        Self { bench, site, served }
    }

    fn usual() -> Self {
        Self::new(|_| {})
    }

    fn request(method: Method, target: &str, headers: &[(&str, &str)], body: &str) -> Request {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut request = Request::get(path, headers);
        (request.method, request.query) = (method, query.to_owned());
        request.body = body.as_bytes().to_vec();
        request
    }

    fn ask(&self, request: &Request) -> Response {
        let people = &self.bench.people;
        let route = find(&request.path, people).expect("a route");
        match route.answer(self.site.paper(), people, request) {
            Answer::Now(response) => response,
            Answer::Later(response) => {
                LocalExecutorBuilder::default().make().unwrap().run(response)
            }
            Answer::Stream(..) => panic!("no events here"),
        }
    }

    fn refresh(&self, request: &Request) -> Response {
        let response = self.ask(request);
        let faults = faults(request.method, &request.path, &response);
        assert!(faults.is_empty(), "{faults:#?}");
        response
    }

    fn get(&self, target: &str) -> Response {
        self.ask(&Self::request(Method::Get, target, &[], ""))
    }

    /// With a session's cookie.
    fn get_signed_in(&self, target: &str) -> Response {
        let cookie = format!("other=1; __session={}", token(&json!({})));
        self.ask(&Self::request(Method::Get, target, &[("cookie", &cookie)], ""))
    }

    fn post(&self, target: &str, headers: &[(&str, &str)], body: &str) -> Response {
        let own = [("origin", "http://pool"), ("content-type", "application/json")];
        let headers: Vec<_> = own.iter().chain(headers).copied().collect();
        let request = Self::request(Method::Post, target, &headers, body);
        if request.path == REFRESH { self.refresh(&request) } else { self.ask(&request) }
    }
}

#[track_caller]
fn location(response: &Response) -> &str {
    assert_eq!(response.status, Status::SeeOther);
    response.field("Location").unwrap()
}

fn text(response: &Response) -> String {
    String::from_utf8(response.body.as_bytes().to_vec()).unwrap()
}

#[test]
fn without_clerk_there_is_nothing_to_sign_in_with() {
    let bench = Bench::new();
    assert_eq!(find("/sign-in", &bench.people), None);
    assert_eq!(find("/clerk/callback", &bench.people), None);
    let mut visitor = Visitor::usual();
    visitor.bench.people.clerk = None;
    assert_eq!(location(&visitor.get("/login")), "/worker");
    assert_eq!(location(&visitor.post("/logout", &[], "")), "/worker");
    assert_eq!(visitor.get("/logout").status, Status::MethodNotAllowed);
    assert_eq!(visitor.post(REFRESH, &[], "{\"token\":\"x\"}").status, Status::NotFound);
    assert_eq!(visitor.get(REFRESH).status, Status::MethodNotAllowed);
}

#[test]
fn the_way_to_clerks_own_page_says_where_to_come_back_to() {
    let visitor = Visitor::usual();
    assert_eq!(
        location(&visitor.get("/login?redirect=/worker%3Fa%3Db")),
        "https://accounts.pool.example/sign-in?frontend_api=https%3A%2F%2Fclerk.pool.example\
         &redirect_url=http%3A%2F%2Fpool%2Fclerk%2Fcallback%3Fredirect%3D%252Fworker%253Fa%253Db\
         &redirect=%2Fworker%3Fa%3Db"
    );
    assert!(
        location(&visitor.get("/login?redirect=//evil"))
            .ends_with("%2Fclerk%2Fcallback&redirect=%2Fsaved-workers")
    );
    let post = visitor.post("/login", &[], "");
    assert_eq!((post.status, post.field("Allow")), (Status::MethodNotAllowed, Some("GET, HEAD")));
}

#[test]
fn people_sign_in_where_the_pool_is_known_to_be() {
    let visitor = Visitor::usual();
    let url = PublicUrl { is_https: true, host: "pool.example".to_owned(), port: None };
    visitor.bench.people.switch.set_public_url(Some(url));
    for path in ["/login?redirect=/x", "/sign-in?redirect=/x"] {
        let moved = format!("{path}&moved=1");
        assert_eq!(location(&visitor.get(path)), format!("https://pool.example{moved}"));
        let bare = path.split('?').next().unwrap();
        assert_eq!(location(&visitor.get(bare)), format!("https://pool.example{bare}?moved=1"));
        // A proxy says another name: people are where they should be, as far as anybody can tell.
        let again = visitor.get(&moved);
        let moved_again = again.field("Location").is_some_and(|it| it.contains("moved=1"));
        assert!(!moved_again, "{path}: {:?}", again.field("Location"));
        let mut request = Visitor::request(Method::Get, path, &[], "");
        request.set_header("host", "pool.example");
        let response = visitor.ask(&request);
        let is_elsewhere =
            response.field("Location").is_some_and(|it| it.ends_with("in?redirect=/x"));
        assert!(!is_elsewhere, "{path}: {:?}", response.field("Location"));
    }
}

#[test]
fn the_form_is_clerks_and_may_load_from_its_host_alone() {
    let visitor = Visitor::usual();
    let page = visitor.get("/sign-in?redirect=/worker");
    assert_eq!(page.status, Status::Ok);
    let policy = page.field("Content-Security-Policy").unwrap();
    assert!(policy.contains("script-src 'self' https://clerk.pool.example;"), "{policy}");
    assert!(!policy.contains("script-src 'self' 'unsafe"), "{policy}");
    let html = text(&page);
    for part in [
        "src=\"https://clerk.pool.example/npm/@clerk/clerk-js@5/dist/clerk.browser.js\"",
        "data-clerk-publishable-key=\"pk_live_x\"",
        "data-target=\"/worker\"",
        "href=\"/login?redirect=%2Fworker\"",
    ] {
        assert!(html.contains(part), "{part}: {html}");
    }
    assert!(!html.contains("sk_live_x"));
    let onward = visitor.get_signed_in("/sign-in?redirect=/pool");
    assert_eq!(location(&onward), "/pool");
    let cookie = onward.field("Set-Cookie").unwrap();
    assert!(cookie.ends_with("; HttpOnly; SameSite=Lax"), "none of a script's any more: {cookie}");
    assert_eq!(location(&visitor.get_signed_in("/sign-in?redirect=%5C%5Cevil")), "/saved-workers");
}

#[test]
fn a_fresh_token_becomes_the_cookie() {
    let visitor = Visitor::usual();
    let ends = unix_now() + 60;
    let good = token(&json!({"exp": ends, "azp": "http://pool"}));
    let path = REFRESH;
    let body = json!({ "token": good }).to_string();
    let response = visitor.post(path, &[], &body);
    assert_eq!(response.status, Status::Ok);
    let told: Value = serde_json::from_str(&text(&response)).unwrap();
    assert_eq!(told, json!({"ok": true, "expires_at": format::rfc3339_unix(ends)}));
    let cookie = response.field("Set-Cookie").unwrap();
    assert!(cookie.starts_with(&format!("__session={good}; Path=/; Expires=")), "{cookie}");
    assert!(cookie.ends_with("; HttpOnly; SameSite=Lax"), "{cookie}");
    let url = PublicUrl { is_https: true, host: "pool.example".to_owned(), port: None };
    visitor.bench.people.switch.set_public_url(Some(url));
    let body = json!({ "token": token(&json!({"azp": "https://pool.example"})) }).to_string();
    let headers = [("origin", "https://pool.example"), ("content-type", "application/json")];
    let response = visitor.refresh(&Visitor::request(Method::Post, path, &headers, &body));
    assert!(response.field("Set-Cookie").unwrap().ends_with("; SameSite=Lax; Secure"));
}

#[test]
fn nothing_else_becomes_the_cookie() {
    let visitor = Visitor::usual();
    let path = REFRESH;
    let token = |others: Value| json!({ "token": token(&others) }).to_string();
    let expired = token(json!({"exp": unix_now() - 60}));
    let foreign = token(json!({"azp": "https://evil.example"}));
    let long = format!("{{\"token\":\"{}\"}}", "x".repeat(REFRESH_BYTES_MAX));
    for (body, status) in [
        ("", Status::BadRequest),
        ("{}", Status::BadRequest),
        ("{\"token\":7}", Status::BadRequest),
        ("{\"token\":\" \"}", Status::BadRequest),
        ("{\"token\":\"a.b.c\"}", Status::Unauthorized),
        (&*expired, Status::Unauthorized),
        (&*foreign, Status::Unauthorized),
        (&*long, Status::ContentTooLarge),
    ] {
        let response = visitor.post(path, &[], body);
        assert_eq!(response.status, status, "{body}");
        assert_eq!(response.field("Set-Cookie"), None);
    }
    let good = token(json!({}));
    let origin = ("origin", "http://pool");
    let form = [origin, ("content-type", "application/x-www-form-urlencoded")];
    let response = visitor.refresh(&Visitor::request(Method::Post, path, &form, &good));
    assert_eq!(response.status, Status::BadRequest, "JSON alone cannot come from a form");
    let foreign = [("origin", "https://evil.example"), ("content-type", "application/json")];
    let response = visitor.refresh(&Visitor::request(Method::Post, path, &foreign, &good));
    assert_eq!(response.status, Status::Forbidden);
    assert_eq!(visitor.get(path).status, Status::MethodNotAllowed);
}

#[test]
fn who_comes_back_with_a_session_goes_on_and_others_sign_in() {
    let visitor = Visitor::usual();
    let back = "/clerk/callback?redirect=/pool";
    assert_eq!(location(&visitor.get_signed_in(back)), "/pool");
    assert_eq!(location(&visitor.get(back)), "/sign-in?redirect=%2Fpool");
    // A token in an address stands in logs and histories, and may be somebody else's: it is none.
    let given = format!("{back}&session_token={}", token(&json!({})));
    assert_eq!(location(&visitor.get(&given)), "/sign-in?redirect=%2Fpool");
    assert_eq!(visitor.get(&given).field("Set-Cookie"), None);
    // Browsers of development instances alone are exchanged.
    let response = visitor.get(&format!("{back}&__clerk_db_jwt=dvb_1"));
    assert_eq!(location(&response), "/sign-in?redirect=%2Fpool");
    assert!(!visitor.served.was_asked());
    let visitor = Visitor::new(|settings| settings.secret_key = Secret::new("sk_test_x"));
    let response = visitor.get(&format!("{back}&__clerk_db_jwt=dvb_1"));
    assert_eq!(location(&response), "/sign-in?redirect=%2Fpool", "nobody is signed in there");
    assert!(visitor.served.asked().starts_with("POST /v1/clients/verify "));
}

#[test]
fn signing_out_ends_the_session_here_and_at_clerk() {
    let visitor = Visitor::usual();
    let cookie = format!("__session={}", token(&json!({})));
    let response = visitor.post("/logout?redirect=/pool", &[("cookie", &cookie)], "");
    assert_eq!(location(&response), "/pool");
    let gone = response.field("Set-Cookie").unwrap();
    assert!(
        gone.starts_with("__session=; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT"),
        "{gone}"
    );
    assert!(visitor.served.asked().starts_with("POST /v1/sessions/sess_1/revoke "));
    // What an open page sends at that moment does not bring it back.
    let body = json!({ "token": token(&json!({})) }).to_string();
    let response = visitor.post(REFRESH, &[], &body);
    assert_eq!((response.status, response.field("Set-Cookie")), (Status::Unauthorized, None));
    let another = json!({ "token": token(&json!({"sid": "sess_2"})) }).to_string();
    assert_eq!(visitor.post(REFRESH, &[], &another).status, Status::Ok);
    assert_eq!(location(&visitor.post("/logout", &[], "")), "/worker");
    assert!(!visitor.served.was_asked(), "there is no session to end");
}

#[test]
fn nobody_elses_page_signs_anybody_out() {
    let visitor = Visitor::usual();
    let cookie = format!("__session={}", token(&json!({})));
    let headers = [("origin", "https://evil.example"), ("cookie", &*cookie)];
    let response = visitor.ask(&Visitor::request(Method::Post, "/logout", &headers, ""));
    assert_eq!(response.status, Status::Forbidden);
    assert!(!visitor.served.was_asked());
    assert_eq!(location(&visitor.get_signed_in("/sign-in?redirect=/pool")), "/pool");
}

#[test]
fn a_cookie_names_its_user_and_a_visit_is_counted() {
    let visitor = Visitor::usual();
    let people = &visitor.bench.people;
    let request = |cookie: &str| Request::get("/worker", &[("cookie", cookie)]);
    let good = format!("__session={}", token(&json!({})));
    assert_eq!(people.user_of(&request(&good)).as_deref(), Some(USER));
    for bad in ["", "__session=", "__session=a.b.c", "other=1"] {
        assert_eq!(people.user_of(&request(bad)), None, "{bad}");
    }
    let expired = format!("__session={}", token(&json!({"exp": unix_now() - 60})));
    assert_eq!(people.user_of(&request(&expired)), None);
}
