//! What a miner works on, for somebody who wants to check what its block would pay
//! (`web.md` §4.10, A.6).

use std::net::SocketAddr;
use std::sync::Arc;

use crate::limits::EXTRANONCE1_BYTES;
use crate::work::job::Job;

use super::{Payee, Session};

/// The newest work that a connection was sent; everything in its notify follows from this.
#[derive(Clone, Debug)]
pub struct ShownWork {
    /// As the miner knows it.
    pub job_id: String,
    pub job: Arc<Job>,
    pub payee: Arc<Payee>,
    /// What its shares must have.
    pub difficulty: f64,
    pub extranonce1: [u8; EXTRANONCE1_BYTES],
    /// Number of the notify on its connection, from 1.
    sequence: u32,
}

impl ShownWork {
    /// Stratum's `coinb1` and `coinb2`, as they were sent.
    pub fn halves(&self) -> (Vec<u8>, Vec<u8>) {
        let (mut prefix, mut suffix) = (Vec::new(), Vec::new());
        self.job.coinbase.write_prefix(&mut prefix, self.sequence);
        self.job.coinbase.write_suffix(&mut suffix, &self.job.payout, &self.payee.script);
        (prefix, suffix)
    }

    /// The whole coinbase without its witness, extranonce2 all zeros.
    pub fn coinbase(&self) -> Vec<u8> {
        let (mut coinbase, suffix) = self.halves();
        coinbase.extend(self.extranonce1);
        coinbase.resize(coinbase.len() + self.job.coinbase.extranonce2_size(), 0);
        coinbase.extend(suffix);
        coinbase
    }
}

/// A connection that has not authorized.
#[derive(Clone, Debug)]
pub struct Stranger {
    pub remote: SocketAddr,
    pub is_tls: bool,
    /// What it calls itself; empty until it subscribes.
    pub client_id: Arc<str>,
    pub has_subscribed: bool,
    /// Unix seconds.
    pub connected_at: u64,
}

impl Session {
    /// Process-wide number of the connection, once it has subscribed or authorized.
    pub fn number(&self) -> Option<u64> {
        self.sequence
    }

    /// Who it is authorized as.
    pub fn worker(&self) -> Option<&Arc<str>> {
        self.payee.as_ref().map(|payee| &payee.name)
    }

    /// What is known of it while it has not authorized; the rest is the socket's.
    pub fn stranger(&self, remote: SocketAddr, is_tls: bool) -> Option<Stranger> {
        self.payee.is_none().then(|| Stranger {
            remote,
            is_tls,
            client_id: Arc::clone(&self.client_id),
            has_subscribed: self.place.is_some(),
            connected_at: self.connected_at,
        })
    }

    /// None before the first work.
    pub fn shown(&self) -> Option<ShownWork> {
        let notified = self.jobs.last()?;
        let mut job_id = Vec::new();
        notified.write_id(&mut job_id);
        Some(ShownWork {
            job_id: String::from_utf8(job_id).expect("base 58 is ASCII"),
            job: Arc::clone(&notified.job),
            payee: Arc::clone(&notified.payee),
            difficulty: notified.difficulty,
            extranonce1: self.place.as_ref()?.extranonce1,
            sequence: notified.sequence,
        })
    }
}
