//! `mining.notify`: what all miners of a job are told is rendered once, what differs is patched
//! in (`stratum.md` §5.2).

use std::sync::Arc;

use crate::wire::reply;
use crate::work::header::stratum_hex;
use crate::work::job::Job;

use super::difficulty::When;
use super::jobs::Notified;
use super::{Env, Session};

/// Room for a coinbase, usually.
const COINBASE_BYTES: usize = 512;

/// A job with the parts of its notify that are the same for everyone.
#[derive(Debug)]
pub struct Work {
    pub job: Arc<Job>,
    prev_hash_hex: String,
    /// From the branch to the time.
    tail: Vec<u8>,
}

impl Work {
    pub fn new(job: Arc<Job>) -> Self {
        let branch: Vec<String> = job.branch.iter().map(const_hex::encode).collect();
        let tail = format!(
            "{},\"{:08x}\",\"{:08x}\",\"{:08x}\"",
            serde_json::to_string(&branch).expect("strings are JSON"),
            job.version,
            job.bits,
            job.curtime
        );
        Self { prev_hash_hex: stratum_hex(&job.prev_hash), tail: tail.into_bytes(), job }
    }

    fn write(&self, out: &mut Vec<u8>, notified: &Notified, clean_jobs: bool) {
        let job = &notified.job;
        out.extend(b"{\"id\":null,\"method\":\"mining.notify\",\"params\":[\"");
        notified.write_id(out);
        out.extend(b"\",\"");
        out.extend(self.prev_hash_hex.as_bytes());
        out.extend(b"\",\"");
        let mut coinbase = Vec::with_capacity(COINBASE_BYTES);
        job.coinbase.write_prefix(&mut coinbase, notified.sequence);
        let prefix_bytes = coinbase.len();
        job.coinbase.write_suffix(&mut coinbase, &job.payout, &notified.payee.script);
        let (prefix, suffix) = coinbase.split_at(prefix_bytes);
        write_hex(out, prefix);
        out.extend(b"\",\"");
        write_hex(out, suffix);
        out.extend(b"\",");
        out.extend(&self.tail);
        out.extend(if clean_jobs { &b",true]}\n"[..] } else { b",false]}\n" });
    }
}

impl Session {
    /// Sends the newest work, if there is any and somebody to be paid for it.
    pub(super) fn notify(&mut self, force_clean: bool, env: &mut Env<'_>) {
        if env.work.is_none() || self.payee.is_none() {
            return;
        }
        let force_clean = self.retarget(When::Now, env) || force_clean;
        let (Some(work), Some(payee)) = (env.work, &self.payee) else {
            return;
        };
        if self.rolling.follow(work.job.version_mask) && self.rolling.mask() != 0 {
            self.announce_version_mask(env);
        }
        // Compared with what this miner was last sent, so that it hears of a new tip even when
        // the job that brought it has been overtaken.
        let is_new_tip = self.jobs.last().is_none_or(|last| !last.job.is_same_tip_as(&work.job));
        let notified = self.jobs.push(&work.job, payee, self.difficulty.current());
        work.write(env.out, notified, force_clean || is_new_tip);
        self.meter.on_notify(env.now.elapsed);
    }

    pub(super) fn announce_version_mask(&self, env: &mut Env<'_>) {
        let mask = format!("{:08x}", self.rolling.mask());
        reply::notification(env.out, "mining.set_version_mask", &[mask]);
    }
}

fn write_hex(out: &mut Vec<u8>, bytes: &[u8]) {
    let start = out.len();
    out.resize(start + 2 * bytes.len(), 0);
    const_hex::encode_to_slice(bytes, &mut out[start..]).expect("two digits for each byte");
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::work::job::{JobInputs, JobStamp};
    use crate::work::payout::PayoutPolicy;
    use crate::work::target::Target;
    use crate::work::template::Template;

    /// A job of the given number, on a tip of its own for each `tip`.
    pub(crate) fn job(id: u64, tip: u8) -> Arc<Job> {
        let template = Template {
            height: 100 + u64::from(tip),
            version: 0x2000_0000,
            prev_hash: [tip; 32],
            bits: 0x1d00_ffff,
            target: Target::from_bits(0x1d00_ffff).unwrap(),
            curtime: 1_700_000_000,
            mintime: 1_600_000_000,
            coinbase_value: 5_000_000_000,
            coinbase_flags: vec![],
            witness_commitment: vec![0x6a],
            transactions: Default::default(),
            version_bits_fixed: 0,
        };
        let inputs = JobInputs {
            payout: Arc::new(PayoutPolicy {
                pool_address: String::new(),
                pool_script: vec![0x52],
                fee_percent: 2.0,
                donation: None,
            }),
            brand_tag: "/goPool/".into(),
            pool_entropy: String::new(),
            script_bytes_max: 100,
            extranonce2_size: 4,
            template_extranonce2_size: 8,
            bip110_enabled: false,
            version_bits: vec![],
        };
        let stamp = JobStamp { id, built_at: 1_700_000_000, entropy: String::new() };
        Arc::new(Job::compile(&template, &inputs, &stamp).unwrap())
    }

    #[test]
    fn a_rendered_notify_is_json_with_nine_parameters() {
        let work = Work::new(job(57, 7));
        let payee = Arc::new(super::super::Payee { name: "w".into(), script: vec![0x51] });
        let notified = Notified::new(&work.job, &payee, 1, 1.0);
        let mut out = Vec::new();
        work.write(&mut out, &notified, true);
        let line: serde_json::Value = serde_json::from_slice(&out).unwrap();
        let params = line["params"].as_array().unwrap();
        assert_eq!(params.len(), 9);
        assert_eq!(params[0], "z-1");
        assert_eq!(params[4], serde_json::json!([]));
        assert_eq!(params[8], true);
        assert!(out.ends_with(b"\n"));
    }
}
