//! The commands that people use on Discord, and the thread that answers them: it waits for the
//! database and for Discord, and the gateway's heart goes on beating (`state-and-services.md` §13.3).

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use crossbeam_channel::{Receiver, select};
use serde_json::{Value, json};
use tracing::{debug, info, warn};

use super::links::{Links, WeakLinks};
use super::rest::Rest;
use super::session::Interaction;
use crate::backoff::Backoff;
use crate::clock::unix_now;
use crate::codes::{Codes, RedeemError};
use crate::notices::{NoticeWords, label};
use crate::store::EditError;

/// Between two attempts to tell Discord our commands.
const REGISTER_WAIT_FIRST: Duration = Duration::from_secs(10);
const REGISTER_WAIT_MAX: Duration = Duration::from_secs(600);

/// What the thread is asked to do.
#[derive(Debug)]
pub enum Job {
    /// A session has begun.
    Register {
        application_id: String,
    },
    Answer(Interaction),
}

pub struct Commands {
    pub rest: Rest,
    pub codes: Arc<Mutex<Codes>>,
    pub links: WeakLinks,
    pub words: Arc<ArcSwap<NoticeWords>>,
    pub server_id: String,
    pub channel_id: String,
    /// Disconnected when the pool stops.
    pub stopped: Receiver<()>,
}

/// Commands that Discord has not been told yet.
struct Registration {
    application_id: String,
    at: Instant,
    backoff: Backoff,
}

impl Commands {
    /// Until the pool stops, or the gateway has ended.
    pub fn run(self, jobs: &Receiver<Job>) {
        let mut due: Option<Registration> = None;
        loop {
            let wait = due.as_ref().map(|due| due.at.saturating_duration_since(Instant::now()));
            select! {
                recv(self.stopped) -> _ => return,
                recv(jobs) -> job => match job {
                    Ok(Job::Register { application_id }) => {
                        let backoff = Backoff::new(REGISTER_WAIT_FIRST, REGISTER_WAIT_MAX);
                        let at = Instant::now();
                        due = self.register(Registration { application_id, at, backoff });
                    }
                    Ok(Job::Answer(interaction)) => self.answer(&interaction),
                    Err(_) => return,
                },
                default(wait.unwrap_or(REGISTER_WAIT_MAX)) => {
                    due = due.and_then(|due| self.register(due));
                }
            }
        }
    }

    /// Tells Discord our commands; what is to be tried again comes back.
    fn register(&self, registration: Registration) -> Option<Registration> {
        let Registration { application_id, mut backoff, .. } = registration;
        match self.rest.set_commands(&application_id, &commands()) {
            Ok(()) => {
                debug!(component = "discord", "commands registered");
                None
            }
            Err(error) => {
                let is_passing = error.is_passing();
                warn!(component = "discord", %error, is_passing, "commands not registered");
                let at = Instant::now() + backoff.failed();
                is_passing.then_some(Registration { application_id, at, backoff })
            }
        }
    }

    fn answer(&self, interaction: &Interaction) {
        let Some(text) = self.outcome(interaction, unix_now()) else { return };
        if let Err(error) = self.rest.reply(interaction, &text) {
            // Whoever asked is told by Discord that nothing came.
            debug!(component = "discord", %error, "a command is not answered");
        }
    }

    /// Does what a command asks for, and says what came of it; nothing when it is none of ours.
    fn outcome(&self, interaction: &Interaction, now: u64) -> Option<String> {
        let is_here = interaction.server_id.as_ref() == Some(&self.server_id);
        let who = interaction.discord_user_id.as_ref().filter(|_| is_here)?;
        let links = self.links.upgrade()?;
        match &*interaction.name {
            "notify" => Some(self.notify(&links, who, &interaction.code, now)),
            "notify-stop" => Some(stop(&links, who, now)),
            _ => None,
        }
    }

    fn notify(&self, links: &Links, who: &str, code: &str, now: u64) -> String {
        let redeemed = self.codes().redeem(who, code, now);
        let redeemed = match redeemed {
            Ok(redeemed) => redeemed,
            Err(error) => return refusal(error),
        };
        match links.link(&redeemed.user_id, who, now) {
            Ok(()) => {
                info!(component = "discord", "an account is linked");
                let threshold = label(self.words.load().threshold);
                format!(
                    "Linked. In <#{}> you are told when a worker that you have saved has been \
                     offline for {threshold} or is back for {threshold}, and when it finds a block. \
                     `/notify-stop` ends it.",
                    self.channel_id
                )
            }
            Err(error) => {
                warn!(component = "discord", %error, "an account is not linked");
                // It is as good as before.
                self.codes().restore(vec![redeemed], now);
                store_failed(&error)
            }
        }
    }

    fn codes(&self) -> std::sync::MutexGuard<'_, Codes> {
        self.codes.lock().expect("no code panics while it holds this")
    }
}

fn stop(links: &Links, who: &str, now: u64) -> String {
    let Some(user_id) = links.user_of(who) else {
        return "You are linked with no account of this pool, so there is nothing to end."
            .to_owned();
    };
    match links.set_enabled(&user_id, false, now) {
        Ok(_) => "You are not told of your workers any more. The pool's page of saved workers \
                  has a switch for it."
            .to_owned(),
        Err(error) => {
            warn!(component = "discord", %error, "notices not switched off");
            store_failed(&error)
        }
    }
}

fn refusal(error: RedeemError) -> String {
    match error {
        RedeemError::Blank => "Which code? The pool's page of saved workers shows one.".to_owned(),
        RedeemError::Invalid => {
            "That code is wrong or has expired. The pool's page of saved workers shows a new one."
                .to_owned()
        }
        RedeemError::TooMany { wait_seconds } => {
            format!("Too many wrong codes. Try again in {} minutes.", wait_seconds.div_ceil(60))
        }
        RedeemError::NoTag => "This pool can take no codes now.".to_owned(),
    }
}

/// Whoever reads it can do nothing about our disk: what is wrong with it stands in our log (FIX-37).
fn store_failed(error: &EditError) -> String {
    match error {
        EditError::Busy | EditError::Slow => {
            "The pool has too much to do now. Try again in a minute."
        }
        EditError::Failed(_) => "The pool cannot keep this now. Try again later.",
    }
    .to_owned()
}

/// As Discord is told.
fn commands() -> Value {
    const TEXT: u64 = 3;
    let code = json!({
        "type": TEXT, "name": "code", "required": true,
        "description": "The code that the pool's page of saved workers shows",
    });
    json!([
        {
            "name": "notify", "options": [code],
            "description": "Be told when workers that you have saved go offline or come back",
        },
        { "name": "notify-stop", "description": "Do not be told of your workers any more" },
    ])
}

#[cfg(test)]
mod tests {
    use super::super::links::tests::Bench;
    use super::*;
    use crate::notices::DiscordSettings;
    use crate::outgoing::tests::{Served, json as response, outgoing};
    use crate::privacy::Secret;

    const NOW: u64 = 1_700_000_000;

    fn commands(links: &Links) -> Commands {
        let settings = DiscordSettings {
            api_url: "http://127.0.0.1:9".to_owned(),
            token: Secret::new("x"),
            server_id: "2".to_owned(),
            channel_id: "3".to_owned(),
        };
        let threshold = Duration::from_secs(5400);
        let words = NoticeWords { threshold, ..NoticeWords::default() };
        Commands {
            rest: Rest::new(&settings, outgoing()),
            codes: Arc::new(Mutex::new(Codes::new("ABCD"))),
            links: links.downgrade(),
            words: Arc::new(ArcSwap::from_pointee(words)),
            server_id: settings.server_id,
            channel_id: settings.channel_id,
            stopped: crossbeam_channel::never(),
        }
    }

    fn interaction(name: &str, code: &str, who: Option<&str>, server: Option<&str>) -> Interaction {
        Interaction {
            id: "1".to_owned(),
            token: Secret::new("t"),
            server_id: server.map(str::to_owned),
            discord_user_id: who.map(str::to_owned),
            name: name.to_owned(),
            code: code.to_owned(),
        }
    }

    fn ask(commands: &Commands, name: &str, code: &str, who: &str) -> String {
        commands.outcome(&interaction(name, code, Some(who), Some("2")), NOW).unwrap()
    }

    fn code(commands: &Commands, user: &str) -> String {
        commands.codes().create(user, NOW).unwrap().code
    }

    #[test]
    fn a_code_links_and_stop_keeps_the_link() {
        let bench = Bench::new();
        let commands = commands(&bench.links);
        assert!(ask(&commands, "notify", " ", "7").starts_with("Which code?"));
        assert!(ask(&commands, "notify", "ABCD-x", "7").contains("wrong or has expired"));
        assert!(ask(&commands, "notify-stop", "", "7").contains("no account"));
        let one = code(&commands, "a");
        let told = ask(&commands, "notify", &one, "7");
        assert!(told.contains("<#3>") && told.contains("offline for 90m"), "{told}");
        assert!(ask(&commands, "notify", &one, "8").contains("wrong or has expired"));
        assert_eq!(bench.links.wanted_by("a"), Some("7".to_owned()));
        assert!(ask(&commands, "notify-stop", "", "7").contains("not told"));
        assert_eq!((bench.links.wanted_by("a"), bench.links.count()), (None, (1, 0)));
        // The same person, who signs in as somebody else too.
        let two = code(&commands, "b");
        ask(&commands, "notify", &two, "7");
        assert_eq!(bench.links.user_of("7"), Some("b".to_owned()));
        assert_eq!(bench.links.count(), (1, 1));
    }

    #[test]
    fn commands_of_other_places_are_nobodys() {
        let bench = Bench::new();
        let commands = commands(&bench.links);
        for (name, who, server) in [
            ("notify", Some("7"), Some("9")),
            ("notify", Some("7"), None),
            ("notify", None, Some("2")),
            ("notify-all", Some("7"), Some("2")),
        ] {
            let outcome = commands.outcome(&interaction(name, "ABCD-x", who, server), NOW);
            assert_eq!(outcome, None, "{name} {who:?} {server:?}");
        }
    }

    #[test]
    fn guesses_are_counted_for_each() {
        let bench = Bench::new();
        let commands = commands(&bench.links);
        let good = code(&commands, "a");
        for _ in 0..5 {
            ask(&commands, "notify", "ABCD-x", "7");
        }
        let told = ask(&commands, "notify", &good, "7");
        assert!(told.contains("Try again in 10 minutes"), "{told}");
        assert!(ask(&commands, "notify", &good, "8").starts_with("Linked."));
    }

    #[test]
    fn what_cannot_be_kept_leaves_the_code_as_good_as_before_and_tells_nothing_of_ours() {
        let bench = Bench::new();
        let commands = commands(&bench.links);
        let path = crate::store::database_path(bench.folder.path());
        let database = rusqlite::Connection::open(path).unwrap();
        let no = "CREATE TRIGGER no BEFORE INSERT ON discord_links
                  BEGIN SELECT raise(ABORT, 'inner words'); END";
        database.execute_batch(no).unwrap();
        let good = code(&commands, "a");
        let told = ask(&commands, "notify", &good, "7");
        assert!(told.contains("cannot keep") && !told.contains("inner"), "{told}");
        assert_eq!(bench.links.count(), (0, 0));
        database.execute_batch("DROP TRIGGER no").unwrap();
        assert!(ask(&commands, "notify", &good, "7").starts_with("Linked."));
    }

    #[test]
    fn commands_are_told_again_when_that_may_help() {
        let bench = Bench::new();
        let registration = || Registration {
            application_id: "8".to_owned(),
            at: Instant::now(),
            backoff: Backoff::new(REGISTER_WAIT_FIRST, REGISTER_WAIT_MAX),
        };
        for (status, is_again) in [(200, false), (403, false), (503, true)] {
            let served = Served::text(&response(status, "{}"));
            let mut commands = commands(&bench.links);
            let settings = DiscordSettings {
                api_url: served.url(""),
                token: Secret::new("x"),
                server_id: "2".to_owned(),
                channel_id: "3".to_owned(),
            };
            commands.rest = Rest::new(&settings, outgoing());
            let again = commands.register(registration());
            assert_eq!(again.is_some(), is_again, "{status}");
            assert!(again.is_none_or(|it| it.at > Instant::now() && it.backoff.failures() == 1));
        }
    }

    #[test]
    fn discord_takes_what_we_call_our_commands() {
        let all = super::commands();
        for command in all.as_array().unwrap() {
            let options = command["options"].as_array().into_iter().flatten();
            for one in options.chain([command]) {
                let (name, words) = (one["name"].as_str(), one["description"].as_str());
                let is_name = |byte: u8| byte.is_ascii_lowercase() || byte == b'-';
                assert!(name.unwrap().bytes().all(is_name), "{one}");
                assert!((1..=100).contains(&words.unwrap().len()), "{one}");
            }
        }
    }
}
