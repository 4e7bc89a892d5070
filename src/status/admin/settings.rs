//! The settings that may be changed while the pool runs: the form, what it does, and saving it to the
//! disk (`web.md` §6.5, §6.6).

use std::sync::Arc;

use minijinja::context;
use minijinja::value::Value as Context;
use serde::Serialize;

use super::super::http::{Answer, Response, Status};
use super::audit;
use super::home;
use super::routes::HOME;
use super::visit::{Problem, Visit};
use crate::config::Config;
use crate::config::change::{self, Changed};
use crate::config::effective;
use crate::config::fields::{self, Field, Group, Refusal};
use crate::config::keys::{Apply, Entry, Value};
use crate::live::LiveSettings;
use crate::privacy::without_credentials;

/// The form of the settings, and the one that saves them.
const APPLY: &str = "apply";
const PERSIST: &str = "persist";
/// Fields of a form that are no settings.
const NO_SETTINGS: [&str; 3] = ["form_token", "password", "confirm"];

/// One field of the form.
#[derive(Serialize)]
struct Row {
    name: &'static str,
    label: &'static str,
    help: String,
    /// `switch`, `whole`, `number` or `text`.
    kind: &'static str,
    /// What stands in it: what is wanted, or what somebody has just tried.
    value: String,
    is_on: bool,
    default: String,
    allowed: Option<String>,
    min: Option<String>,
    max: Option<String>,
    needs_restart: bool,
    apply: &'static str,
    /// What is in force, where that is something else.
    in_force: Option<String>,
    held_by: Option<String>,
    /// What is in force while nobody has set it.
    worked_out: Option<String>,
    /// What the files say, while that is something else.
    written: Option<String>,
    /// What is wrong with what was tried.
    wrong: Option<String>,
}

#[derive(Serialize)]
struct Section {
    title: &'static str,
    rows: Vec<Row>,
}

/// A setting that stays as the files have it.
#[derive(Serialize)]
struct Fixed {
    name: &'static str,
    label: &'static str,
    value: String,
    file: &'static str,
}

/// A setting before and after.
#[derive(Serialize)]
struct Difference {
    label: &'static str,
    path: String,
    before: String,
    after: String,
    held_by: Option<String>,
}

/// What the page says of the settings; `refused` is what is wrong with the form of this visit.
pub fn context(visit: &Visit, refused: &[Refusal]) -> Context {
    let config = visit.admin().plan.live.current();
    let row = |field: &'static Field| row(&config, visit, refused, field);
    let sections: Vec<Section> = Group::FORM
        .into_iter()
        .map(|group| Section {
            title: group.title(),
            rows: fields::fields().iter().filter(|field| field.group == group).map(row).collect(),
        })
        .collect();
    let protected: Vec<Fixed> = fields::protected()
        .iter()
        .map(|field| Fixed {
            name: field.name,
            label: field.label,
            value: shown(&config.entry(field.key).value),
            file: field.key.file.name(),
        })
        .collect();
    let advanced = || sections.iter().skip(1).flat_map(|section| &section.rows);
    let unsaved: Vec<Difference> = change::unsaved(&config).iter().map(difference).collect();
    let waiting: Vec<Difference> = waiting(&config);
    let others: Vec<String> = refused
        .iter()
        .filter(|refusal| {
            refusal.name.is_empty() || fields::protected().iter().any(|f| f.name == refusal.name)
        })
        .map(|refusal| refusal.words.clone())
        .collect();
    context! {
        is_advanced_open => advanced().any(|row| row.wrong.is_some() || row.written.is_some()),
        sections,
        protected,
        unsaved,
        waiting,
        refused_count => refused.len(),
        refused_others => others,
        warnings => config.warnings,
    }
}

fn row(config: &Config, visit: &Visit, refused: &[Refusal], field: &'static Field) -> Row {
    let key = field.key;
    let (wanted, in_force) = (config.wanted(key), config.entry(key));
    let held_by = change::held_by(config, key);
    let written = config.written(key);
    let tried = visit.form.pairs().find(|(name, _)| *name == field.name).map(|(_, text)| text);
    let value = tried.map_or_else(|| Field::text(&wanted.value), str::to_owned);
    let (min, max) = field.bounds();
    // A browser would not send a form in which something else than what was changed is out of bounds.
    let number = value.parse::<f64>().ok();
    let is_within = |bound: Option<f64>, holds: fn(f64, f64) -> bool| {
        let bound = bound.filter(|bound| number.is_none_or(|number| holds(number, *bound)));
        bound.map(|bound| bound.to_string())
    };
    Row {
        name: field.name,
        label: field.label,
        help: sentence(key.words),
        kind: match key.default {
            Value::Bool(_) => "switch",
            Value::Integer(_) => "whole",
            Value::Float(_) => "number",
            Value::Text(_) | Value::Texts(_) => "text",
        },
        is_on: matches!(&*value.to_ascii_lowercase(), "1" | "true" | "on" | "yes"),
        value,
        default: Field::text(&key.default),
        allowed: field.allowed(),
        min: is_within(min, |number, bound| number >= bound),
        max: is_within(max, |number, bound| number <= bound),
        needs_restart: key.apply == Apply::Restart,
        apply: key.apply.words(),
        in_force: (in_force.value != wanted.value).then(|| Field::text(&in_force.value)),
        held_by,
        worked_out: effective::worked_out(config, key).map(|number| number.to_string()),
        written: (written.value != wanted.value).then(|| Field::text(&written.value)),
        wrong: refused.iter().find(|r| r.name == field.name).map(|refusal| refusal.words.clone()),
    }
}

/// With a capital letter at its beginning.
fn sentence(words: &str) -> String {
    let mut letters = words.chars();
    let first = letters.next().map(char::to_uppercase);
    first.into_iter().flatten().chain(letters).collect()
}

fn shown(value: &Value) -> String {
    without_credentials(&Field::text(value))
}

fn difference(changed: &Changed) -> Difference {
    Difference {
        label: fields::field_of(changed.key).map_or(changed.key.name, |field| field.label),
        path: changed.key.path(),
        before: without_credentials(&changed.before),
        after: without_credentials(&changed.after),
        held_by: changed.held_by.clone(),
    }
}

/// What is wanted and is not in force before a restart.
fn waiting(config: &Config) -> Vec<Difference> {
    let wanted = config.wanted_entries();
    let both = wanted.iter().zip(&config.entries).filter(|(wanted, in_force)| {
        wanted.value != in_force.value && change::held_by(config, wanted.key).is_none()
    });
    let difference = |(wanted, in_force): (&Entry, &Entry)| Difference {
        label: fields::field_of(wanted.key).map_or(wanted.key.name, |field| field.label),
        path: wanted.key.path(),
        before: without_credentials(&in_force.to_string()),
        after: without_credentials(&wanted.to_string()),
        held_by: None,
    };
    both.map(difference).collect()
}

/// Changes what the form says, after the password.
pub fn apply(visit: Visit) -> Answer {
    visit.with_password_later("apply", APPLY, home::page, |visit| {
        let live = Arc::clone(&visit.admin().plan.live);
        let form: Vec<(String, String)> = visit
            .form
            .pairs()
            .filter(|(name, _)| !NO_SETTINGS.contains(name))
            .map(|(name, text)| (name.to_owned(), text.to_owned()))
            .collect();
        let change = move || live.apply(form.iter().map(|(name, text)| (&**name, &**text)));
        Answer::waiting(change, move |applied| match applied {
            Ok(applied) if applied.changed.is_empty() => visit.see(HOME, "settings_unchanged"),
            Ok(applied) => {
                note(&visit, "apply", "", &applied.changed, "done");
                let needs_restart = applied.changed.iter().any(Changed::needs_restart);
                visit.see(HOME, if needs_restart { "settings_restart" } else { "settings_applied" })
            }
            Err(refused) => {
                let names: Vec<&str> = refused.iter().map(|refusal| refusal.name).collect();
                visit.note("apply", &names.join(", "), "refused: nothing was changed");
                let words = match &refused[..] {
                    [only] => format!("{}. Nothing was changed.", only.words),
                    all => format!("{} fields cannot be taken. Nothing was changed.", all.len()),
                };
                home::page_with(&visit, Some(&Problem::bad(APPLY, words)), &refused)
            }
        })
    })
}

/// Writes what has been changed into the files, after the word and the password.
pub fn persist(visit: Visit) -> Answer {
    if let Some(refused) = home::unless_typed(&visit, "persist", PERSIST, "SAVE") {
        return refused.into();
    }
    visit.with_password_later("persist", PERSIST, home::page, |visit| {
        let live = Arc::clone(&visit.admin().plan.live);
        Answer::waiting(
            move || save(&live),
            move |saved| match saved {
                Ok((files, _)) if files.is_empty() => visit.see(HOME, "nothing_to_save"),
                Ok((files, changed)) => {
                    visit
                        .admin()
                        .switch
                        .set_public_url(visit.admin().plan.live.current().public_url.clone());
                    note(&visit, "persist", &files, &changed, "done");
                    visit.see(HOME, "saved_to_disk")
                }
                Err(words) => {
                    visit.note("persist", "", &words);
                    home::page(&visit, Some(&Problem::new(PERSIST, Status::InternalError, words)))
                }
            },
        )
    })
}

/// The names of the files that were written, and what was.
fn save(live: &LiveSettings) -> Result<(String, Vec<Changed>), String> {
    let saved = live.save().map_err(|error| without_credentials(&error.to_string()))?;
    let name = |path: &std::path::PathBuf| path.display().to_string();
    Ok((saved.files.iter().map(name).collect::<Vec<_>>().join(", "), saved.changed))
}

/// Writes down what has been changed.
pub fn note(visit: &Visit, action: &'static str, targets: &str, changed: &[Changed], result: &str) {
    let changes: Vec<audit::Changed> = changed
        .iter()
        .map(|changed| audit::Changed {
            key: changed.key.path(),
            // Secrets are masked by whoever made these.
            old: without_credentials(&changed.before),
            new: without_credentials(&changed.after),
        })
        .collect();
    visit.note_changes(action, targets, &changes, result);
}

/// `/admin/config`: what is in force and not the default.
pub fn viewer(visit: &Visit) -> Response {
    #[derive(Serialize)]
    struct Line {
        name: String,
        value: String,
        default: String,
        source: String,
    }
    let settings = effective::effective(&visit.admin().plan.live.current());
    let text = |value: &serde_json::Value| match value {
        serde_json::Value::String(text) if text.is_empty() => "\"\"".to_owned(),
        serde_json::Value::String(text) => text.clone(),
        value => value.to_string(),
    };
    let lines: Vec<Line> = settings
        .iter()
        .map(|setting| Line {
            name: setting.name.clone(),
            value: text(&setting.value),
            default: text(&setting.default),
            source: setting.source.clone(),
        })
        .collect();
    let json = format!("{:#}", effective::to_json(&settings));
    visit.page(CONFIG, "admin_config.html", context! { lines, json }, None)
}

pub const CONFIG: &str = "/admin/config";

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::super::http::Status;
    use super::super::tests::{Bench, body, location};
    use crate::command::Command;

    const PASSWORD: &str = "password=correct+horse+battery";

    fn apply(bench: &Bench, form: &str) -> super::Response {
        bench.post("/admin/apply", &format!("{form}&{PASSWORD}"))
    }

    #[test]
    fn the_form_has_every_setting_with_its_label_and_what_it_may_be() {
        let bench = Bench::signed_in();
        let response = bench.get("/admin");
        let html = body(&response);
        for field in super::fields::fields().iter().filter(|f| f.group != super::Group::Logging) {
            let name = field.name;
            assert!(html.contains(&format!("<label for=\"set-{name}\">")), "{name}");
            assert_eq!(html.matches(&format!(" id=\"set-{name}\"")).count(), 1, "{name}");
            assert_eq!(html.matches(&format!(" id=\"help-{name}\"")).count(), 1, "{name}");
        }
        for text in [
            "name=\"min_difficulty\" type=\"number\" value=\"256\" step=\"any\" min=\"0\"",
            "Allowed: 0 (off), or 10 to 1000000.",
            "<b>In force is 7, by -max-conns</b>",
            "<code>payout_address</code>, config.toml",
            "Nothing has been changed that the files do not say.",
        ] {
            assert!(html.contains(text), "{text}");
        }
        for text in ["style=", "onclick", "hunter2", "undefined"] {
            assert!(!html.contains(text), "{text}");
        }
        assert!(!html.contains("name=\"payout_address\""));
    }

    #[test]
    fn what_is_applied_is_in_force_written_down_and_not_on_the_disk() {
        let bench = Bench::signed_in();
        let response = apply(&bench, "min_difficulty=512.5&vardiff_enabled=false&job_entropy=");
        assert_eq!(location(&response), "/admin?notice=settings_applied");
        let Ok(Command::Configure(config)) = bench.commands.try_recv() else { panic!() };
        assert_eq!(
            (config.settings.difficulty.min, config.settings.vardiff.enabled),
            (512.5, false)
        );
        let entry = &bench.admin().audit.entries()[0];
        assert_eq!((entry.action, &*entry.result), ("apply", "done"));
        assert!(entry.changes.contains("difficulty.min_difficulty: 256.0 → 512.5"), "{entry:?}");
        let html = bench.get("/admin?notice=settings_applied");
        let html = body(&html);
        assert!(
            html.contains("<b>Not saved:</b> the files say 256.")
                && html.contains("value=\"512.5\"")
        );
        assert!(html.contains("<details open>"), "what has been changed is in view");
        assert!(!bench.folder.path().join("config/tuning.toml").exists());
        assert_eq!(
            location(&apply(&bench, "min_difficulty=512.5")),
            "/admin?notice=settings_unchanged"
        );
        let response = apply(&bench, "max_accept_burst=77");
        assert_eq!(location(&response), "/admin?notice=settings_restart");
        assert!(body(&bench.get("/admin")).contains("Waiting for a restart"));
    }

    #[test]
    fn what_is_wrong_is_said_beside_its_field_and_nothing_is_changed() {
        let bench = Bench::signed_in();
        let response = apply(&bench, "min_difficulty=-1&max_conns=9&status_tagline=%3Cb%3E");
        assert_eq!(response.status, Status::BadRequest);
        let html = body(&response);
        assert!(html.contains("2 fields cannot be taken. Nothing was changed."));
        assert!(html.contains(
            "id=\"wrong-min_difficulty\">min_difficulty is &quot;-1&quot;, allowed is 0 or more</p>"
        ));
        assert!(html.contains("value=\"-1\""), "what was typed is still there");
        assert!(html.contains("&lt;b&gt;") && !html.contains("<b>\""));
        assert_eq!(bench.last().1, "max_conns, min_difficulty");
        for (form, words) in [
            ("payout_address=bc1qother", "payout_address is protected"),
            ("no_such_setting=1", "no_such_setting is no setting that can be changed here"),
        ] {
            let response = apply(&bench, form);
            assert_eq!(response.status, Status::BadRequest);
            assert!(body(&response).contains(words), "{words}");
        }
        for password in ["", "password=x"] {
            let response = bench.post("/admin/apply", &format!("min_difficulty=1&{password}"));
            assert_eq!(response.status, Status::Unauthorized);
            assert!(body(&response).contains("value=\"1\""), "and need not be typed again");
        }
        assert!(bench.commands.is_empty());
    }

    #[test]
    fn what_is_saved_is_in_the_files_for_the_word_and_the_password() {
        let bench = Bench::signed_in();
        let save = |form: &str| bench.post("/admin/persist", form);
        assert_eq!(
            location(&save(&format!("confirm=SAVE&{PASSWORD}"))),
            "/admin?notice=nothing_to_save"
        );
        apply(&bench, "min_difficulty=512&max_conns=100");
        let tuning = bench.folder.path().join("config/tuning.toml");
        for (form, status) in [
            (format!("confirm=save&{PASSWORD}"), Status::BadRequest),
            ("confirm=SAVE&password=x".to_owned(), Status::Unauthorized),
        ] {
            let response = save(&form);
            assert_eq!(response.status, status);
            assert!(body(&response).contains("id=\"problem-persist\""));
            assert!(!tuning.exists());
        }
        // Something is in the way.
        fs::create_dir(bench.folder.path().join("config/tuning.toml.new")).unwrap();
        let response = save(&format!("confirm=SAVE&{PASSWORD}"));
        assert_eq!(response.status, Status::InternalError);
        assert!(body(&response).contains("nothing is saved: cannot write"));
        fs::remove_dir(bench.folder.path().join("config/tuning.toml.new")).unwrap();
        let response = save(&format!("confirm=SAVE&{PASSWORD}"));
        assert_eq!(location(&response), "/admin?notice=saved_to_disk");
        let text = fs::read_to_string(&tuning).unwrap();
        assert_eq!(
            text,
            "[rate_limits]\nmax_conns = 100\n\n[difficulty]\nmin_difficulty = 512.0\n"
        );
        assert!(bench.last().1.contains("tuning.toml"));
    }

    #[test]
    fn the_configuration_is_shown_without_secrets() {
        let bench = Bench::signed_in();
        let response = bench.get("/admin/config");
        let html = body(&response);
        assert!(html.contains("&quot;max_conns&quot;: 7") && html.contains("-max-conns"));
        assert!(!html.contains("hunter2") && !html.contains("me:"));
    }
}
