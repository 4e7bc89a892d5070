//! Whether Discord's gateway is there: written by the thread that is connected to it, read by whoever
//! wants to know.

use std::sync::{Mutex, MutexGuard};
use std::time::{Instant, SystemTime};

#[derive(Debug)]
pub struct GatewayState(Mutex<Known>);

#[derive(Debug)]
struct Known {
    /// None while it is not connected.
    connected_at: Option<SystemTime>,
    /// None while it is.
    disconnected_at: Option<Instant>,
    /// Why it is not, or was not lately.
    error: Option<String>,
}

impl GatewayState {
    pub fn new(now: Instant) -> Self {
        let disconnected_at = Some(now);
        Self(Mutex::new(Known { connected_at: None, disconnected_at, error: None }))
    }

    pub fn connected(&self) {
        let mut known = self.lock();
        known.connected_at = Some(SystemTime::now());
        known.disconnected_at = None;
    }

    pub fn disconnected(&self, now: Instant) {
        let mut known = self.lock();
        known.connected_at = None;
        known.disconnected_at.get_or_insert(now);
    }

    /// Whether it is another error than the last one.
    pub fn failed(&self, error: &str) -> bool {
        let mut known = self.lock();
        let is_new = known.error.as_deref() != Some(error);
        known.error = Some(error.to_owned());
        is_new
    }

    pub fn works(&self) {
        self.lock().error = None;
    }

    pub fn connected_at(&self) -> Option<SystemTime> {
        self.lock().connected_at
    }

    pub fn disconnected_at(&self) -> Option<Instant> {
        self.lock().disconnected_at
    }

    pub fn error(&self) -> Option<String> {
        self.lock().error.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().expect("no code panics while it holds this")
    }
}
