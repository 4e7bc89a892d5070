//! The miner's side of a Stratum conversation: lines in, lines and events out. No socket, no clock.
//!
//! Requests go out one after the other (configure, subscribe, authorize), each when the one before it
//! is answered; what the pool says of its own accord may come at any time.

use super::job::decode_u32;
use super::job::{Job, JobError};
use super::search::{Found, Work};
use gopool_shards::work::target::{Target, hash_difficulty};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Shares that may wait for their answers. The client hands in no more until some are answered.
pub const PENDING_MAX: usize = 256;
/// A pool that has not answered a share for so long is not going to.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(30);
/// The rolling mask we ask for: whatever the pool allows.
const MASK_WANTED: &str = "ffffffff";
/// More than any pool gives; what is beyond would only be memory.
const EXTRANONCE2_SIZE_MAX: u64 = 16;

const CONFIGURE_ID: u64 = 1;
const SUBSCRIBE_ID: u64 = 2;
const AUTHORIZE_ID: u64 = 3;
const FIRST_SUBMIT_ID: u64 = 4;

/// What a line asks for.
#[derive(Debug, Default)]
pub struct Step {
    pub send: Option<String>,
    pub event: Option<Event>,
}

#[derive(Debug)]
pub enum Event {
    Work(Work),
    /// Subscribed and authorized.
    Ready,
    Accepted {
        difficulty: f64,
    },
    Rejected {
        job_id: String,
        reason: String,
    },
    /// Something the pool wants people to read.
    Message(String),
    /// A line that could not be used; the conversation goes on.
    Ignored(String),
}

/// Why this conversation is over.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// Asking again changes nothing.
    #[error("the pool refused the worker: {reason}")]
    Unauthorized { reason: String },
    #[error("the pool refused mining.subscribe: {reason}")]
    NotSubscribed { reason: String },
    #[error("the pool's answer to mining.subscribe holds no usable extranonce: {0}")]
    Subscribe(String),
    #[error("the pool sent no answer to a share for {} s", ANSWER_WAIT_MAX.as_secs())]
    Silent,
}

struct Pending {
    job_id: String,
    difficulty: f64,
    sent_at: Instant,
}

pub struct Session {
    user: String,
    extranonce1: Vec<u8>,
    extranonce2_size: usize,
    /// 1 until the pool says otherwise, as Stratum has it.
    difficulty: f64,
    version_mask: u32,
    rolling: bool,
    next_id: u64,
    pending: HashMap<u64, Pending>,
}

impl Session {
    /// A conversation and its first line.
    pub fn start(user: &str, version_rolling: bool) -> (Self, String) {
        let session = Self {
            user: user.to_owned(),
            extranonce1: Vec::new(),
            extranonce2_size: 0,
            difficulty: 1.0,
            version_mask: 0,
            rolling: false,
            next_id: FIRST_SUBMIT_ID,
            pending: HashMap::new(),
        };
        let options =
            json!({"version-rolling.mask": MASK_WANTED, "version-rolling.min-bit-count": 2});
        let first = if version_rolling {
            request(CONFIGURE_ID, "mining.configure", &json!([["version-rolling"], options]))
        } else {
            subscribe()
        };
        (session, first)
    }

    /// Takes one line of the pool's.
    pub fn on_line(&mut self, line: &str) -> Result<Step, SessionError> {
        let Ok(message) = serde_json::from_str::<Value>(line) else {
            return Ok(ignored(format!("not JSON: {}", excerpt(line))));
        };
        match (message["method"].as_str(), message["id"].as_u64()) {
            (Some(method), _) => Ok(self.on_notification(method, &message["params"])),
            (None, Some(id)) => self.on_response(id, &message["result"], &message["error"]),
            (None, None) => Ok(ignored(format!("neither request nor answer: {}", excerpt(line)))),
        }
    }

    /// The line that hands in a find; its answer comes back as an event.
    pub fn submit(&mut self, found: &Found, now: Instant) -> String {
        let id = self.next_id;
        self.next_id += 1;
        let job = &found.work.job;
        let mut params = json!([
            self.user,
            job.id,
            const_hex::encode(&found.extranonce2),
            format!("{:08x}", job.ntime),
            format!("{:08x}", found.nonce),
        ]);
        if let (Some(params), true) = (params.as_array_mut(), found.work.version_mask != 0) {
            params.push(Value::String(format!("{:08x}", found.version_bits)));
        }
        let difficulty = hash_difficulty(&found.hash);
        let pending = Pending { job_id: job.id.clone(), difficulty, sent_at: now };
        self.pending.insert(id, pending);
        request(id, "mining.submit", &params)
    }

    /// Whether another share may be handed in.
    pub fn has_room(&self) -> bool {
        self.pending.len() < PENDING_MAX
    }

    /// Notices a pool that has stopped answering.
    pub fn on_time(&self, now: Instant) -> Result<(), SessionError> {
        let waited = |pending: &Pending| now.saturating_duration_since(pending.sent_at);
        match self.pending.values().any(|pending| waited(pending) > ANSWER_WAIT_MAX) {
            true => Err(SessionError::Silent),
            false => Ok(()),
        }
    }

    fn on_notification(&mut self, method: &str, params: &Value) -> Step {
        let first = &params[0];
        match method {
            "mining.notify" => self.on_notify(params),
            "mining.set_difficulty" => {
                match first.as_f64().filter(|difficulty| *difficulty > 0.0) {
                    Some(difficulty) => {
                        self.difficulty = difficulty;
                        Step::default()
                    }
                    None => ignored(format!("mining.set_difficulty to {first}")),
                }
            }
            "mining.set_version_mask" => match first.as_str().map(decode_u32) {
                Some(Ok(mask)) => {
                    self.version_mask = mask;
                    Step::default()
                }
                _ => ignored(format!("mining.set_version_mask to {first}")),
            },
            "mining.set_extranonce" => match extranonce(first, &params[1]) {
                Ok((extranonce1, size)) => {
                    (self.extranonce1, self.extranonce2_size) = (extranonce1, size);
                    Step::default()
                }
                Err(why) => ignored(format!("mining.set_extranonce: {why}")),
            },
            "client.show_message" => {
                event(Event::Message(first.as_str().unwrap_or_default().to_owned()))
            }
            other => ignored(format!("the pool's {other}")),
        }
    }

    fn on_notify(&self, params: &Value) -> Step {
        if self.extranonce2_size == 0 {
            return ignored("mining.notify before the answer to mining.subscribe".to_owned());
        }
        let params = params.as_array().map_or(&[][..], Vec::as_slice);
        match Job::from_params(params) {
            Ok(job) => event(Event::Work(Work {
                job,
                extranonce1: self.extranonce1.clone(),
                extranonce2_size: self.extranonce2_size,
                share_target: Target::from_difficulty(self.difficulty),
                version_mask: if self.rolling { self.version_mask } else { 0 },
            })),
            Err(error @ JobError::Count(_)) => ignored(error.to_string()),
            Err(error) => ignored(format!("{error}; the former job is kept")),
        }
    }

    fn on_response(
        &mut self,
        id: u64,
        result: &Value,
        error: &Value,
    ) -> Result<Step, SessionError> {
        let reason = || reason(result, error);
        match id {
            CONFIGURE_ID => {
                // A pool that knows no configure answers with an error: then nothing is rolled.
                self.rolling = result["version-rolling"] == json!(true);
                let mask = result["version-rolling.mask"].as_str().map(decode_u32);
                if let Some(Ok(mask)) = mask {
                    self.version_mask = mask;
                }
                Ok(send(subscribe()))
            }
            SUBSCRIBE_ID if result.is_array() => {
                let (extranonce1, size) =
                    extranonce(&result[1], &result[2]).map_err(SessionError::Subscribe)?;
                (self.extranonce1, self.extranonce2_size) = (extranonce1, size);
                Ok(send(request(AUTHORIZE_ID, "mining.authorize", &json!([self.user, "x"]))))
            }
            SUBSCRIBE_ID => Err(SessionError::NotSubscribed { reason: reason() }),
            AUTHORIZE_ID if *result == json!(true) => Ok(event(Event::Ready)),
            AUTHORIZE_ID => Err(SessionError::Unauthorized { reason: reason() }),
            _ => Ok(match self.pending.remove(&id) {
                None => ignored(format!("an answer to a request never made, id {id}")),
                Some(Pending { difficulty, .. }) if *result == json!(true) => {
                    event(Event::Accepted { difficulty })
                }
                Some(Pending { job_id, .. }) => event(Event::Rejected { job_id, reason: reason() }),
            }),
        }
    }
}

fn request(id: u64, method: &str, params: &Value) -> String {
    json!({"id": id, "method": method, "params": params}).to_string()
}

fn subscribe() -> String {
    let client = concat!("gopool-miner/", env!("CARGO_PKG_VERSION"));
    request(SUBSCRIBE_ID, "mining.subscribe", &json!([client]))
}

fn send(line: String) -> Step {
    Step { send: Some(line), event: None }
}

fn event(event: Event) -> Step {
    Step { send: None, event: Some(event) }
}

fn ignored(what: String) -> Step {
    event(Event::Ignored(what))
}

/// The first bytes of a line, for a message about it.
fn excerpt(line: &str) -> String {
    line.chars().take(80).collect()
}

/// Extranonce1 and the size of extranonce2, or what is wrong with them.
fn extranonce(extranonce1: &Value, size: &Value) -> Result<(Vec<u8>, usize), String> {
    let text = extranonce1.as_str().ok_or_else(|| format!("extranonce1 is {extranonce1}"))?;
    let bytes = const_hex::decode(text).map_err(|error| format!("extranonce1: {error}"))?;
    let in_range = size.as_u64().filter(|size| (1..=EXTRANONCE2_SIZE_MAX).contains(size));
    let size = in_range.ok_or_else(|| format!("extranonce2 size is {size}"))?;
    Ok((bytes, size as usize))
}

/// What the pool gave as the reason, whichever shape it chose for it.
fn reason(result: &Value, error: &Value) -> String {
    match error {
        Value::Array(parts) => match (parts.first(), parts.get(1).and_then(Value::as_str)) {
            (Some(code), Some(text)) => format!("{text} (code {code})"),
            _ => error.to_string(),
        },
        Value::String(text) => text.clone(),
        Value::Null => format!("no reason given, result {result}"),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    /// Plays a conversation: `<` is a line of the pool's, `>` one of ours, `!` our event.
    #[track_caller]
    fn play(session: &mut Session, transcript: &str) {
        let mut sent = Vec::new();
        let mut events = Vec::new();
        for line in transcript.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (kind, text) = line.split_at(1);
            let text = text.trim();
            match kind {
                "<" => match session.on_line(text) {
                    Ok(step) => {
                        sent.extend(step.send);
                        events.extend(step.event.map(|event| describe(&event)));
                    }
                    Err(error) => events.push(error.to_string()),
                },
                ">" => assert_eq!(sent.pop().as_deref(), Some(text)),
                _ => assert_eq!(events.pop().as_deref(), Some(text)),
            }
        }
        assert_eq!((sent, events), (vec![], vec![]), "nothing is said beyond the transcript");
    }

    fn describe(event: &Event) -> String {
        match event {
            Event::Work(Work { job, share_target, version_mask, .. }) => {
                format!("work {} {:.4} {version_mask:08x}", job.id, share_target.difficulty())
            }
            Event::Ready => "ready".to_owned(),
            Event::Accepted { difficulty } => format!("accepted {difficulty:.6}"),
            Event::Rejected { job_id, reason } => format!("rejected {job_id}: {reason}"),
            Event::Message(text) => format!("message {text}"),
            Event::Ignored(what) => format!("ignored {what}"),
        }
    }

    const SUBSCRIBE: &str =
        r#"{"id":2,"method":"mining.subscribe","params":["gopool-miner/VERSION"]}"#;

    fn notify() -> String {
        let params = super::super::job::tests::example();
        json!({"id": null, "method": "mining.notify", "params": params}).to_string()
    }

    /// A session past its handshake.
    fn ready(version_rolling: bool) -> Session {
        let (mut session, _) = Session::start("wallet.rig", version_rolling);
        if version_rolling {
            let mask = json!({"version-rolling": true, "version-rolling.mask": "1fffe000"});
            session.on_line(&json!({"id": 1, "result": mask, "error": null}).to_string()).unwrap();
        }
        play(
            &mut session,
            r#"
            < {"id":2,"result":[[["mining.notify","1"]],"00000001",4],"error":null}
            > {"id":3,"method":"mining.authorize","params":["wallet.rig","x"]}
            < {"id":3,"result":true,"error":null}
            ! ready
            "#,
        );
        session
    }

    #[test]
    fn the_handshake_asks_for_one_thing_after_the_other() {
        let (mut session, first) = Session::start("wallet.rig", true);
        assert!(first.contains("mining.configure") && first.contains(r#""ffffffff""#), "{first}");
        let subscribe = SUBSCRIBE.replace("VERSION", env!("CARGO_PKG_VERSION"));
        let configured = r#"{"version-rolling":true,"version-rolling.mask":"1fffe000"}"#;
        let transcript = format!(
            r#"
            < {{"id":1,"result":{configured},"error":null}}
            > {subscribe}
            < {{"id":2,"result":[[["mining.notify","1"]],"00000001",4],"error":null}}
            > {{"id":3,"method":"mining.authorize","params":["wallet.rig","x"]}}
            < {{"id":3,"result":true,"error":null}}
            ! ready
            < {{"id":null,"method":"mining.set_difficulty","params":[0.001]}}
            < {notify}
            ! work 1-1 0.0010 1fffe000
            < {{"id":null,"method":"mining.set_version_mask","params":["00006000"]}}
            < {{"id":null,"method":"mining.set_difficulty","params":[1e-7]}}
            < {notify}
            ! work 1-1 0.0000 00006000
            "#,
            notify = notify(),
        );
        play(&mut session, &transcript);
    }

    #[test]
    fn without_rolling_the_handshake_starts_with_subscribe_and_no_mask_is_used() {
        let (_, first) = Session::start("wallet.rig", false);
        assert_eq!(first, SUBSCRIBE.replace("VERSION", env!("CARGO_PKG_VERSION")));
        let mut session = ready(false);
        let mask = r#"< {"id":null,"method":"mining.set_version_mask","params":["1fffe000"]}"#;
        play(&mut session, &format!("{mask}\n< {}\n! work 1-1 1.0000 00000000", notify()));
    }

    #[test]
    fn a_pool_that_refuses_configure_is_mined_without_rolling() {
        let (mut session, _) = Session::start("wallet.rig", true);
        let refusal = r#"{"id":1,"result":null,"error":[-32601,"method not found",null]}"#;
        let step = session.on_line(refusal).unwrap();
        assert!(step.send.unwrap().contains("mining.subscribe"));
        assert!(!session.rolling);
    }

    #[test]
    fn a_find_is_handed_in_as_bip_310_says_and_its_answer_is_told() {
        let share = |session: &mut Session| {
            let Some(Event::Work(work)) = session.on_line(&notify()).unwrap().event else {
                panic!("a notify gives work");
            };
            let hash = [0xff; 32];
            let (work, extranonce2) = (Arc::new(work), vec![0, 0, 0, 0x2a]);
            Found { work, extranonce2, nonce: 0x0218_d484, version_bits: 0x2000, hash }
        };
        let mut session = ready(true);
        let found = share(&mut session);
        let line = session.submit(&found, Instant::now());
        let params = r#"["wallet.rig","1-1","0000002a","662307b7","0218d484","00002000"]"#;
        assert_eq!(line, format!(r#"{{"id":4,"method":"mining.submit","params":{params}}}"#));
        session.submit(&found, Instant::now());
        play(
            &mut session,
            r#"
            < {"id":5,"result":false,"error":[23,"low difficulty share",null]}
            ! rejected 1-1: low difficulty share (code 23)
            < {"id":4,"result":true,"error":null}
            ! accepted 0.000000
            < {"id":4,"result":true,"error":null}
            ! ignored an answer to a request never made, id 4
            "#,
        );
        let mut session = ready(false);
        let found = share(&mut session);
        let line = session.submit(&found, Instant::now());
        assert!(line.ends_with(r#""0218d484"]}"#), "no sixth parameter without rolling: {line}");
    }

    #[test]
    fn a_refused_worker_ends_the_conversation() {
        let (mut session, _) = Session::start("nobody", false);
        play(
            &mut session,
            r#"
            < {"id":3,"result":false,"error":[20,"worker name has no valid bitcoin wallet",null]}
            ! the pool refused the worker: worker name has no valid bitcoin wallet (code 20)
            < {"id":2,"result":null,"error":"busy"}
            ! the pool refused mining.subscribe: busy
            < {"id":2,"result":[[],"zz",4],"error":null}
            ! the pool's answer to mining.subscribe holds no usable extranonce: extranonce1: invalid character 'z' at position 0
            "#,
        );
    }

    #[test]
    fn what_makes_no_sense_is_passed_over() {
        play(
            &mut ready(false),
            r#"
            < hello
            ! ignored not JSON: hello
            < {"id":null,"result":true}
            ! ignored neither request nor answer: {"id":null,"result":true}
            < {"method":"mining.set_difficulty","params":[-1]}
            ! ignored mining.set_difficulty to -1
            < {"method":"mining.notify","params":[1]}
            ! ignored mining.notify has 1 parameters where 9 belong
            < {"method":"client.show_message","params":["back soon"]}
            ! message back soon
            < []
            ! ignored neither request nor answer: []
            "#,
        );
    }

    #[test]
    fn a_pool_that_stops_answering_is_given_up() {
        let mut session = ready(false);
        let now = Instant::now();
        let pending = Pending { job_id: String::new(), difficulty: 1.0, sent_at: now };
        session.pending.insert(4, pending);
        assert!(session.on_time(now + ANSWER_WAIT_MAX).is_ok());
        assert!(session.on_time(now + ANSWER_WAIT_MAX + Duration::from_secs(1)).is_err());
    }
}
