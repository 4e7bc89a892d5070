//! Backblaze B2's native API, version 3, as far as keeping one object needs it
//! (`state-and-services.md` §12.5). Everything here waits for a server elsewhere, so it belongs on a
//! thread that nobody waits for.

mod error;
mod sums;
mod upload;
mod versions;

#[cfg(test)]
mod tests;

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crossbeam_channel::{Receiver, RecvTimeoutError, TryRecvError};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tracing::debug;
use ureq::http::Uri;

use super::B2Settings;
use super::limit::Limit;
use crate::outgoing::{Answer, Call, Outgoing, OutgoingError, Payload, is_private};
use crate::privacy::Secret;
pub(super) use error::B2Error;
pub(super) use upload::Done;

/// An account with all that it may do, or a thousand versions of a file.
const ANSWER_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// How often something is tried in one run.
const TRIES: u32 = 5;
/// Whoever asks for a longer pause is asked again in another run.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// How long B2 is waited for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// For an answer to a call.
    pub(super) call: Duration,
    /// For an upload, beside the time that its bytes take.
    pub(super) upload: Duration,
    /// Before the second try of what is too much for B2, doubled before each further one.
    pub(super) pause: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            call: Duration::from_secs(30),
            upload: Duration::from_secs(60),
            pause: Duration::from_secs(1),
        }
    }
}

/// One object in one bucket.
pub(super) struct B2 {
    outgoing: Outgoing,
    settings: B2Settings,
    patience: Patience,
    /// Disconnected when the pool stops.
    stopped: Receiver<()>,
    limit: Limit,
    account: Option<Account>,
    bucket_id: Option<String>,
}

/// What the key is good for, for a day.
struct Account {
    id: String,
    token: Secret,
    api_url: String,
    part_bytes: u64,
    part_bytes_min: u64,
    /// None when B2 does not say.
    capabilities: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawAccount {
    account_id: String,
    authorization_token: String,
    api_info: ApiInfo,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ApiInfo {
    storage_api: StorageApi,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct StorageApi {
    api_url: String,
    recommended_part_size: u64,
    absolute_minimum_part_size: u64,
    capabilities: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Buckets {
    buckets: Vec<Bucket>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Bucket {
    bucket_id: String,
    bucket_name: String,
}

impl B2 {
    pub(super) fn new(
        outgoing: Outgoing,
        settings: B2Settings,
        patience: Patience,
        stopped: Receiver<()>,
    ) -> Self {
        let limit = Limit::NONE;
        Self { outgoing, settings, patience, stopped, limit, account: None, bucket_id: None }
    }

    /// What is asked from now on ends with it.
    pub(super) fn limit_to(&mut self, limit: Limit) {
        self.limit = limit;
    }

    /// Finds the bucket, if it is not known yet.
    pub(super) fn connect(&mut self) -> Result<(), B2Error> {
        if self.bucket_id.is_some() {
            return Ok(());
        }
        let name = self.settings.bucket.clone();
        self.authorize()?;
        let body = json!({ "accountId": self.account()?.id, "bucketName": name });
        let known: Buckets = self.api("b2_list_buckets", &body, TRIES)?;
        let bucket = known.buckets.into_iter().find(|bucket| bucket.bucket_name == name);
        self.bucket_id = Some(bucket.ok_or(B2Error::NoBucket(name))?.bucket_id);
        Ok(())
    }

    /// Everything is asked anew: the bucket may be another, and the key too.
    pub(super) fn disconnect(&mut self) {
        self.account = None;
        self.bucket_id = None;
    }

    fn authorize(&mut self) -> Result<(), B2Error> {
        const CALL: &str = "b2_authorize_account";
        let url = format!("{}/b2api/v3/{CALL}", self.settings.api_url);
        let pair = format!("{}:{}", self.settings.key_id.expose(), self.settings.key.expose());
        let basic = format!("Basic {}", STANDARD.encode(pair));
        let ask = || {
            Call::get(&url, self.limit.left(self.patience.call), ANSWER_BYTES_MAX)
                .with("Authorization", basic.as_str())
        };
        let raw: RawAccount = self.ask(CALL, TRIES, ask)?;
        let storage = raw.api_info.storage_api;
        self.account = Some(Account {
            id: raw.account_id,
            token: Secret::new(raw.authorization_token),
            api_url: self.checked_url(CALL, storage.api_url.trim_end_matches('/'))?,
            part_bytes: storage.recommended_part_size,
            part_bytes_min: storage.absolute_minimum_part_size,
            capabilities: storage.capabilities,
        });
        Ok(())
    }

    /// A call with a JSON body. Tokens end after a day, or when B2 says so: with another one it is
    /// asked once more.
    fn api<T: DeserializeOwned>(
        &mut self,
        call: &'static str,
        body: &Value,
        tries: u32,
    ) -> Result<T, B2Error> {
        match self.api_once(call, body, tries) {
            Err(error) if error.status() == Some(401) => {
                self.authorize()?;
                self.api_once(call, body, tries)
            }
            result => result,
        }
    }

    fn api_once<T: DeserializeOwned>(
        &self,
        call: &'static str,
        body: &Value,
        tries: u32,
    ) -> Result<T, B2Error> {
        let account = self.account()?;
        let url = format!("{}/b2api/v3/{call}", account.api_url);
        let text = body.to_string();
        self.ask(call, tries, || {
            let body = Payload::Bytes(text.as_bytes());
            Call::post(&url, body, self.limit.left(self.patience.call), ANSWER_BYTES_MAX)
                .with("Authorization", account.token.expose())
                .with("Content-Type", "application/json")
        })
    }

    /// Asks, and again as long as B2 says that it will do later.
    fn ask<'c, T: DeserializeOwned>(
        &self,
        call: &'static str,
        tries: u32,
        make: impl Fn() -> Call<'c>,
    ) -> Result<T, B2Error> {
        let mut made = 1;
        loop {
            self.check_stop()?;
            let answer = self.outgoing.call(make());
            let error = match self.read(call, answer) {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            if made >= tries || !error.is_for_now() {
                return Err(error);
            }
            debug!(component = "backup", call, %error, "B2 is asked again");
            self.pause(error, made)?;
            made += 1;
        }
    }

    fn read<T: DeserializeOwned>(
        &self,
        call: &'static str,
        answer: Result<Answer, OutgoingError>,
    ) -> Result<T, B2Error> {
        let no_answer = |source| B2Error::NoAnswer { call, source };
        let answer = answer.map_err(no_answer)?;
        if answer.is_success() {
            return answer.json().map_err(no_answer);
        }
        Err(B2Error::refused(call, &answer, &self.secrets()))
    }

    /// Waits before the next try. An error that asks for too long a pause comes back instead.
    fn pause(&self, error: B2Error, tries: u32) -> Result<(), B2Error> {
        let usual = self.patience.pause.saturating_mul(1 << (tries - 1).min(10));
        let pause = error.wait().unwrap_or(usual);
        if pause > self.limit.left(PAUSE_MAX) {
            return Err(error);
        }
        match self.stopped.recv_timeout(pause) {
            Err(RecvTimeoutError::Timeout) => Ok(()),
            Ok(()) | Err(RecvTimeoutError::Disconnected) => Err(B2Error::Stopped),
        }
    }

    /// Whether to go on.
    fn check_stop(&self) -> Result<(), B2Error> {
        match self.stopped.try_recv() {
            Err(TryRecvError::Empty) => self.limit.check().map_err(B2Error::from),
            Ok(()) | Err(TryRecvError::Disconnected) => Err(B2Error::Stopped),
        }
    }

    /// Whether the key may do something, as far as B2 says.
    fn may(&self, capability: &str) -> bool {
        let known = self.account.as_ref().and_then(|account| account.capabilities.as_ref());
        known.is_none_or(|known| known.iter().any(|one| one == capability))
    }

    /// Copies and tokens go where B2 says, but no less safely than where the operator says.
    fn checked_url(&self, call: &'static str, url: &str) -> Result<String, B2Error> {
        let is_plain_here = self.settings.api_url.starts_with("http://");
        let is_safe =
            |uri: &Uri| is_private(uri) && (is_plain_here || uri.scheme_str() == Some("https"));
        if url.parse::<Uri>().is_ok_and(|uri| is_safe(&uri)) {
            Ok(url.to_owned())
        } else {
            Err(B2Error::NotPrivate { call })
        }
    }

    fn account(&self) -> Result<&Account, B2Error> {
        self.account.as_ref().ok_or(B2Error::NotConnected)
    }

    fn bucket_id(&self) -> Result<&str, B2Error> {
        self.bucket_id.as_deref().ok_or(B2Error::NotConnected)
    }

    /// What no text may have in it, whoever wrote it.
    fn secrets(&self) -> Vec<&str> {
        let token = self.account.as_ref().map(|account| account.token.expose());
        let keys = [self.settings.key_id.expose(), self.settings.key.expose()];
        keys.into_iter().chain(token).collect()
    }
}
