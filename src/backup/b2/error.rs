//! What B2 does not do, and why.

use std::io;
use std::time::Duration;

use serde::Deserialize;

use super::super::limit::TooLate;
use crate::outgoing::{Answer, OutgoingError};
use crate::privacy;

/// Why a call has come to nothing. No text has keys, tokens or URLs in it.
#[derive(Debug, thiserror::Error)]
pub(in crate::backup) enum B2Error {
    #[error("{call}: {source}")]
    NoAnswer { call: &'static str, source: OutgoingError },
    #[error("{call} is refused with HTTP status {status}{words}")]
    Refused { call: &'static str, status: u16, words: String, wait: Option<Duration> },
    #[error("there is no bucket {0:?} that the key may see")]
    NoBucket(String),
    #[error("{call} names a server that cannot be reached safely: its URL is not one of https")]
    NotPrivate { call: &'static str },
    #[error("{call}: B2 has other bytes than were sent")]
    OtherBytes { call: &'static str },
    #[error("the copy cannot be read: {0}")]
    Copy(#[from] io::Error),
    #[error("there is no connection to B2")]
    NotConnected,
    #[error("the pool stops")]
    Stopped,
    #[error(transparent)]
    TooLate(#[from] TooLate),
}

/// B2's own words about an error.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Words {
    code: String,
    message: String,
}

impl B2Error {
    pub(super) fn refused(call: &'static str, answer: &Answer, secrets: &[&str]) -> Self {
        let said: Words = answer.json().unwrap_or_default();
        let mut words = String::new();
        for part in [said.code, said.message] {
            let part = secrets
                .iter()
                .filter(|secret| !secret.is_empty())
                .fold(part, |part, secret| part.replace(secret, "***"));
            let part = privacy::error_text(&part);
            if !part.is_empty() {
                words += if words.is_empty() { ": " } else { ", " };
                words += &part;
            }
        }
        Self::Refused { call, status: answer.status, words, wait: answer.retry_after() }
    }

    pub(super) fn status(&self) -> Option<u16> {
        match self {
            Self::Refused { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// How long B2 asks us to wait.
    pub(in crate::backup) fn wait(&self) -> Option<Duration> {
        match self {
            Self::Refused { wait, .. } => *wait,
            _ => None,
        }
    }

    /// Whether the same call may be answered otherwise in a moment.
    pub(super) fn is_for_now(&self) -> bool {
        matches!(self.status(), Some(408 | 429 | 500..))
    }

    /// Whether the same bytes may be taken elsewhere: B2 hands out an address for each try, and a
    /// server behind one of them may be away, full or tired of its token.
    pub(super) fn is_of_the_place(&self) -> bool {
        match self {
            Self::NoAnswer { source: OutgoingError::Tls(_), .. } => false,
            Self::NoAnswer { .. } => true,
            _ => self.is_for_now() || self.status() == Some(401),
        }
    }

    /// Whether it may have been done all the same.
    pub(super) fn leaves_it_open(&self) -> bool {
        match self {
            Self::NoAnswer { source: OutgoingError::Tls(_), .. } => false,
            Self::NoAnswer { .. } => true,
            _ => matches!(self.status(), Some(408 | 500..)),
        }
    }

    /// Whether B2 has said that it is too much for it.
    pub(super) fn asks_for_a_pause(&self) -> bool {
        matches!(self.status(), Some(429 | 503))
    }

    /// Whether somebody has answered, and sensibly.
    pub(in crate::backup) fn is_answer(&self) -> bool {
        !matches!(self, Self::NoAnswer { .. } | Self::NotPrivate { .. } | Self::NotConnected)
    }
}
