//! jemalloc, the allocator of the program: what is in use, and what of that each shard has taken.
//! It is part of every build; in a process whose global allocator is another one (the tests of this
//! library) it has little to count.

use std::io;

use libc::c_uint;
use tikv_jemalloc_ctl::{Error, epoch, raw, stats};

/// Pages that nobody uses go back to the system within this time. jemalloc's own 10 s suit an arena
/// that all use; what came free in one of a shard's would wait while control takes new ones.
const DIRTY_DECAY_MS: isize = 2000;
/// Where its number stands among the parts of a figure's name: `stats.arenas.<number>.…`.
const NUMBER_AT: usize = 2;

/// In use, and mapped for that. It also brings the arenas' figures up to date.
pub fn heap_bytes() -> (u64, u64) {
    // All figures are those of the last epoch.
    if epoch::advance().is_err() {
        return (0, 0);
    }
    let bytes = |figure: Result<usize, Error>| figure.unwrap_or(0) as u64;
    (bytes(stats::allocated::read()), bytes(stats::mapped::read()))
}

/// A part of the heap for threads that are told to use it, and no others; so what they have taken
/// is counted apart. It lives as long as the process.
#[derive(Clone, Copy, Debug)]
pub struct Arena(c_uint);

impl Arena {
    pub fn new() -> io::Result<Self> {
        // SAFETY: `arenas.create` gives an unsigned int.
        let number: c_uint = unsafe { raw::read(b"arenas.create\0") }.map_err(as_io)?;
        let name = format!("arena.{number}.dirty_decay_ms\0");
        // SAFETY: `arena.<number>.dirty_decay_ms` takes a ssize_t.
        unsafe { raw::write(name.as_bytes(), DIRTY_DECAY_MS) }.map_err(as_io)?;
        Ok(Self(number))
    }

    /// Has the calling thread take its memory from here. What it gives back goes where it is from.
    pub fn serve_this_thread(self) -> io::Result<()> {
        // SAFETY: `thread.arena` takes an unsigned int.
        unsafe { raw::write(b"thread.arena\0", self.0) }.map_err(as_io)
    }

    /// Taken from here and not given back, whoever holds it now, with what the threads keep at hand
    /// of what was. As of the last [`heap_bytes`]; zero when it cannot be read.
    pub fn allocated_bytes(self) -> u64 {
        let small = self.figure(b"stats.arenas.0.small.allocated\0");
        let large = self.figure(b"stats.arenas.0.large.allocated\0");
        small.and_then(|small| Ok(small + large?)).unwrap_or(0) as u64
    }

    /// The figure that has this name in arena 0.
    fn figure(self, name: &[u8]) -> Result<usize, Error> {
        let mut mib = [0; 5];
        raw::name_to_mib(name, &mut mib)?;
        mib[NUMBER_AT] = self.0 as usize;
        // SAFETY: both names that this is called with are of a size_t, in every arena.
        unsafe { raw::read_mib(&mib) }
    }
}

fn as_io(error: Error) -> io::Error {
    io::Error::other(error.to_string())
}

#[cfg(test)]
mod tests {
    use std::alloc::{GlobalAlloc, Layout};

    use tikv_jemallocator::Jemalloc;

    use super::*;

    const BYTES: usize = 1 << 20;

    fn layout() -> Layout {
        Layout::array::<u8>(BYTES).unwrap()
    }

    fn take() -> usize {
        // SAFETY: the size is not zero.
        let memory = unsafe { Jemalloc.alloc(layout()) };
        assert!(!memory.is_null());
        memory as usize
    }

    fn allocated(arena: Arena) -> u64 {
        heap_bytes();
        arena.allocated_bytes()
    }

    #[test]
    fn what_a_thread_takes_is_counted_in_its_arena_until_anybody_gives_it_back() {
        let (arena, other) = (Arena::new().unwrap(), Arena::new().unwrap());
        assert_eq!((allocated(arena), allocated(other)), (0, 0));
        let taking = std::thread::spawn(move || {
            arena.serve_this_thread().unwrap();
            take()
        });
        let memory = taking.join().unwrap();
        let taken = allocated(arena);
        assert!((BYTES as u64..2 * BYTES as u64).contains(&taken), "{taken}");
        assert_eq!(allocated(other), 0);
        // SAFETY: taken by `take` with this layout, and given back once.
        unsafe { Jemalloc.dealloc(memory as *mut u8, layout()) };
        assert!(allocated(arena) <= taken - BYTES as u64);
    }
}
