//! How long a task that has more to do goes on before the others have their turn.

use std::time::{Duration, Instant};

const LENGTH: Duration = Duration::from_millis(1);

pub(super) struct Slice(Instant);

impl Slice {
    pub(super) fn begin() -> Self {
        Self(Instant::now())
    }

    /// Lets the tasks of all queues have their turn when this one has had its own, or when control has
    /// something to say.
    pub(super) async fn share(&mut self) {
        if self.0.elapsed() < LENGTH {
            glommio::yield_if_needed().await;
        } else {
            glommio::executor().yield_task_queue_now().await;
            *self = Self::begin();
        }
    }
}
