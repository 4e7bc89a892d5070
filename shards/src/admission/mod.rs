//! May this connection come in? What acts on the whole process, whatever shard it lands on.

pub mod auto_limits;
pub mod ban;
pub mod bans;
pub mod bucket;
pub mod reconnect;
pub mod source;
mod source_table;
pub mod time_text;
pub mod violations;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Counts the live connections of all shards. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Admission {
    live: Arc<AtomicUsize>,
}

/// One live connection; it stops counting when it is dropped.
#[derive(Debug)]
pub struct Admitted {
    live: Arc<AtomicUsize>,
}

impl Admission {
    /// Lets a connection in unless `connections_max` (0 for no limit) are live already.
    pub fn admit(&self, connections_max: usize) -> Option<Admitted> {
        let admitted = Admitted { live: Arc::clone(&self.live) };
        let before = self.live.fetch_add(1, Ordering::Relaxed);
        // Dropping `admitted` takes the count back.
        (connections_max == 0 || before < connections_max).then_some(admitted)
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.live.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_free_again_when_its_connection_ends() {
        let admission = Admission::default();
        let first = admission.admit(2).expect("a place");
        let second = admission.clone().admit(2).expect("another");
        assert!(admission.admit(2).is_none());
        assert!(admission.admit(0).is_some(), "0 is no limit");
        drop(first);
        assert!(admission.admit(2).is_some());
        drop(second);
    }
}
