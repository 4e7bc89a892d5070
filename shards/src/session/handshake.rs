//! How a connection comes to be a miner: subscribe, configure, authorize, suggest
//! (`stratum.md` §3, §4).

use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::limits::{CLIENT_ID_BYTES_MAX, SESSION_ID_BYTES_MAX, WORKER_NAME_BYTES_MAX};
use crate::tally::CloseReason;
use crate::wire::reject::{CODE_OTHER, CODE_UNAUTHORIZED};
use crate::wire::reply::{self, Failed};
use crate::wire::request::Request;
use crate::work::address::{script_for, wallet_of};
use crate::work::header::display_hex;
use crate::work::job::VERSION_MASK;
use crate::work::target::Target;

use super::client::name_and_version;
use super::hint::{parse_number, password_hint, password_matches, split_worker_name};
use super::jobs::Found;
use super::{Env, Next, Payee, Session};

impl Session {
    pub(super) fn subscribe(&mut self, request: &Request<'_>, env: &mut Env<'_>) -> Next {
        let id = request.id;
        if self.is_subscribed() {
            reply::failure(env.out, id, Failed::Null, CODE_OTHER, "already subscribed");
            return Next::Continue;
        }
        let client_id = request.params.string(0).unwrap_or_default();
        if client_id.len() > CLIENT_ID_BYTES_MAX {
            reply::failure(env.out, id, Failed::Null, CODE_OTHER, "client identifier too long");
            return Next::Close(CloseReason::Refused);
        }
        if is_banned_client(&client_id, &env.settings.banned_clients) {
            reply::failure(env.out, id, Failed::Null, CODE_OTHER, "banned miner type");
            return Next::Close(CloseReason::Banned);
        }
        self.client_id = client_id.trim().into();
        self.has_news = true;
        let sequence = self.sequence(env);
        let brought = request.params.string(1).filter(|text| is_session_id(text));
        let brought = brought.as_deref().map(str::trim);
        let (place, parked) = env.directory.enter(sequence, brought, env.now.elapsed);
        if let Some(parked) = parked {
            self.difficulty = parked.difficulty.resumed();
            self.jobs = parked.jobs;
        }
        let place = self.place.insert(place);
        self.subscribed_in_this_read = true;

        let methods: &[&str] = if env.settings.ckpool_emulate {
            &["mining.notify"]
        } else {
            &[
                "mining.set_difficulty",
                "mining.notify",
                "mining.set_extranonce",
                "mining.set_version_mask",
            ]
        };
        let tuples: Vec<(&str, &str)> =
            methods.iter().map(|method| (*method, &*place.session_id)).collect();
        let extranonce1 = const_hex::encode(place.extranonce1);
        reply::result(env.out, id, &(tuples, extranonce1, env.settings.extranonce2_size));
        if self.wants_set_extranonce {
            self.announce_extranonce(env);
        }
        self.schedule_first_work(env);
        if let Some(hint) = self.difficulty.take_pending_hint() {
            self.apply_suggestion(hint, env);
        }
        Next::Continue
    }

    pub(super) fn authorize(&mut self, request: &Request<'_>, env: &mut Env<'_>) -> Next {
        let id = request.id;
        let user = request.params.string(0).unwrap_or_default();
        let password = request.params.string(1).unwrap_or_default();
        let (name, name_hint) = split_worker_name(&user);
        let refused = if name.is_empty() {
            Some((CODE_OTHER, "worker name required"))
        } else if name.len() > WORKER_NAME_BYTES_MAX {
            Some((CODE_OTHER, "worker name too long"))
        } else if env.settings.password.as_ref().is_some_and(|p| !password_matches(p, &password)) {
            Some((CODE_UNAUTHORIZED, "invalid password"))
        } else {
            None
        };
        if let Some((code, message)) = refused {
            reply::failure(env.out, id, Failed::False, code, message);
            return Next::Close(CloseReason::Refused);
        }
        if let Some(next) = self.turn_away_if_banned(id, name, env) {
            return next;
        }
        let Ok(script) = script_for(&wallet_of(name), env.settings.network) else {
            let message = "worker name has no valid bitcoin wallet";
            reply::failure(env.out, id, Failed::False, CODE_OTHER, message);
            return Next::Close(CloseReason::Refused);
        };
        self.sequence(env);
        let is_switch = self.switch_payee(Payee { name: name.into(), script }, env);
        let hint = password_hint(&password).or(name_hint);
        if let Some(next) = hint.and_then(|hint| self.turn_away_if_outside_limits(id, hint, env)) {
            return next;
        }
        let hint = hint.map(|hint| hint.min(ceiling(env)));
        if let Some(hint) = hint {
            self.difficulty.set_floor(hint);
        }
        reply::success(env.out, id);
        if is_switch && self.first_work == super::FirstWork::Sent {
            // Work notified before keeps paying whom it was made for; this pays the new one.
            self.notify(true, env);
        }
        self.schedule_first_work(env);
        match hint {
            Some(hint) if self.is_subscribed() => self.apply_suggestion(hint, env),
            Some(hint) => self.difficulty.hint_after_subscribe(hint),
            None => {}
        }
        Next::Continue
    }

    /// Whether the connection was another worker's before.
    fn switch_payee(&mut self, payee: Payee, env: &mut Env<'_>) -> bool {
        let before = self.payee.take();
        if let Some(seat) = self.seat.take() {
            env.tally.leave(seat);
        }
        self.seat = Some(env.tally.join(&payee.name));
        // The same worker again is no news.
        self.has_news |= before.as_ref().is_none_or(|before| before.name != payee.name);
        let is_switch =
            before.is_some_and(|before| before.name != payee.name || before.script != payee.script);
        self.payee = Some(Arc::new(payee));
        is_switch
    }

    fn sequence(&mut self, env: &Env<'_>) -> u64 {
        *self.sequence.get_or_insert_with(|| env.directory.next_sequence())
    }

    /// The answer comes before everything it causes: some firmware reads one line and no more.
    pub(super) fn configure(&mut self, request: &Request<'_>, env: &mut Env<'_>) -> Next {
        let Some(extensions) = extension_names(request.params.value(0)) else {
            reply::failure(env.out, request.id, Failed::Null, CODE_OTHER, "invalid params");
            return Next::Continue;
        };
        let options = Options(match request.params.value(1) {
            Some(Value::Object(options)) => options,
            _ => Map::new(),
        });
        let mut result = Map::new();
        let (mut rolls, mut opts_in) = (false, false);
        for name in extensions {
            match &*normalised(&name) {
                "versionrolling" => rolls |= self.negotiate_rolling(&options, &mut result, env),
                "minimumdifficulty" => {
                    let floor = options.number("minimum-difficulty.value");
                    if let Some(floor) = floor.filter(|floor| *floor > 0.0) {
                        let outside = self.turn_away_if_outside_limits(request.id, floor, env);
                        if let Some(next) = outside {
                            return next;
                        }
                        self.difficulty.set_floor(floor.min(ceiling(env)));
                    }
                    result.insert(name, true.into());
                }
                "suggestdifficulty" => {
                    result.insert(name, true.into());
                }
                "subscribeextranonce" => {
                    opts_in |= !std::mem::replace(&mut self.wants_set_extranonce, true);
                    result.insert(name, true.into());
                }
                _ => {
                    // A name such as `version-rolling.mask` must not undo what is answered under it.
                    result.entry(name).or_insert(false.into());
                }
            }
        }
        reply::result(env.out, request.id, &result);
        if rolls && self.is_subscribed() {
            self.announce_version_mask(env);
        }
        if opts_in {
            self.announce_extranonce(env);
        }
        self.hurry_first_work(env);
        Next::Continue
    }

    fn negotiate_rolling(
        &mut self,
        options: &Options,
        result: &mut Map<String, Value>,
        env: &Env<'_>,
    ) -> bool {
        let job_mask = env.work.map_or(VERSION_MASK, |work| work.job.version_mask);
        let requested = options.mask("version-rolling.mask").unwrap_or(job_mask);
        let min_bits = options.number("version-rolling.min-bit-count").filter(|bits| *bits >= 1.0);
        self.rolling.negotiate(requested, min_bits.map(|bits| bits as u32), job_mask);
        let is_on = self.rolling.mask() != 0;
        result.insert("version-rolling".into(), is_on.into());
        if is_on {
            let mask = format!("{:08x}", self.rolling.mask());
            result.insert("version-rolling.mask".into(), mask.into());
            result.insert("version-rolling.min-bit-count".into(), self.rolling.min_bits().into());
        }
        is_on
    }

    pub(super) fn extranonce_subscribe(&mut self, request: &Request<'_>, env: &mut Env<'_>) {
        self.wants_set_extranonce = true;
        reply::success(env.out, request.id);
        self.announce_extranonce(env);
    }

    /// Tells a subscribed client what it has been told before: it asked for that.
    fn announce_extranonce(&self, env: &mut Env<'_>) {
        let Some(place) = &self.place else {
            return;
        };
        let extranonce1 = const_hex::encode(place.extranonce1);
        let params = (extranonce1, env.settings.extranonce2_size);
        reply::notification(env.out, "mining.set_extranonce", &params);
    }

    pub(super) fn suggest_difficulty(&mut self, request: &Request<'_>, env: &mut Env<'_>) -> Next {
        let suggested = match request.params.value(0) {
            None if request.params.is_empty() => Some(0.0),
            Some(Value::Number(number)) => number.as_f64(),
            Some(Value::String(text)) => parse_number(&text),
            _ => None,
        };
        match suggested.filter(|value| *value >= 0.0 && value.is_finite()) {
            Some(difficulty) => self.accept_suggestion(request.id, difficulty, env),
            None => {
                reply::failure(env.out, request.id, Failed::Null, CODE_OTHER, "invalid params");
                Next::Continue
            }
        }
    }

    pub(super) fn suggest_target(&mut self, request: &Request<'_>, env: &mut Env<'_>) -> Next {
        let text = request.params.string(0).unwrap_or_default();
        if text.trim().is_empty() {
            reply::success(env.out, request.id);
            return Next::Continue;
        }
        match Target::from_hex(text.trim()).filter(|target| *target != Target::ZERO) {
            Some(target) => self.accept_suggestion(request.id, target.difficulty(), env),
            None => {
                reply::failure(env.out, request.id, Failed::Null, CODE_OTHER, "invalid target");
                Next::Continue
            }
        }
    }

    fn accept_suggestion(&mut self, id: &str, difficulty: f64, env: &mut Env<'_>) -> Next {
        if difficulty > 0.0
            && let Some(next) = self.turn_away_if_outside_limits(id, difficulty, env)
        {
            return next;
        }
        reply::success(env.out, id);
        if difficulty > 0.0 {
            self.apply_suggestion(difficulty.min(ceiling(env)), env);
        }
        Next::Continue
    }

    pub(super) fn get_transactions(&mut self, request: &Request<'_>, env: &mut Env<'_>) {
        let named = request.params.string(0);
        let job = match &named {
            Some(id) => match self.jobs.find(id.trim()) {
                Some(Found::Recent { notified, .. }) => Some(&notified.job),
                Some(Found::Late(notified)) => Some(&notified.job),
                None => None,
            },
            None => self.jobs.last().map(|last| &last.job).or(env.work.map(|work| &work.job)),
        };
        let txids: Vec<String> = job
            .map(|job| job.transactions.iter().map(|tx| display_hex(&tx.txid)).collect())
            .unwrap_or_default();
        reply::result(env.out, request.id, &json!(txids));
    }
}

/// Whether the list has the whole identifier or the name in it (`stratum.md` §9.7, §3.1).
fn is_banned_client(client_id: &str, banned: &[String]) -> bool {
    let client_id = client_id.trim().to_ascii_lowercase();
    let (name, _) = name_and_version(&client_id);
    !client_id.is_empty() && banned.iter().any(|entry| *entry == client_id || *entry == name)
}

/// A miner may not ask for more than the network does: its shares would be rarer than blocks.
fn ceiling(env: &Env<'_>) -> f64 {
    env.work.map_or(f64::from(u32::MAX), |work| work.job.target.difficulty())
}

/// Extension names: an array of strings, or one string with commas. `None` for anything else and
/// for a string that names none.
fn extension_names(value: Option<Value>) -> Option<Vec<String>> {
    match value? {
        Value::Array(items) => {
            let names = items.into_iter().filter_map(|item| match item {
                Value::String(name) if !name.trim().is_empty() => Some(name.trim().to_owned()),
                _ => None,
            });
            Some(names.collect())
        }
        Value::String(list) => {
            let names = list.split(',').map(str::trim).filter(|name| !name.is_empty());
            let names: Vec<String> = names.map(str::to_owned).collect();
            (!names.is_empty()).then_some(names)
        }
        _ => None,
    }
}

/// The options of a configure; keys are found literally or without their punctuation.
struct Options(Map<String, Value>);

impl Options {
    fn get(&self, key: &str) -> Option<&Value> {
        self.0.get(key).or_else(|| {
            let wanted = normalised(key);
            self.0.iter().find(|(found, _)| normalised(found) == wanted).map(|(_, value)| value)
        })
    }

    fn number(&self, key: &str) -> Option<f64> {
        match self.get(key)? {
            Value::Number(number) => number.as_f64(),
            Value::String(text) => parse_number(text),
            _ => None,
        }
    }

    fn mask(&self, key: &str) -> Option<u32> {
        match self.get(key)? {
            Value::String(text) => {
                let text = text.trim();
                let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
                u32::from_str_radix(digits.unwrap_or(text), 16).ok()
            }
            Value::Number(number) => {
                let number = number.as_f64().filter(|n| (0.0..=4_294_967_295.0).contains(n))?;
                Some(number as u32)
            }
            _ => None,
        }
    }
}

fn normalised(name: &str) -> String {
    name.trim().to_ascii_lowercase().replace(['.', '-', '_'], "")
}

fn is_session_id(text: &str) -> bool {
    let text = text.trim();
    (1..=SESSION_ID_BYTES_MAX).contains(&text.len()) && !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_banned_by_name_or_by_version() {
        let banned = |entry: &str, client_id: &str| is_banned_client(client_id, &[entry.into()]);
        assert!(banned("cgminer", "cgminer/4.12.0") && banned("cgminer", "CGMiner/4.9"));
        assert!(banned("cgminer/4.12.0", "cgminer/4.12.0"));
        assert!(!banned("cgminer/4.12.0", "cgminer/4.9"));
        assert!(!banned("cgminer", "cgminer2") && !banned("", ""));
    }
}
