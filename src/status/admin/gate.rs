//! How many passwords are hashed at once: each takes memory and a core for a while.

use std::cell::Cell;
use std::rc::Rc;

use glommio::sync::Semaphore;

const AT_ONCE: u64 = 2;
/// Those who wait for their turn; more are told to come back.
const WAITING_MAX: u32 = 16;

#[derive(Clone)]
pub struct HashGate {
    places: Rc<Semaphore>,
    waiting: Rc<Cell<u32>>,
}

impl Default for HashGate {
    fn default() -> Self {
        Self { places: Rc::new(Semaphore::new(AT_ONCE)), waiting: Rc::default() }
    }
}

/// A place in the queue; left by dropping it.
pub struct Waiting(Rc<Cell<u32>>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

impl HashGate {
    /// None when too many wait already.
    pub fn queue(&self) -> Option<Waiting> {
        if self.waiting.get() >= WAITING_MAX {
            return None;
        }
        self.waiting.set(self.waiting.get() + 1);
        Some(Waiting(Rc::clone(&self.waiting)))
    }

    /// Hashes on a thread of its own when it is its turn.
    pub async fn run<T: Send + 'static>(
        &self,
        place: Waiting,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        let permit = self.places.acquire_permit(1).await;
        let done = glommio::executor().spawn_blocking(work).await;
        // Only a closed semaphore gives none, and nobody closes this one.
        drop(permit);
        drop(place);
        done
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_wait_and_no_more() {
        let gate = HashGate::default();
        let mut waiting: Vec<_> = (0..WAITING_MAX).map(|_| gate.queue().unwrap()).collect();
        assert!(gate.queue().is_none());
        waiting.pop();
        assert!(gate.queue().is_some());
        waiting.clear();
        assert_eq!(gate.waiting.get(), 0);
    }
}
