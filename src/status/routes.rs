//! One table: which path gives what. Every route takes GET and HEAD; the connection leaves out
//! the body of an answer to HEAD.

use std::rc::Rc;
use std::time::{Duration, Instant};

use tracing::debug;

use super::account;
use super::admin;
use super::events::Listener;
use super::exposition::Format;
use super::format;
use super::health::Health;
use super::http::{Answer, Body, Method, Quality, Request, Response, Status, host_name, quality};
use super::json::{self, Endpoint};
use super::limits::Class;
use super::pages::Page;
use super::rendered::{Document, HTML, Rendered};
use super::sign_in::{self, SignIn};
use super::site::Site;
use super::workers;

const PLAIN: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";
const EVENTS: &str = "/api/events";

/// Pages may be shown again for this long while a newer one is fetched (`web.md` §1.5).
const PAGE_FRESHNESS: &str = "public, max-age=5, stale-while-revalidate=5";
/// An asset asked for by its version never changes: one year, the longest that caches heed.
const ASSET_FRESHNESS: &str = "public, max-age=31536000, immutable";
/// Kept, but asked for again each time: the answer is mostly a 304.
const REVALIDATE: &str = "no-cache";
/// Seconds until a monitor should look at an unavailable pool again (`web.md` §1.11).
const RETRY_AFTER: &str = "10";

struct Route {
    path: &'static str,
    answer: fn(&Site, &Request) -> Response,
}

const ROUTES: [Route; 10] = [
    Route { path: "/api/overview", answer: |site, _| fixed(site, Endpoint::Overview) },
    Route { path: "/api/pool-page", answer: |site, _| fixed(site, Endpoint::PoolPage) },
    Route { path: "/api/node", answer: |site, _| fixed(site, Endpoint::Node) },
    Route { path: "/api/server", answer: server },
    Route { path: "/api/pool-hashrate", answer: pool_hashrate },
    Route { path: "/api/blocks", answer: blocks },
    Route { path: "/api/openapi.json", answer: openapi },
    Route { path: "/metrics", answer: metrics },
    Route { path: "/healthz", answer: alive },
    Route { path: "/readyz", answer: ready },
];

/// Every path that has an answer of its own for programs.
#[cfg(test)]
pub fn paths() -> impl Iterator<Item = &'static str> {
    ROUTES.iter().map(|route| route.path)
}

/// Answers any request; the only entrance.
pub fn answer(site: &Site, request: &Request) -> Answer {
    let refused = elsewhere(request).or_else(|| one_too_many(site, request));
    let answer = refused.map_or_else(|| route(site, request), Answer::from);
    let Answer::Now(response) = answer else { return answer };
    let response = response.for_request(request);
    debug!(component = "status", path = request.path, kind = response.status.code(), "answered");
    response.into()
}

/// A path with empty segments or dots is another name of one without.
fn elsewhere(request: &Request) -> Option<Response> {
    let target = request.clean_target()?;
    Some(Response::plain(Status::PermanentRedirect).with("Location", target))
}

fn one_too_many(site: &Site, request: &Request) -> Option<Response> {
    let class = class_of(site, request)?;
    let wait = site.limiter.borrow_mut().count(class, request.client, Instant::now()).err()?;
    let seconds = wait.as_secs() + 1;
    Some(Response::plain(Status::TooManyRequests).with("Retry-After", seconds.to_string()))
}

/// Two places are not known by their path alone.
fn class_of(site: &Site, request: &Request) -> Option<Class> {
    let people = site.workers.as_ref().map(|workers| &workers.people);
    match people.and_then(|people| sign_in::find(&request.path, people)) {
        Some(SignIn::Callback) => Some(Class::SignIn),
        _ if workers::is_wallet_search(request) => Some(Class::Search),
        _ => Class::of(&request.path),
    }
}

fn route(site: &Site, request: &Request) -> Answer {
    if let Some(admin) = &site.admin
        && let Some(answer) = admin::answer(admin, || site.paper(), request)
    {
        return answer;
    }
    let has_json = site.has_json || !request.path.starts_with("/api/");
    if let Some(route) = account::find(&request.path).filter(|_| has_json) {
        return match &site.workers {
            _ if !route.takes(request.method) => {
                Response::plain(Status::MethodNotAllowed).with("Allow", route.allow()).into()
            }
            Some(workers) => route.answer(&workers.people, request),
            None => not_found(site, request).into(),
        };
    }
    if let Some(workers) = &site.workers
        && let Some(sign_in) = sign_in::find(&request.path, &workers.people).filter(|_| has_json)
    {
        return sign_in.answer(site.paper(), &workers.people, request);
    }
    if let Some(route) = workers::find(&request.path) {
        return match &site.workers {
            Some(workers) => route.answer(site.paper(), workers, request),
            None => not_found(site, request).into(),
        };
    }
    let response = match request.method {
        Method::Get | Method::Head if request.path == EVENTS && has_json => {
            return events(site, request);
        }
        _ if request.path == EVENTS && has_json => {
            Response::plain(Status::MethodNotAllowed).with("Allow", "GET, HEAD")
        }
        _ => public(site, request),
    };
    response.into()
}

fn public(site: &Site, request: &Request) -> Response {
    let has_json = site.has_json || !request.path.starts_with("/api/");
    let route = ROUTES.iter().find(|route| route.path == request.path && has_json);
    match (route, Page::of_path(&request.path), site.assets.find(&request.path)) {
        (None, None, None) => not_found(site, request),
        _ if !matches!(request.method, Method::Get | Method::Head) => {
            Response::plain(Status::MethodNotAllowed).with("Allow", "GET, HEAD")
        }
        (Some(route), ..) => (route.answer)(site, request),
        (None, Some(one), _) => page(site, request, one),
        (None, None, Some(asset)) => {
            let is_pinned = request.query == asset.version();
            Response::new(Status::Ok, asset.content_type, asset.body.clone())
                .with("Cache-Control", if is_pinned { ASSET_FRESHNESS } else { REVALIDATE })
                .with("ETag", format!("\"{}\"", asset.fingerprint))
        }
    }
}

/// A stream of what happens; a browser that comes back says in a field what it has seen last.
fn events(site: &Site, request: &Request) -> Answer {
    let head = Response::new(Status::Ok, "text/event-stream", Body::Endless)
        .with("Cache-Control", "no-store")
        // Proxies that gather would keep events for minutes.
        .with("X-Accel-Buffering", "no");
    let listener = Listener::new(Rc::clone(&site.events), request.header("last-event-id"));
    Answer::Stream(head, Box::new(listener))
}

fn page(site: &Site, request: &Request, page: Page) -> Response {
    let newest = site.newest();
    let host = request.header("host").and_then(host_name).unwrap_or("localhost");
    let Some(document) = newest.page(&site.pages(), page, host) else {
        return error_page(site, Status::InternalError, &request.path);
    };
    let is_down = matches!(Health::of(&newest.snapshot), Health::Degraded(_));
    let status = match page {
        // Monitors look here.
        Page::Overview if is_down => Status::Unavailable,
        _ => Status::Ok,
    };
    let response = respond(status, HTML, document)
        .with("Cache-Control", PAGE_FRESHNESS)
        .with("X-HTML-Updated-At", format::rfc3339(newest.snapshot.built_at));
    match status {
        Status::Ok => response,
        _ => response.with("Retry-After", RETRY_AFTER),
    }
}

/// JSON, unless the client names a metrics format that it likes better.
fn server(site: &Site, request: &Request) -> Response {
    let newest = site.newest();
    let accept = request.header("accept").unwrap_or_default();
    let (format, wish) = metrics_wish(accept);
    // Named and preferred, or else JSON: scripts that take anything (`application/json,
    // text/plain, */*`) are written for JSON.
    if wish.is_named() && wish > quality(accept, JSON, &[]) {
        return metrics_response(&newest, format);
    }
    let document = newest.json(Endpoint::Server);
    json_response(&newest, document, Endpoint::Server.ttl()).with("Vary", "Accept")
}

fn fixed(site: &Site, endpoint: Endpoint) -> Response {
    let newest = site.newest();
    json_response(&newest, newest.json(endpoint), endpoint.ttl())
}

fn pool_hashrate(site: &Site, request: &Request) -> Response {
    let endpoint = match json::parameter(&request.query, "include_history") {
        Some("2") => Endpoint::PoolHashrateHistory,
        _ => Endpoint::PoolHashrate,
    };
    fixed(site, endpoint)
}

fn blocks(site: &Site, request: &Request) -> Response {
    let newest = site.newest();
    let document = newest.blocks(json::blocks::limit(&request.query));
    json_response(&newest, document, json::blocks::TTL)
}

fn openapi(site: &Site, _: &Request) -> Response {
    respond(Status::Ok, JSON, site.openapi.clone()).with("Cache-Control", REVALIDATE)
}

/// `ttl` is when a client need not ask again before.
fn json_response(newest: &Rendered, document: Option<Document>, ttl: Duration) -> Response {
    let Some(document) = document else { return Response::plain(Status::InternalError) };
    let built_at = newest.snapshot.built_at;
    respond(Status::Ok, JSON, document)
        .with("Cache-Control", REVALIDATE)
        .with("X-JSON-Updated-At", format::rfc3339(built_at))
        .with("X-JSON-Next-Update-At", format::rfc3339(built_at + ttl))
}

fn metrics(site: &Site, request: &Request) -> Response {
    let (format, _) = metrics_wish(request.header("accept").unwrap_or_default());
    metrics_response(&site.newest(), format)
}

/// OpenMetrics for those who ask for it, the older text for everybody else.
fn metrics_wish(accept: &str) -> (Format, Quality) {
    let open = quality(accept, "application/openmetrics-text", &["1.0.0"]);
    let text = quality(accept, "text/plain", &["0.0.4"]);
    if open.is_named() && open >= text { (Format::OpenMetrics, open) } else { (Format::Text, text) }
}

fn metrics_response(newest: &Rendered, format: Format) -> Response {
    respond(Status::Ok, format.content_type(), newest.metrics(format))
        .with("Cache-Control", REVALIDATE)
        .with("Vary", "Accept")
}

/// Whether the process answers: whoever restarts it looks here.
fn alive(_: &Site, _: &Request) -> Response {
    Response::new(Status::Ok, PLAIN, "ok\n".to_owned()).with("Cache-Control", "no-store")
}

/// Whether a miner that comes now would get fresh work: whoever sends miners here looks here.
fn ready(site: &Site, _request: &Request) -> Response {
    let newest = site.newest();
    let (status, text) = match Health::of(&newest.snapshot) {
        Health::Starting => (Status::Unavailable, "no job yet"),
        Health::Good => (Status::Ok, "ready"),
        Health::Degraded(reason) => (Status::Unavailable, reason),
    };
    let response =
        Response::new(status, PLAIN, format!("{text}\n")).with("Cache-Control", "no-store");
    match status {
        Status::Ok => response,
        _ => response.with("Retry-After", RETRY_AFTER),
    }
}

fn not_found(site: &Site, request: &Request) -> Response {
    // Programs read `/api/`; a page would only be noise to them (`web.md` §1.8).
    if request.path.starts_with("/api/") {
        return Response::plain(Status::NotFound);
    }
    error_page(site, Status::NotFound, &request.path)
}

fn error_page(site: &Site, status: Status, path: &str) -> Response {
    site.paper().error(status, path, status.reason(), "")
}

fn respond(status: Status, content_type: &'static str, document: Document) -> Response {
    Response::new(status, content_type, document.body).with("ETag", document.etag)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::{Snapshot, SnapshotCell};
    use crate::status::sample;

    fn site(snapshot: Snapshot) -> Site {
        Site::new(SnapshotCell::new(snapshot), sample::history(), Default::default(), true, None)
    }

    fn ask(site: &Site, request: &Request) -> Response {
        match answer(site, request) {
            Answer::Now(response) => response,
            _ => panic!("an answer at once"),
        }
    }

    fn get(site: &Site, path: &str, headers: &[(&str, &str)]) -> Response {
        ask(site, &Request::get(path, headers))
    }

    fn body(response: &Response) -> &str {
        std::str::from_utf8(response.body.as_bytes()).unwrap()
    }

    #[test]
    fn the_accept_field_decides_between_json_and_metrics() {
        let site = site(sample::busy());
        let text = Format::Text.content_type();
        let open = Format::OpenMetrics.content_type();
        for (accept, server, metrics) in [
            ("", JSON, text),
            ("*/*", JSON, text),
            ("text/html,application/xhtml+xml,*/*;q=0.8", JSON, text),
            ("application/json, text/plain, */*", JSON, text),
            ("application/json", JSON, text),
            ("text/plain", text, text),
            ("text/plain, */*", text, text),
            ("text/plain;version=0.0.4", text, text),
            ("application/openmetrics-text", open, open),
            (
                "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                open,
                open,
            ),
            (
                "application/openmetrics-text;version=0.0.1,text/plain;version=0.0.4;q=0.5",
                text,
                text,
            ),
        ] {
            for (path, expected) in [("/api/server", server), ("/metrics", metrics)] {
                let response = get(&site, path, &[("Accept", accept)]);
                assert_eq!(response.field("Content-Type"), Some(expected), "{path} {accept}");
                assert!(response.field("Vary").unwrap().starts_with("Accept"));
            }
        }
    }

    #[test]
    fn json_carries_its_times_and_a_validator_that_is_honoured() {
        let site = site(sample::busy());
        let response = get(&site, "/api/server", &[]);
        assert_eq!(response.field("X-JSON-Updated-At"), Some("2026-01-31T19:55:02Z"));
        assert_eq!(response.field("X-JSON-Next-Update-At"), Some("2026-01-31T19:55:12Z"));
        assert_eq!(response.field("Cache-Control"), Some("no-cache"));
        let etag = response.field("ETag").unwrap();
        let again = get(&site, "/api/server", &[("If-None-Match", etag)]);
        assert_eq!((again.status, body(&again)), (Status::NotModified, ""));
        assert_eq!(again.field("ETag"), Some(etag));
        assert_eq!(again.field("X-JSON-Updated-At"), Some("2026-01-31T19:55:02Z"));
        let other = get(&site, "/api/server", &[("If-None-Match", "\"x\"")]);
        assert_eq!(other.status, Status::Ok);
    }

    #[test]
    fn every_json_path_has_its_time_to_live_and_a_validator() {
        let site = site(sample::busy());
        for (path, next) in [
            ("/api/overview", "2026-01-31T19:55:12Z"),
            ("/api/pool-page", "2026-01-31T19:55:12Z"),
            ("/api/node", "2026-01-31T19:55:12Z"),
            ("/api/pool-hashrate", "2026-01-31T19:55:07Z"),
            ("/api/pool-hashrate?include_history=2", "2026-01-31T19:55:07Z"),
            ("/api/blocks?limit=1", "2026-01-31T19:55:05Z"),
        ] {
            let response = get(&site, path, &[]);
            assert_eq!(response.status, Status::Ok, "{path}");
            assert_eq!(response.field("Content-Type"), Some(JSON));
            assert_eq!(response.field("Cache-Control"), Some("no-cache"));
            assert_eq!(response.field("X-JSON-Updated-At"), Some("2026-01-31T19:55:02Z"));
            assert_eq!(response.field("X-JSON-Next-Update-At"), Some(next), "{path}");
            let etag = response.field("ETag").unwrap();
            let again = get(&site, path, &[("If-None-Match", etag)]);
            assert_eq!(again.status, Status::NotModified, "{path}");
        }
        let openapi = get(&site, "/api/openapi.json", &[]);
        assert_eq!(openapi.field("Content-Type"), Some(JSON));
        assert!(openapi.field("ETag").is_some());
    }

    #[test]
    fn queries_choose_history_and_the_number_of_blocks() {
        let site = site(sample::busy());
        for (query, has_history) in [
            ("?include_history=2", true),
            ("?a=1&include_history=2", true),
            ("?include_history=1", false),
            ("?include_history=22", false),
            ("", false),
        ] {
            let response = get(&site, &format!("/api/pool-hashrate{query}"), &[]);
            assert_eq!(body(&response).contains("\"ph24\":"), has_history, "{query}");
        }
        for (query, blocks) in [("", 2), ("?limit=1", 1), ("?limit=x", 2)] {
            let response = get(&site, &format!("/api/blocks{query}"), &[]);
            assert_eq!(body(&response).matches("\"height\":").count(), blocks, "{query}");
        }
    }

    #[test]
    fn unknown_paths_are_404_in_the_form_their_readers_expect() {
        let site = site(sample::busy());
        for (path, content_type) in [("/nope", HTML), ("/api/nope", PLAIN), ("/static/x", HTML)] {
            let response = get(&site, path, &[]);
            assert_eq!(response.status, Status::NotFound);
            assert_eq!(response.field("Content-Type"), Some(content_type));
        }
    }

    #[test]
    fn other_methods_are_told_what_is_allowed() {
        let site = site(sample::busy());
        for path in
            ["/", "/api/server", "/api/events", "/metrics", "/healthz", "/readyz", "/robots.txt"]
        {
            let mut request = Request::get(path, &[]);
            request.method = Method::Other;
            let response = ask(&site, &request);
            assert_eq!(response.status, Status::MethodNotAllowed);
            assert_eq!(response.field("Allow"), Some("GET, HEAD"));
        }
        let mut request = Request::get("/nope", &[]);
        request.method = Method::Other;
        assert_eq!(ask(&site, &request).status, Status::NotFound);
    }

    #[test]
    fn assets_are_kept_for_ever_only_under_their_version() {
        let site = site(sample::busy());
        let pinned = site.assets.find("/static/app.css").unwrap().url();
        for (path, freshness) in [
            (&*pinned, ASSET_FRESHNESS),
            ("/static/app.css", REVALIDATE),
            ("/static/app.css?v=old", REVALIDATE),
        ] {
            let response = get(&site, path, &[]);
            assert_eq!(response.field("Cache-Control"), Some(freshness), "{path}");
            assert!(response.field("ETag").is_some());
        }
        let page = get(&site, "/", &[]);
        assert!(body(&page).contains(&pinned));
    }

    #[test]
    fn the_page_names_the_host_it_was_asked_by() {
        let site = site(sample::busy());
        // `Request::get` sends `Host: pool`.
        assert!(body(&get(&site, "/", &[])).contains("stratum+tcp://pool:3333"));
    }

    #[test]
    fn a_pool_without_work_is_unavailable_after_its_grace() {
        let mut snapshot = sample::empty();
        let new = site(snapshot.clone());
        assert_eq!(get(&new, "/", &[]).status, Status::Ok);
        // Alive, and not ready: no miner would get work.
        assert_eq!(get(&new, "/healthz", &[]).status, Status::Ok);
        assert_eq!(body(&get(&new, "/readyz", &[])), "no job yet\n");
        assert_eq!(get(&site(sample::busy()), "/readyz", &[]).status, Status::Ok);
        snapshot.uptime = Duration::from_secs(600);
        let site = site(snapshot);
        assert_eq!(get(&site, "/healthz", &[]).status, Status::Ok);
        for path in ["/", "/readyz"] {
            let response = get(&site, path, &[]);
            assert_eq!(response.status, Status::Unavailable);
            assert_eq!(response.field("Retry-After"), Some("10"));
        }
        assert_eq!(body(&get(&site, "/readyz", &[])), "no job template available\n");
    }
}
