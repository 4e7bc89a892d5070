//! Hears a conversation as a miner does and knows what may be said: every request answered once and
//! in turn, work that never repeats, difficulties that are numbers, and of each plain submission
//! whether it must be accepted. It computes headers from what was on the wire alone.

use std::collections::{HashMap, HashSet, VecDeque};

use gopool_shards::limits::{NOTIFY_BYTES_MAX, RECENT_JOBS_MAX};
use gopool_shards::settings::{Freshness, Settings};
use gopool_shards::sha256d::{Hash, sha256d, sha256d_pair};
use gopool_shards::share::Solved;
use gopool_shards::wire::request::{Malformed, Request};
use gopool_shards::work::target::{Target, hash_difficulty};
use serde_json::Value;

use super::told::{Told, hex_number};

const METHODS: [&str; 17] = [
    "mining.submit",
    "mining.subscribe",
    "mining.authorize",
    "mining.auth",
    "mining.configure",
    "mining.extranonce.subscribe",
    "mining.suggest_difficulty",
    "mining.set_difficulty",
    "mining.suggest_target",
    "mining.set_target",
    "mining.get_transactions",
    "mining.ping",
    "client.ping",
    "client.get_version",
    "mining.capabilities",
    "client.show_message",
    "client.reconnect",
];

/// What is known of a submission before it is answered.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    Accept,
    Refuse,
    /// The ear has not followed closely enough to say.
    Unknown,
}

struct Asked {
    id: String,
    method: String,
    fate: Fate,
    hash: Option<Hash>,
    params: Vec<String>,
}

pub struct Ear {
    settings: Settings,
    target: Target,
    asked: VecDeque<Asked>,
    /// By extranonce1, the notifies of a place, oldest first.
    places: HashMap<String, Vec<Told>>,
    job_ids: HashSet<(String, String)>,
    coinbases: HashSet<Vec<u8>>,
    seen: HashSet<(String, String, Vec<u8>, [u32; 3])>,
    accepted_hashes: HashSet<Hash>,
    solved: HashSet<Hash>,
    pub accepted: u64,
    pub rejected: u64,
    pub said: Vec<String>,
    // This connection's.
    extranonce1: Option<String>,
    authorized: bool,
    joined: Option<bool>,
    banned: bool,
    is_first_refusal: bool,
    opted_in: bool,
    mask: Option<u32>,
    difficulty: Option<f64>,
    easiest: f64,
    last_prev_hash: Option<String>,
}

impl Ear {
    pub fn new(settings: &Settings, target: Target) -> Self {
        Self {
            settings: settings.clone(),
            target,
            asked: VecDeque::new(),
            places: HashMap::new(),
            job_ids: HashSet::new(),
            coinbases: HashSet::new(),
            seen: HashSet::new(),
            accepted_hashes: HashSet::new(),
            solved: HashSet::new(),
            accepted: 0,
            rejected: 0,
            said: Vec::new(),
            extranonce1: None,
            authorized: false,
            joined: Some(false),
            banned: false,
            is_first_refusal: false,
            opted_in: false,
            mask: None,
            difficulty: None,
            easiest: f64::INFINITY,
            last_prev_hash: None,
        }
    }

    /// Whether the connection counts as a worker's, if the ear can tell.
    pub fn has_joined(&self) -> Option<bool> {
        self.joined
    }

    /// The notifies of this connection's place, oldest first.
    pub fn told(&self) -> &[Told] {
        self.extranonce1.as_ref().and_then(|place| self.places.get(place)).map_or(&[], |told| told)
    }

    pub fn on_asked(&mut self, request: Result<&Request<'_>, &Malformed<'_>>) {
        let (id, method) = match request {
            Ok(request) => (request.id, &*request.method),
            Err(Malformed { id: Some(id) }) => (*id, "malformed"),
            Err(Malformed { id: None }) => return,
        };
        let is_known = METHODS.contains(&method);
        if !is_known && id == "null" {
            return;
        }
        let (fate, hash) = match request {
            Ok(request) if method == "mining.submit" => {
                self.foresee(request).unwrap_or((Fate::Refuse, None))
            }
            _ => (Fate::Unknown, None),
        };
        self.opted_in |= matches!(method, "mining.extranonce.subscribe" | "mining.configure");
        let params = request.map_or(vec![], |request| {
            (0..request.params.len())
                .filter_map(|at| request.params.json(at))
                .map(str::to_owned)
                .collect()
        });
        self.asked.push_back(Asked {
            id: id.to_owned(),
            method: method.to_owned(),
            fate,
            hash,
            params,
        });
    }

    pub fn on_read_end(&self) {
        assert!(self.asked.is_empty(), "{} has no answer", self.asked[0].id);
    }

    pub fn on_close(&mut self) {
        self.asked.clear();
        self.extranonce1 = None;
        self.authorized = false;
        self.joined = Some(false);
        self.banned = false;
        self.is_first_refusal = false;
        self.opted_in = false;
        self.mask = None;
        self.difficulty = None;
        self.last_prev_hash = None;
    }

    pub fn on_solved(&mut self, solved: &Solved) {
        assert!(self.target.is_met_by(&solved.hash) && sha256d(&solved.header) == solved.hash);
        assert!(self.solved.insert(solved.hash), "a block is handed over once");
    }

    /// What one event brought.
    pub fn on_said(&mut self, chunk: &[u8]) {
        let text = std::str::from_utf8(chunk).expect("the pool says text");
        assert!(text.is_empty() || text.ends_with('\n'), "{text}");
        let mut owes_work = false;
        for line in text.split_terminator('\n') {
            self.said.push(line.to_owned());
            if let Some(rest) = line.strip_prefix("{\"id\":null,\"method\":\"") {
                let (method, rest) = rest.split_once("\",\"params\":").expect("parameters");
                let params: Vec<Value> =
                    serde_json::from_str(rest.strip_suffix('}').expect("an end")).expect("JSON");
                match method {
                    "mining.set_difficulty" => owes_work = true,
                    "mining.notify" => {
                        assert!(!owes_work || params[8] == true, "a new difficulty, clean work");
                        owes_work = false;
                    }
                    _ => {}
                }
                self.on_told(method, &params, line);
            } else {
                self.on_answer(line);
            }
        }
        assert!(!owes_work || !self.authorized, "a difficulty goes with work");
    }

    fn on_answer(&mut self, line: &str) {
        let asked = self.asked.pop_front().unwrap_or_else(|| panic!("nobody asked for {line}"));
        let Some(rest) = line.strip_prefix(&format!("{{\"id\":{},\"result\":", asked.id)) else {
            panic!("{line} does not answer {}", asked.id);
        };
        let rest = serde_json::from_str::<Value>(&format!("{{\"result\":{rest}")).expect("JSON");
        let (result, error) = (&rest["result"], &rest["error"]);
        if !error.is_null() {
            assert!(result.is_null() || result == false, "{line}");
            let code = error[0].as_i64().expect("a code");
            assert!([20, 21, 22, 23, 24, -32601, -32700].contains(&code), "{line}");
            assert!(error[1].as_str().is_some_and(|text| !text.is_empty()), "{line}");
            assert!(error[2].is_null() && error.as_array().map(Vec::len) == Some(3), "{line}");
        }
        let worked = error.is_null();
        match &*asked.method {
            "mining.submit" => self.on_judged(&asked, worked, error),
            "mining.subscribe" if worked => {
                self.extranonce1 = Some(result[1].as_str().expect("an extranonce").to_owned());
            }
            "mining.authorize" | "mining.auth" => {
                self.authorized |= worked;
                if error[1].as_str().is_some_and(|words| words.contains("Miner too")) {
                    // Whose wallet is good but whose difficulty is not has been counted in; whom
                    // that banned before has not. Both go.
                    self.joined = None;
                } else if worked {
                    self.joined = Some(true);
                }
            }
            "mining.configure" if worked => {
                if let Some(rolls) = result.get("version-rolling") {
                    let mask = result.get("version-rolling.mask").and_then(Value::as_str);
                    assert_eq!(rolls == true, mask.is_some());
                    self.mask = Some(mask.map_or(0, |mask| hex_number(mask).expect("a mask")));
                }
            }
            _ => {}
        }
    }

    fn on_judged(&mut self, asked: &Asked, accepted: bool, error: &Value) {
        let is_new = asked.hash.is_none_or(|hash| !self.accepted_hashes.contains(&hash));
        if accepted {
            self.accepted += 1;
            assert_ne!(asked.fate, Fate::Refuse, "{:?} must not be accepted", asked.params);
            let hash = asked.hash.expect("the ear knows what was accepted");
            assert!(is_new, "{:?} is accepted once more", asked.params);
            self.accepted_hashes.insert(hash);
        } else {
            let is_owed = asked.fate == Fate::Accept && is_new;
            assert!(!is_owed, "{:?} must be accepted, not {error}", asked.params);
            let is_banned = error[1].as_str().expect("words").starts_with("banned");
            // The one that brings the ban is counted for what was wrong with it.
            let is_counted = !is_banned || std::mem::take(&mut self.is_first_refusal);
            self.rejected += u64::from(is_counted);
        }
    }

    fn on_told(&mut self, method: &str, params: &[Value], line: &str) {
        if method == "client.show_message" {
            let text = params[0].as_str().expect("a text");
            assert!(!text.is_empty() && text.len() <= 512 && params.len() == 1);
            self.is_first_refusal = text.starts_with("Banned until");
            self.banned |= self.is_first_refusal;
            return;
        }
        let place = self.extranonce1.clone().expect("nothing is told before the subscribe");
        match method {
            "mining.set_difficulty" => self.on_difficulty(params, line),
            "mining.notify" => self.on_notify(place, params, line),
            "mining.set_extranonce" => {
                assert!(self.opted_in && params[0] == *place);
                assert_eq!(params[1], self.settings.extranonce2_size);
            }
            "mining.set_version_mask" => {
                let text = params[0].as_str().expect("a mask");
                let mask = hex_number(text).expect("a mask");
                assert!(text.len() == 8 && mask != 0 && mask & !0x1fff_e000 == 0, "{line}");
                self.mask = Some(mask);
            }
            other => panic!("the pool never says {other}"),
        }
    }

    fn on_difficulty(&mut self, params: &[Value], line: &str) {
        let token = line.rsplit_once('[').expect("parameters").1.trim_end_matches("]}");
        assert!(token.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.'), "{line}");
        let difficulty = params[0].as_f64().expect("a number");
        assert!(difficulty > 0.0 && difficulty.is_finite() && params.len() == 1, "{line}");
        assert!(difficulty < 1.0 || !token.contains('.'), "whole from 1 upward: {line}");
        let bounds = &self.settings.difficulty;
        assert!(difficulty >= bounds.min, "{line} is below {}", bounds.min);
        assert!(bounds.max <= 0.0 || difficulty <= bounds.max, "{line} is above {}", bounds.max);
        self.difficulty = Some(difficulty);
        self.easiest = self.easiest.min(difficulty);
    }

    fn on_notify(&mut self, place: String, params: &[Value], line: &str) {
        assert!(self.authorized && line.len() < NOTIFY_BYTES_MAX);
        let difficulty = self.difficulty.expect("a difficulty comes before the work");
        let told = Told::read(params, difficulty);
        let is_new_tip = self.last_prev_hash.as_ref() != Some(&told.prev_hash_hex);
        assert!(!is_new_tip || params[8] == true, "a new tip is clean");
        self.last_prev_hash = Some(told.prev_hash_hex.clone());
        assert!(self.job_ids.insert((place.clone(), told.id.clone())), "{} again", told.id);
        assert!(self.coinbases.insert(told.coinbase(&place, b"")), "work is never the same");
        self.places.entry(place).or_default().push(told);
    }

    /// Whether a submission must be accepted, from what was on the wire; `None` for what is refused
    /// before it is hashed. A job of no known name is not looked for, as `Freshness::Off` would.
    fn foresee(&mut self, request: &Request<'_>) -> Option<(Fate, Option<Hash>)> {
        let params = &request.params;
        let fields: Vec<_> =
            (0..params.len()).map(|at| params.string(at)).collect::<Option<_>>()?;
        if !matches!(fields.len(), 5 | 6) || !self.authorized {
            return None;
        }
        let worker = fields[0].trim();
        let job_id = fields[1].trim();
        if worker.is_empty() || worker.len() > 256 {
            return None;
        }
        let freshness = self.settings.shares.freshness;
        let place = self.extranonce1.clone()?;
        let told = self.places.get(&place)?;
        let last = told.last()?;
        let named = told.iter().position(|told| told.id == job_id);
        let is_recent = named.is_some_and(|at| told.len() - at <= RECENT_JOBS_MAX);
        let job = &told[named?];
        let mut is_good = is_recent
            && !(freshness == Freshness::JobIdAndPrevHash
                && job.prev_hash_hex != last.prev_hash_hex);
        let extranonce2 = (fields[2].len() == 2 * self.settings.extranonce2_size
            && fields[2].bytes().all(|byte| byte.is_ascii_hexdigit()))
        .then(|| const_hex::decode(fields[2].as_bytes()).ok())??;
        let (ntime, nonce) = (hex_number(&fields[3])?, hex_number(&fields[4])?);
        let forward_max = self.settings.shares.ntime_forward_max.as_secs() as u32;
        is_good &= (job.ntime..=job.ntime + forward_max).contains(&ntime);
        let submitted = fields.get(5).map_or(Some(0), |text| hex_number(text))?;
        let mask = self.mask.unwrap_or(0x1fff_e000);
        let version = match submitted {
            0 => job.version,
            bits if bits & !mask == 0 => job.version ^ bits,
            whole => whole,
        };
        let changed = version ^ job.version;
        is_good &= changed & !self.mask.unwrap_or(0) == 0;
        let hash = job.hash(&place, &extranonce2, version, ntime, nonce);
        let difficulty = hash_difficulty(&hash);
        let (needed, easiest) = (job.difficulty * 0.98, self.easiest.min(job.difficulty) * 0.98);
        let key = (place, job.id.clone(), extranonce2, [ntime, nonce, version]);
        let is_known = is_recent && !self.seen.insert(key);
        let is_block = self.target.is_met_by(&hash);
        let fate = if is_known {
            Fate::Refuse
        } else if is_block {
            // Of jobs that have left the window the ear does not know which are still kept.
            if is_recent { Fate::Accept } else { Fate::Unknown }
        } else if !is_good {
            Fate::Refuse
        } else if self.banned || self.settings.shares.require_worker_match {
            Fate::Unknown
        } else if difficulty >= needed {
            Fate::Accept
        } else if difficulty < easiest.min(self.start() * 0.98) {
            Fate::Refuse
        } else {
            Fate::Unknown
        };
        Some((fate, Some(hash)))
    }

    /// The difficulty that a connection begins with, told or not.
    fn start(&self) -> f64 {
        let bounds = &self.settings.difficulty;
        if bounds.default > 0.0 { bounds.default } else { bounds.min }
    }
}

/// Merkle root of a coinbase and the branch beside it.
pub fn fold(coinbase: &[u8], branch: &[Hash]) -> Hash {
    branch.iter().fold(sha256d(coinbase), |root, side| sha256d_pair(&root, side))
}
