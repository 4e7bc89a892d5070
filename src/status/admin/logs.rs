//! The logs, as they are being written, and how much is written (`web.md` §6.11).

use std::sync::Arc;

use minijinja::context;
use serde::Serialize;
use serde_json::json;

use super::super::account::Fields;
use super::super::format;
use super::super::http::{Answer, Response, Status};
use super::settings::note;
use super::visit::{Problem, Visit};
use crate::config::Config;
use crate::config::change::{self, Changed};
use crate::config::fields;
use crate::config::keys::Value;
use crate::live::LiveSettings;
use crate::log::Levels;
use crate::log::tail::{Level, Source, Tail, Wanted};

pub const PATH: &str = "/admin/logs";

const JSON: &str = "application/json";
/// The form of the switches.
const FLAGS: &str = "flags";
const ACTION: &str = "log-flags";
/// Of a text that is searched for; no line is looked through for more.
const SEARCH_CHARS_MAX: usize = 200;

/// What the logs would say with these switches.
#[derive(Serialize)]
struct Flags {
    ok: bool,
    debug: bool,
    net_debug: bool,
    net_debug_supported: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

fn wanted(query: &Fields) -> Wanted {
    Wanted {
        source: Source::of(query.get("source")),
        level: Level::of(query.get("level")),
        search: query.get("search").chars().take(SEARCH_CHARS_MAX).collect(),
        cursor: query.get("cursor").parse().ok(),
    }
}

fn read(visit: &Visit, wanted: Wanted) -> impl FnOnce() -> std::io::Result<Tail> + Send + 'static {
    let (live, logs) = (Arc::clone(&visit.admin().plan.live), visit.admin().plan.logs.clone());
    move || logs.tail(&wanted, &live.current().secrets())
}

/// The page, with the last lines as they are: a browser without scripts loads it again.
pub fn page(visit: Visit) -> Answer {
    show(visit, None)
}

fn show(visit: Visit, problem: Option<Problem>) -> Answer {
    let mut wanted = wanted(&visit.query);
    wanted.cursor = None;
    let read = read(&visit, wanted.clone());
    Answer::waiting(read, move |tail| page_of(&visit, &wanted, tail, problem.as_ref()))
}

fn page_of(
    visit: &Visit,
    wanted: &Wanted,
    tail: std::io::Result<Tail>,
    problem: Option<&Problem>,
) -> Response {
    #[derive(Serialize)]
    struct Choice {
        name: &'static str,
        label: &'static str,
        is_chosen: bool,
    }
    let sources = Source::ALL.map(|source| Choice {
        name: source.name(),
        label: source.label(),
        is_chosen: source == wanted.source,
    });
    let levels = Level::ALL.map(|level| Choice {
        name: level.name(),
        label: level.name(),
        is_chosen: Some(level) == wanted.level,
    });
    let error = tail.as_ref().err().map(ToString::to_string);
    let tail = tail.unwrap_or_default();
    let config = visit.admin().plan.live.current();
    let context = context! {
        sources,
        levels,
        source => wanted.source.name(),
        label => wanted.source.label(),
        level => wanted.level.map_or("", Level::name),
        search => wanted.search,
        again => again(wanted),
        error,
        file => tail.file,
        modified_at => tail.modified_at.map(format::rfc3339),
        truncated => tail.is_truncated,
        lines => tail.lines,
        cursor => tail.cursor.map(|cursor| cursor.to_string()),
        debug => config.log_levels.debug,
        net_debug => config.log_levels.net_debug,
    };
    visit.page(PATH, "admin_logs.html", context, problem)
}

/// Where the page shows the same again.
fn again(wanted: &Wanted) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let search: String = (wanted.search.bytes())
        .map(|byte| match is_plain(byte) {
            true => char::from(byte).to_string(),
            false => format!("%{byte:02X}"),
        })
        .collect();
    let level = wanted.level.map_or("", Level::name);
    format!("{PATH}?source={}&level={level}&search={search}", wanted.source.name())
}

/// The same lines for a script, or what is new of them.
pub fn tail(visit: Visit) -> Answer {
    let wanted = wanted(&visit.query);
    let source = wanted.source;
    let read = read(&visit, wanted);
    Answer::waiting(read, move |tail| match tail {
        Ok(tail) => data(&visit, Status::Ok, &described(source, tail)),
        Err(error) => {
            let words = format!("The log cannot be read: {error}\n");
            Response::new(Status::InternalError, "text/plain; charset=utf-8", words)
                .with("Cache-Control", "no-store")
        }
    })
}

fn described(source: Source, tail: Tail) -> serde_json::Value {
    let mut object = json!({ "source": source.name(), "label": source.label() });
    if let Some(file) = tail.file {
        object["file"] = file.into();
    }
    if let Some(at) = tail.modified_at {
        object["last_modified"] = format::rfc3339(at).into();
    }
    object["truncated"] = tail.is_truncated.into();
    object["lines"] = tail.lines.into();
    object["continued"] = tail.is_continued.into();
    if let Some(cursor) = tail.cursor {
        object["cursor"] = cursor.to_string().into();
    }
    object
}

fn data(visit: &Visit, status: Status, object: &impl Serialize) -> Response {
    let body = serde_json::to_string(object).expect("plain figures and texts");
    Response::new(status, JSON, body)
        .with("Cache-Control", "no-store")
        .with("Set-Cookie", visit.signed.cookie.clone())
}

/// How much is written, for the form on the page.
pub fn switch(visit: Visit) -> Answer {
    visit.with_password_later(ACTION, FLAGS, refused_page, |visit| {
        Answer::waiting(change(&visit), move |switched| {
            let flags = written_down(&visit, switched);
            let source = Source::of(visit.form.get("source")).name();
            match &flags.error {
                None => visit.see(&format!("{PATH}?source={source}"), "log_flags_changed"),
                Some(words) => refused_page(&visit, Some(&Problem::bad(FLAGS, words))),
            }
        })
    })
}

/// The page after a form that was not done, without the lines: they are one click away.
fn refused_page(visit: &Visit, problem: Option<&Problem>) -> Response {
    page_of(visit, &wanted(&visit.form), Ok(Tail::default()), problem)
}

/// The same for a script.
pub fn switch_data(visit: Visit) -> Answer {
    visit.with_password_later(ACTION, FLAGS, refused_data, |visit| {
        Answer::waiting(change(&visit), move |switched| {
            let flags = written_down(&visit, switched);
            data(&visit, Status::Ok, &flags)
        })
    })
}

fn refused_data(visit: &Visit, problem: Option<&Problem>) -> Response {
    let flags = Flags::of(&visit.admin().plan.live.current(), problem.map(|it| it.words.clone()));
    let status = match problem.map(|problem| problem.status) {
        // Who asks is signed in: what is wrong is the password.
        Some(Status::Unauthorized) | None => Status::Forbidden,
        Some(status) => status,
    };
    let response = data(visit, status, &flags);
    match problem.and_then(|problem| problem.retry_after) {
        Some(seconds) => response.with("Retry-After", seconds.to_string()),
        None => response,
    }
}

impl Flags {
    fn of(config: &Config, error: Option<String>) -> Self {
        let Levels { debug, net_debug } = config.log_levels;
        Self { ok: error.is_none(), debug, net_debug, net_debug_supported: true, error }
    }
}

/// Takes the switches of a form. One that is not there stays as it is.
fn change(visit: &Visit) -> impl FnOnce() -> (Flags, Vec<Changed>) + Send + use<> {
    let live = Arc::clone(&visit.admin().plan.live);
    let form = ["debug", "net_debug"].map(|name| (name, visit.form.truth(name)));
    move || switched(&live, &form)
}

fn switched(live: &LiveSettings, form: &[(&'static str, Option<bool>)]) -> (Flags, Vec<Changed>) {
    let given = form.iter().filter_map(|(name, truth)| Some((*name, (*truth)?)));
    let applied = live.apply(given.map(|(name, on)| (name, if on { "true" } else { "false" })));
    let config = live.current();
    let (changed, refused) = match applied {
        Ok(applied) => (applied.changed, None),
        Err(refused) => (Vec::new(), refused.first().map(ToString::to_string)),
    };
    let held = form.iter().find_map(|(name, wanted)| {
        let key = fields::fields().iter().find(|field| field.name == *name)?.key;
        let is_other = config.entry(key).value != Value::Bool((*wanted)?);
        let flag = change::held_by(&config, key).filter(|_| is_other)?;
        Some(format!(
            "{flag} on the command line keeps {name} as it is until a restart without it."
        ))
    });
    (Flags::of(&config, refused.or(held)), changed)
}

fn written_down(visit: &Visit, (flags, changed): (Flags, Vec<Changed>)) -> Flags {
    note(visit, ACTION, "", &changed, flags.error.as_deref().unwrap_or("done"));
    flags
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::Value;

    use super::super::super::http::{Method, Status};
    use super::super::tests::{Bench, body, location};
    use super::*;
    use crate::command::Command;

    const PASSWORD: &str = "password=correct+horse+battery";

    fn write(bench: &Bench, name: &str, text: &str) {
        fs::write(bench.folder.path().join("logs").join(name), text).unwrap();
    }

    fn tail(bench: &Bench, query: &str) -> Value {
        let response = bench.get(&format!("/admin/logs/tail?{query}"));
        assert_eq!(response.status, Status::Ok);
        assert_eq!(response.field("Cache-Control"), Some("no-store"));
        serde_json::from_str(body(&response)).unwrap()
    }

    #[test]
    fn a_script_gets_the_end_and_then_what_is_new() {
        let bench = Bench::signed_in();
        let none = tail(&bench, "source=errors");
        let expected = json!({
            "source": "errors", "label": "Errors", "truncated": false, "lines": [], "continued": false,
        });
        assert_eq!(none, expected);
        write(&bench, "pool-2026-01-31.log", "t [INFO] one\nt [WARN] two\n");
        let first = tail(&bench, "");
        assert_eq!(
            (&first["source"], &first["file"]),
            (&json!("pool"), &json!("pool-2026-01-31.log"))
        );
        assert_eq!(first["lines"], json!(["t [INFO] one", "t [WARN] two"]));
        assert!(first["last_modified"].as_str().unwrap().ends_with('Z'));
        write(&bench, "pool-2026-01-31.log", "t [INFO] one\nt [WARN] two\nt [INFO] three\n");
        let next = tail(&bench, &format!("cursor={}", first["cursor"].as_str().unwrap()));
        assert_eq!(
            (&next["lines"], &next["continued"]),
            (&json!(["t [INFO] three"]), &json!(true))
        );
        assert_eq!(tail(&bench, "level=warn")["lines"], json!(["t [WARN] two"]));
        assert_eq!(tail(&bench, "search=THREE")["lines"], json!(["t [INFO] three"]));
    }

    #[test]
    fn who_is_not_signed_in_reads_nothing() {
        let bench = Bench::new();
        write(&bench, "pool-2026-01-31.log", "t [INFO] one\n");
        for (method, path) in
            [(Method::Get, "/admin/logs/tail"), (Method::Post, "/admin/logs/flags")]
        {
            let response = bench.ask(&bench.request(method, path, "debug=1"));
            assert_eq!(response.status, Status::Unauthorized, "{path}");
            assert!(!body(&response).contains("one"));
        }
        assert_eq!(location(&bench.get("/admin/logs")), "/admin");
        assert!(bench.commands.is_empty());
    }

    #[test]
    fn the_page_shows_the_lines_without_a_script_and_as_text() {
        let bench = Bench::signed_in();
        write(&bench, "pool-2026-01-31.log", "t [INFO] <script>1</script>\nt [WARN] two\n");
        let response = bench.get("/admin/logs?source=pool&level=info&search=%22%3E");
        let html = body(&response);
        assert!(html.contains("value=\"&quot;&gt;\""));
        assert!(
            html.contains("<a href=\"/admin/logs?source=pool&amp;level=info&amp;search=%22%3E\">")
        );
        let response = bench.get("/admin/logs");
        let html = body(&response);
        assert!(
            html.contains("t [INFO] &lt;script&gt;1&lt;/script&gt;\nt [WARN] two\n</pre>"),
            "{html}"
        );
        assert!(html.contains("pool-2026-01-31.log") && html.contains("/static/admin.js?v="));
        assert!(!html.contains("<script>1"));
    }

    #[test]
    fn what_is_written_is_switched_at_once_and_is_a_change_like_others() {
        let bench = Bench::signed_in();
        let flags = |form: &str| {
            let response = bench.post("/admin/logs/flags", form);
            (response.status, serde_json::from_str::<Value>(body(&response)).unwrap())
        };
        let form = format!("debug=on&net_debug=yes&{PASSWORD}");
        let expected =
            json!({ "ok": true, "debug": true, "net_debug": true, "net_debug_supported": true });
        assert_eq!(flags(&form), (Status::Ok, expected));
        let Ok(Command::Configure(config)) = bench.commands.try_recv() else { panic!() };
        assert!(config.log_levels.debug && config.log_levels.net_debug);
        let entry = &bench.admin().audit.entries()[0];
        assert!(entry.changes.contains("logging.debug: false → true"), "{entry:?}");
        let (status, answer) = flags("debug=0&password=x");
        assert_eq!(
            (status, &answer["ok"], &answer["debug"]),
            (Status::Forbidden, &json!(false), &json!(true))
        );
        let form = format!("debug=false&net_debug=false&source=errors&{PASSWORD}");
        let response = bench.post("/admin/logs/switch", &form);
        assert_eq!(location(&response), "/admin/logs?source=errors&notice=log_flags_changed");
        assert!(!bench.admin().plan.live.current().log_levels.debug);
        let response = bench.post("/admin/logs/switch", "debug=true&password=x");
        assert_eq!(response.status, Status::Unauthorized);
        assert!(body(&response).contains("id=\"problem-flags\""));
    }
}
