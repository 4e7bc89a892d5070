//! What the operator is told.

use super::super::{miners, operator, strangers};
use super::*;

#[test]
fn the_operator_sees_the_pool_the_sessions_and_what_was_done() {
    let bench = Bench::signed_in();
    let mut other = bench.request(Method::Post, "/admin/login", "username=admin&password=wrong");
    other.client = [10, 0, 0, 77].into();
    bench.ask(&other);
    let response = bench.get(operator::PATH);
    let html = body(&response);
    assert_eq!(response.field("Cache-Control"), Some("no-store"));
    for text in [
        "1.39 PH/s",
        "(this one)",
        "10.0.0.77",
        "Username and password do not belong",
        "10.0.0.9",
        "3 saved workers are watched, since",
        "data-label=\"To\">ntfy<",
    ] {
        assert!(html.contains(text), "{text}: {html}");
    }
    let (_, audit) = html.split_once("id=\"audit\"").unwrap();
    assert_eq!(
        audit.matches("<time datetime=").count(),
        3,
        "when each of the two was, and the page"
    );
    assert!(!html.contains(PASSWORD) && !html.contains("$argon2id"));
    let own = bench.cookie.borrow().replace("admin_session=", "");
    assert!(!html.contains(&own), "what a session is called is no way in");
}

#[test]
fn every_page_has_one_heading_labelled_fields_and_the_bar() {
    let bench = Bench::signed_in();
    let is_page = |path: &str| path != "/admin/logs/tail";
    let pages = routes::paths().filter(|(_, method)| *method == Method::Get);
    for (path, _) in pages.filter(|(path, _)| is_page(path)) {
        let response = bench.get(path);
        let html = body(&response);
        assert_eq!(response.status, Status::Ok, "{path}");
        assert_eq!(html.matches("<h1").count(), 1, "{path}");
        assert_eq!(html.matches("aria-current=\"page\"").count(), 1, "{path}");
        // Reached from the list of miners, and a part of it.
        let tab = if path == strangers::PATH { miners::PATH } else { path };
        assert!(html.contains(&format!("<a href=\"{tab}\" aria-current=\"page\">")), "{path}");
        for odd in ["NaN", "undefined", "{{", "{%", " style=", "<script>", "onclick"] {
            assert!(!html.contains(odd), "{path} has {odd}");
        }
        for input in html.split("<input ").skip(1).map(|rest| rest.split('>').next().unwrap()) {
            let is_hidden = input.contains("type=\"hidden\"");
            let id = input.split("id=\"").nth(1).and_then(|rest| rest.split('"').next());
            let has_label = id.is_some_and(|id| html.contains(&format!("for=\"{id}\"")));
            assert!(is_hidden || has_label || input.contains("aria-label"), "{path}: {input}");
        }
        let posts = html.matches("method=\"post\"").count();
        assert_eq!(html.matches("name=\"form_token\"").count(), posts, "{path}");
    }
}
