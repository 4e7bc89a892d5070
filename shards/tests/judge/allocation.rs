//! Judging allocates nothing.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use gopool_shards::sha256d::Kernel;
use gopool_shards::share::{Candidate, Leaf, Verdict, judge_with};

use crate::oracle::{Chance, job};

/// The system's allocator, counting what each thread asks of it: tests run side by side.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: every call goes to `System` unchanged, which upholds the contract; counting touches
// nothing but a number of this thread.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // A thread that is ending has no counter any more, and needs none.
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's layout, passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the pointer came from `System` with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[test]
fn judging_allocates_nothing() {
    let mut chance = Chance(1);
    let job = job(&mut chance, 12);
    let coinbase = [7; 270];
    let candidates: Vec<Candidate<'_>> = (0..200)
        .map(|nonce| {
            let leaf = if nonce % 3 == 0 { Leaf::Root([1; 32]) } else { Leaf::Coinbase(&coinbase) };
            Candidate { job: &job, leaf, version: 1, ntime: 2, nonce }
        })
        .collect();
    let mut verdicts = vec![Verdict::NONE; candidates.len()];
    for kernel in Kernel::all() {
        for count in 0..=candidates.len() {
            let before = ALLOCATIONS.get();
            judge_with(kernel, &candidates[..count], &mut verdicts[..count]);
            assert_eq!(ALLOCATIONS.get(), before, "{kernel:?}, {count} submissions");
        }
    }
}
