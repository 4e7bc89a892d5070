//! `-miner-profile-json`: what kinds of miners are like, for those who tune the pool for them
//! (`config.md` §12.2, `state-and-services.md` §19.4). It has a thread of its own, which nobody waits for.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use jiff::Timestamp;
use serde::Serialize;
use tracing::{info, warn};

use gopool_shards::session::client::name_and_version;
use gopool_shards::tally::Observation;

use crate::identity::worker_hash_hex;
use crate::privacy::worker_name;
use crate::whole_file;

const WRITE_INTERVAL: Duration = Duration::from_secs(30);
/// Reports that may wait; with a disk that hangs the next ones are left out.
const QUEUE: usize = 64;
/// Names that stand for all.
const SAMPLES_MAX: usize = 8;
/// Kinds that are kept apart: a client may call itself anything.
const KINDS_MAX: usize = 4096;

/// Where observations go. Dropping it ends the thread, after a last write.
#[derive(Debug)]
pub struct Profiles {
    sender: Sender<Vec<Observation>>,
    thread: JoinHandle<()>,
}

impl Profiles {
    pub fn spawn(path: PathBuf) -> io::Result<Self> {
        let (sender, observations) = bounded(QUEUE);
        info!(component = "startup", path = %path.display(), "miner profiles are written");
        let thread = thread::Builder::new()
            .name("profiles".into())
            .spawn(move || collect(&path, &observations))?;
        Ok(Self { sender, thread })
    }

    pub fn add(&self, observations: Vec<Observation>) {
        if !observations.is_empty() {
            // Statistics may have gaps; control must not wait.
            let _ = self.sender.try_send(observations);
        }
    }

    /// Writes what is known and ends.
    pub fn finish(self) {
        drop(self.sender);
        let _ = self.thread.join();
    }
}

fn collect(path: &Path, observations: &Receiver<Vec<Observation>>) {
    let mut kinds = Kinds::default();
    let mut is_changed = true;
    let mut next_write = Instant::now() + WRITE_INTERVAL;
    loop {
        match observations.recv_deadline(next_write) {
            Ok(batch) => {
                is_changed |= !batch.is_empty();
                batch.iter().for_each(|observation| kinds.add(observation, Timestamp::now()));
            }
            Err(RecvTimeoutError::Timeout) => {
                if is_changed && kinds.write(path).is_ok() {
                    is_changed = false;
                }
                next_write = Instant::now() + WRITE_INTERVAL;
            }
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    if let Err(error) = kinds.write(path) {
        warn!(component = "startup", path = %path.display(), %error, "miner profiles not written");
    }
}

/// By the identifier in lower case.
#[derive(Debug, Default)]
struct Kinds(BTreeMap<String, Profile>);

#[derive(Debug, Default, Serialize)]
struct Profile {
    #[serde(skip_serializing_if = "String::is_empty")]
    miner_type: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    client_name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    client_version: String,
    sessions: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    workers_sample: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    worker_hashes_sample: Vec<String>,
    starting_difficulty: Summary,
    ideal_difficulty_settled: Summary,
    current_difficulty_settled: Summary,
    hashrate_settled_hs: Summary,
    shares_per_min_settled: Summary,
    work_start_p50_ms_settled: Summary,
    miner_response_p50_ms_settled: Summary,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_updated_at: Option<String>,
}

/// Of values above 0; members that are 0 are left out.
#[derive(Debug, Default, Serialize)]
struct Summary {
    #[serde(skip_serializing_if = "is_zero")]
    min: f64,
    #[serde(skip_serializing_if = "is_zero")]
    max: f64,
    #[serde(skip_serializing_if = "is_zero")]
    avg: f64,
    #[serde(skip_serializing_if = "is_none")]
    count: u64,
}

fn is_zero(value: &f64) -> bool {
    *value == 0.0
}

fn is_none(count: &u64) -> bool {
    *count == 0
}

impl Summary {
    fn add(&mut self, value: f64) {
        if !value.is_finite() || value <= 0.0 {
            return;
        }
        self.min = if self.count == 0 { value } else { self.min.min(value) };
        self.max = self.max.max(value);
        self.count += 1;
        self.avg += (value - self.avg) / self.count as f64;
    }
}

impl Kinds {
    fn add(&mut self, observation: &Observation, at: Timestamp) {
        let client_id = observation.client_id.trim();
        let key = client_id.to_lowercase();
        if self.0.len() >= KINDS_MAX && !self.0.contains_key(&key) {
            return;
        }
        let profile = self.0.entry(key).or_insert_with(|| Profile::of(client_id));
        profile.add(observation, at);
    }

    /// Most sessions first.
    fn sorted(&self) -> Vec<&Profile> {
        let mut profiles: Vec<&Profile> = self.0.values().collect();
        profiles.sort_by(|a, b| {
            let names = |p: &Profile| {
                (p.miner_type.clone(), p.client_name.clone(), p.client_version.clone())
            };
            b.sessions.cmp(&a.sessions).then_with(|| names(a).cmp(&names(b)))
        });
        profiles
    }

    fn write(&self, path: &Path) -> io::Result<()> {
        #[derive(Serialize)]
        struct Document<'a> {
            generated_at: String,
            profiles: Vec<&'a Profile>,
        }
        let document =
            Document { generated_at: seconds(Timestamp::now()), profiles: self.sorted() };
        let text = serde_json::to_string_pretty(&document)?;
        whole_file::replace(path, (text + "\n").as_bytes(), 0o644)
    }
}

impl Profile {
    fn of(client_id: &str) -> Self {
        let (name, version) = name_and_version(client_id);
        Self {
            miner_type: client_id.to_owned(),
            client_name: name,
            client_version: version,
            ..Self::default()
        }
    }

    fn add(&mut self, observation: &Observation, at: Timestamp) {
        if let Some(difficulty) = observation.starting_difficulty {
            self.sessions += 1;
            self.starting_difficulty.add(difficulty);
        }
        // Whose miner it is is nobody's business but theirs: the name is shortened.
        let hash = worker_hash_hex(&observation.worker);
        if self.workers_sample.len() < SAMPLES_MAX && !self.worker_hashes_sample.contains(&hash) {
            self.workers_sample.push(worker_name(&observation.worker));
            self.worker_hashes_sample.push(hash);
        }
        if let Some(settled) = &observation.settled {
            let milliseconds = |time: Duration| time.as_secs_f64() * 1000.0;
            self.ideal_difficulty_settled.add(settled.ideal_difficulty);
            self.current_difficulty_settled.add(settled.difficulty);
            self.hashrate_settled_hs.add(settled.hashrate);
            self.shares_per_min_settled.add(settled.shares_per_min);
            self.work_start_p50_ms_settled.add(settled.work_start.map_or(0.0, milliseconds));
            self.miner_response_p50_ms_settled
                .add(observation.round_trip.map_or(0.0, milliseconds));
        }
        self.last_updated_at = Some(seconds(at));
    }
}

/// RFC 3339, whole seconds.
fn seconds(at: Timestamp) -> String {
    Timestamp::from_second(at.as_second()).unwrap_or(at).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use gopool_shards::tally::Settled;
    use serde_json::Value;
    use std::fs;

    fn seen(client_id: &str, worker: &str, starting_difficulty: Option<f64>) -> Observation {
        Observation {
            client_id: client_id.into(),
            worker: worker.into(),
            starting_difficulty,
            settled: None,
            round_trip: None,
        }
    }

    #[test]
    fn kinds_are_told_apart_and_summed_up() {
        let mut kinds = Kinds::default();
        let at = "2026-01-02T03:04:05.678Z".parse().unwrap();
        for nth in 0..10 {
            kinds.add(&seen("cgminer/4.12", &format!("w.{nth}"), Some(256.0)), at);
        }
        kinds.add(&seen("CGMiner/4.12 ", "w.0", Some(512.0)), at);
        let settled = Settled {
            hashrate: 1e12,
            shares_per_min: 14.0,
            difficulty: 1024.0,
            ideal_difficulty: 1000.0,
            work_start: Some(Duration::from_millis(250)),
        };
        let round_trip = Some(Duration::from_micros(1500));
        kinds.add(
            &Observation { settled: Some(settled), round_trip, ..seen("bitaxe", "w.a", None) },
            at,
        );
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("below/profiles.json");
        kinds.write(&path).unwrap();
        let document: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let first = &document["profiles"][0];
        assert_eq!(first["sessions"], 11);
        assert_eq!(
            (&first["client_name"], &first["client_version"]),
            (&"cgminer".into(), &"4.12".into())
        );
        assert_eq!(first["workers_sample"].as_array().unwrap().len(), SAMPLES_MAX);
        assert_eq!(first["starting_difficulty"]["max"], 512.0);
        assert_eq!(first["starting_difficulty"]["count"], 11);
        assert_eq!(first["hashrate_settled_hs"], serde_json::json!({}), "nothing is known");
        assert_eq!(first["last_updated_at"], "2026-01-02T03:04:05Z");
        let second = &document["profiles"][1];
        assert_eq!(second["sessions"], 0);
        assert_eq!(second["miner_response_p50_ms_settled"]["avg"], 1.5);
        assert_eq!(second["work_start_p50_ms_settled"]["min"], 250.0);
        assert!(second.get("client_version").is_none());
    }
}
