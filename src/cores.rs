//! Which thread runs where.

use std::fmt;

/// A tenth of what the other threads get while they want to run: each step is a factor of 1.25
/// (`sched(7)`).
const NICER: libc::c_int = 10;

/// The cores of control and of each shard. None leaves a thread to the kernel.
#[derive(Clone, Debug)]
pub struct Cores {
    pub control: Option<usize>,
    pub shards: Vec<Option<usize>>,
}

impl Cores {
    /// The first core is control's, the others the shards'; when there are more shards than that
    /// they come round to the first, and a single core is shared. `configured` is the number of
    /// shards, 0 for one less than there are cores.
    pub fn plan(configured: usize) -> Self {
        let cores: Vec<usize> = core_affinity::get_core_ids()
            .unwrap_or_default()
            .into_iter()
            .map(|core| core.id)
            .collect();
        let count = match configured {
            0 => cores.len().saturating_sub(1).max(1),
            count => count,
        };
        let shards = (0..count)
            .map(|shard| (!cores.is_empty()).then(|| cores[(shard + 1) % cores.len()]))
            .collect();
        Self { control: cores.first().copied(), shards }
    }

    /// Puts the calling thread, and those it starts from then on, on control's core.
    pub fn pin_control(&self) {
        if let Some(id) = self.control {
            core_affinity::set_for_current(core_affinity::CoreId { id });
        }
    }
}

/// The calling thread lets all others on its core go first. In Linux a nice value is a thread's own
/// (`nice(2)`, "C library/kernel differences").
pub fn let_others_go_first() {
    // SAFETY: a plain number, and no memory of ours. Nobody is refused who asks for less.
    unsafe { libc::nice(NICER) };
}

impl fmt::Display for Cores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |core: &Option<usize>| core.map_or("any".to_owned(), |core| core.to_string());
        let shards: Vec<String> = self.shards.iter().map(name).collect();
        write!(
            f,
            "{} on core {}, control on core {}",
            shards.len(),
            shards.join(", "),
            name(&self.control)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nice_value() -> libc::c_int {
        // SAFETY: two plain numbers; 0 is the calling thread.
        unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) }
    }

    #[test]
    fn only_who_asks_for_it_stands_back() {
        let before = nice_value();
        let other = std::thread::spawn(|| {
            let_others_go_first();
            nice_value()
        });
        assert_eq!(other.join().unwrap(), (before + NICER).min(19));
        assert_eq!(nice_value(), before);
    }
}
