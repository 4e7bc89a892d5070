//! Keeps an executor from sleeping while one of its tasks could run.
//!
//! glommio 0.9 arms a timer that ends the turn of its task queues ([`PREEMPTION`]), and looks whether
//! it has run out before it runs the first of them (`LocalExecutor::run_task_queues`). When it has, for
//! the kernel ran somebody else at that very moment, "no time left" is taken for "nothing to run": the
//! executor sleeps until something comes from outside, and its tasks with it. On a busy core that was
//! a shard that answered nobody until the next job came. But it does not sleep when one of its own
//! timers is due; and one always is by then if they are armed closer to each other than a turn is long.

use std::pin::Pin;
use std::task::{Context, Waker};
use std::time::Duration;

use glommio::timer::{Timer, sleep};

/// What an executor must be built with (`LocalExecutorBuilder::preempt_timer`), and no queue of it may
/// have a shorter `Latency::Matters`.
pub const PREEMPTION: Duration = Duration::from_millis(100);

/// Between two timers: no more often than need be, for each wakes an idle core.
const PERIOD: Duration = Duration::from_millis(50);
/// Timers armed ahead: this task may wait for its turn, too.
const AHEAD: u32 = 100;

/// To be spawned on each executor, in a queue that is not kept waiting for seconds; never ends.
pub async fn keep_awake() {
    arm_again_and_again(PERIOD, AHEAD).await;
}

async fn arm_again_and_again(period: Duration, ahead: u32) {
    loop {
        let _armed: Vec<Timer> = (1..=ahead).map(|nth| armed(period * nth)).collect();
        sleep(period * (ahead / 2)).await;
    }
}

/// Nobody waits for it: it is enough that it is there.
fn armed(after: Duration) -> Timer {
    let mut timer = Timer::new(after);
    let _pending = Pin::new(&mut timer).poll(&mut Context::from_waker(Waker::noop()));
    timer
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::{Arc, mpsc};
    use std::time::Instant;

    use glommio::{LocalExecutorBuilder, Placement};

    use super::*;

    /// So short that it runs out a few times where it must not.
    const SHORT_PREEMPTION: Duration = Duration::from_micros(100);
    const AHEAD: u32 = 2000;
    const BUSY: Duration = Duration::from_secs(5);
    const LIMIT: Duration = Duration::from_secs(30);
    /// Threads that want the same core.
    const RIVALS: usize = 3;

    /// A task that could always run does run, although others want its core, and although no event will
    /// ever come to its executor from outside.
    #[test]
    fn an_executor_with_something_to_do_does_not_sleep() {
        // SAFETY: takes nothing and cannot fail.
        let core = usize::try_from(unsafe { libc::sched_getcpu() }).unwrap();
        let is_over = Arc::new(AtomicBool::new(false));
        let rivals: Vec<_> = (0..RIVALS)
            .map(|_| {
                let is_over = Arc::clone(&is_over);
                let rival = LocalExecutorBuilder::new(Placement::Fixed(core));
                rival
                    .spawn(move || async move { while !is_over.load(Ordering::Relaxed) {} })
                    .unwrap()
            })
            .collect();
        let (done, is_done) = mpsc::channel();
        let busy =
            LocalExecutorBuilder::new(Placement::Fixed(core)).preempt_timer(SHORT_PREEMPTION);
        let _ends_with_the_process = busy
            .spawn(move || async move {
                glommio::spawn_local(arm_again_and_again(SHORT_PREEMPTION / 2, AHEAD)).detach();
                let start = Instant::now();
                while start.elapsed() < BUSY {
                    glommio::executor().yield_now().await;
                }
                done.send(()).unwrap();
            })
            .unwrap();
        let outcome = is_done.recv_timeout(LIMIT);
        is_over.store(true, Ordering::Relaxed);
        rivals.into_iter().for_each(|rival| rival.join().unwrap());
        outcome.expect("the task ran to its end");
    }
}
