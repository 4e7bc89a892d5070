//! One ring of 1440 buckets: a day of minutes, or a month of half hours
//! (`state-and-services.md` §9.1, §9.3, §9.4).

/// Buckets of a series. 1440 minutes are a day, 1440 half hours are 30 days.
pub const SLOTS: u32 = 1440;
/// Slots that are allocated together: an hour of minutes. A worker seen once costs one page.
const PAGE_SLOTS: usize = 60;
const PAGES: usize = SLOTS as usize / PAGE_SLOTS;
const _: () = assert!(PAGES * PAGE_SLOTS == SLOTS as usize, "every slot is on a page");

/// How long the buckets of a series are. Buckets are numbered from 1970, like unix minutes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// The 24 hours of the specification.
    Minute,
    /// Our own 30 days.
    HalfHour,
}

impl Resolution {
    /// Minutes of a bucket.
    pub fn minutes(self) -> u32 {
        match self {
            Self::Minute => 1,
            Self::HalfHour => 30,
        }
    }

    /// The bucket a unix minute is in.
    pub fn bucket(self, minute: u32) -> u32 {
        minute / self.minutes()
    }
}

/// What is known of one bucket, as SI codes (§10.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slot {
    /// The bucket this was written for; 0 = never.
    pub bucket: u32,
    /// Code of the hashrate, in H/s. 0 is offline: who is connected has at least 1 (FIX-24e).
    pub hashrate: u16,
    /// Code of the best share's difficulty; 0 is none.
    pub best: u16,
}

impl Slot {
    /// Whether the worker was connected. Files of older daemons have shares at 0 H/s.
    pub fn is_online(self) -> bool {
        self.hashrate > 0 || self.best > 0
    }
}

/// The last 1440 buckets of one worker or of the pool. What a slot holds is about bucket *b* only
/// when it says *b*: a slot left over from the round before is as good as empty.
#[derive(Clone, Debug, Default)]
pub struct Series {
    /// Newest bucket recorded; 0 = none.
    last: u32,
    pages: [Option<Box<[Slot; PAGE_SLOTS]>>; PAGES],
}

impl Series {
    /// Newest bucket recorded; 0 = none.
    pub fn last(&self) -> u32 {
        self.last
    }

    /// What is known of a bucket.
    pub fn get(&self, bucket: u32) -> Option<Slot> {
        self.in_place_of(bucket).filter(|slot| slot.bucket == bucket && bucket != 0)
    }

    /// Whether the place of a bucket has been taken by a newer one.
    pub fn is_overwritten(&self, bucket: u32) -> bool {
        self.in_place_of(bucket).is_some_and(|slot| slot.bucket > bucket)
    }

    /// Records a bucket: the hashrate is replaced, the best share only raised. (The reference keeps
    /// a worker's hashrate when the new code is 0; a connected worker never has 0 here.)
    ///
    /// Buckets that are missing since the newest one before are written as offline, but only those
    /// `covered` vouches for: where nobody looked, absence is all that is known (FIX-24a, b).
    pub fn record(&mut self, bucket: u32, hashrate: u16, best: u16, covered: impl Fn(u32) -> bool) {
        if self.get(bucket).is_none() {
            self.fill_gap_before(bucket, covered);
        }
        if let Some(slot) = self.claim(bucket) {
            slot.hashrate = hashrate;
            slot.best = slot.best.max(best);
        }
    }

    /// Takes a slot as a file has it. Of two in the same place the newer one stays.
    pub fn restore(&mut self, slot: Slot) {
        if let Some(place) = self.claim(slot.bucket) {
            *place = slot;
        }
    }

    /// A file may know of a newer bucket than its slots do.
    pub fn raise_last(&mut self, last: u32) {
        self.last = self.last.max(last);
    }

    /// Everything that is stored, in ring order (the order of the file).
    pub fn slots(&self) -> impl Iterator<Item = Slot> {
        let pages = self.pages.iter().flatten();
        pages.flat_map(|page| page.iter()).copied().filter(|slot| slot.bucket != 0)
    }

    /// What is known of the window that ends with bucket `now`, oldest first.
    pub fn window(&self, now: u32) -> impl DoubleEndedIterator<Item = Slot> {
        (first_of_window(now)..=now).filter_map(|bucket| self.get(bucket))
    }

    /// Forgets what is a whole window or more after `now`: a clock that was that wrong recorded it.
    /// What is nearer stays, for it may be the clock of now that is wrong (FIX-26).
    pub fn forget_far_future(&mut self, now: u32) {
        let end = now.saturating_add(SLOTS);
        if self.last < end {
            return;
        }
        for slot in self.pages.iter_mut().flatten().flat_map(|page| page.iter_mut()) {
            if slot.bucket >= end {
                *slot = Slot::default();
            }
        }
        self.last = self.slots().map(|slot| slot.bucket).max().unwrap_or(0);
    }

    /// Whether nothing of the window that ends with bucket `now` can be in here.
    pub fn is_over(&self, now: u32) -> bool {
        // A newest bucket in the future has age 0 (FIX-26).
        self.last == 0 || now.saturating_sub(self.last) >= SLOTS
    }

    fn fill_gap_before(&mut self, bucket: u32, covered: impl Fn(u32) -> bool) {
        let window = first_of_window(bucket)..bucket;
        // Found by looking, not by `last`: after a clock was set back that is in the future.
        let Some(before) = window.rev().find(|bucket| self.get(*bucket).is_some()) else { return };
        for missing in (before + 1..bucket).filter(|bucket| covered(*bucket)) {
            self.claim(missing);
        }
    }

    fn in_place_of(&self, bucket: u32) -> Option<Slot> {
        let (page, index) = place(bucket);
        self.pages[page].as_ref().map(|page| page[index])
    }

    /// The slot of a bucket, emptied if an older one was there. There is none for bucket 0, nor when
    /// a newer bucket has the place: then a journal of long ago is being read.
    fn claim(&mut self, bucket: u32) -> Option<&mut Slot> {
        if bucket == 0 || self.is_overwritten(bucket) {
            return None;
        }
        self.last = self.last.max(bucket);
        let (page, index) = place(bucket);
        let page = self.pages[page].get_or_insert_with(|| Box::new([Slot::default(); PAGE_SLOTS]));
        let slot = &mut page[index];
        if slot.bucket != bucket {
            *slot = Slot { bucket, ..Slot::default() };
        }
        Some(slot)
    }
}

/// Pages that are empty and pages that were never needed are the same.
impl PartialEq for Series {
    fn eq(&self, other: &Self) -> bool {
        self.last == other.last && self.slots().eq(other.slots())
    }
}

/// First bucket of the window that ends with bucket `now`.
pub fn first_of_window(now: u32) -> u32 {
    now.saturating_sub(SLOTS - 1)
}

fn place(bucket: u32) -> (usize, usize) {
    let index = (bucket % SLOTS) as usize;
    (index / PAGE_SLOTS, index % PAGE_SLOTS)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u32 = 28_333_333;

    fn slot(bucket: u32, hashrate: u16, best: u16) -> Slot {
        Slot { bucket, hashrate, best }
    }

    fn record(series: &mut Series, bucket: u32, hashrate: u16, best: u16) {
        series.record(bucket, hashrate, best, |_| true);
    }

    #[test]
    fn a_bucket_recorded_again_has_the_new_hashrate_and_the_better_share() {
        let mut series = Series::default();
        record(&mut series, NOW, 10, 7);
        record(&mut series, NOW, 5, 3);
        assert_eq!(series.get(NOW), Some(slot(NOW, 5, 7)));
        assert_eq!(series.last(), NOW);
    }

    #[test]
    fn a_gap_is_filled_with_offline_buckets_and_what_is_around_it_stays() {
        let mut series = Series::default();
        record(&mut series, NOW, 10, 7);
        record(&mut series, NOW + 4, 20, 8);
        let slots: Vec<Slot> = series.window(NOW + 4).collect();
        let offline = [slot(NOW + 1, 0, 0), slot(NOW + 2, 0, 0), slot(NOW + 3, 0, 0)];
        assert_eq!(slots[0], slot(NOW, 10, 7));
        assert_eq!(slots[1..4], offline);
        assert_eq!(slots[4..], [slot(NOW + 4, 20, 8)]);
    }

    #[test]
    fn buckets_nobody_vouches_for_stay_absent() {
        let mut series = Series::default();
        record(&mut series, NOW, 10, 0);
        series.record(NOW + 4, 20, 0, |bucket| bucket == NOW + 3);
        let buckets: Vec<u32> = series.window(NOW + 4).map(|slot| slot.bucket).collect();
        assert_eq!(buckets, [NOW, NOW + 3, NOW + 4]);
    }

    #[test]
    fn a_gap_of_a_whole_window_is_not_filled() {
        let mut series = Series::default();
        record(&mut series, NOW, 10, 0);
        record(&mut series, NOW + SLOTS, 20, 0);
        assert_eq!(series.slots().collect::<Vec<_>>(), [slot(NOW + SLOTS, 20, 0)]);

        let mut series = Series::default();
        record(&mut series, NOW, 10, 0);
        record(&mut series, NOW + SLOTS - 1, 20, 0);
        assert_eq!(series.window(NOW + SLOTS - 1).count(), SLOTS as usize);
    }

    #[test]
    fn the_window_has_1440_buckets_and_ends_with_the_present_one() {
        let mut series = Series::default();
        for bucket in NOW - 2000..=NOW {
            record(&mut series, bucket, 1, 0);
        }
        let buckets: Vec<u32> = series.window(NOW).map(|slot| slot.bucket).collect();
        assert!(buckets.iter().copied().eq(NOW - 1439..=NOW));
        // What is stored is older than the window after a while without records.
        assert_eq!(series.window(NOW + 1000).count(), 440);
    }

    #[test]
    fn an_older_bucket_does_not_take_the_place_of_a_newer_one() {
        let mut series = Series::default();
        record(&mut series, NOW, 10, 7);
        record(&mut series, NOW - SLOTS, 99, 99);
        series.restore(slot(NOW - 2 * SLOTS, 99, 99));
        assert_eq!(series.slots().collect::<Vec<_>>(), [slot(NOW, 10, 7)]);
        assert!(series.is_overwritten(NOW - SLOTS));
    }

    #[test]
    fn bucket_0_is_never_recorded() {
        let mut series = Series::default();
        record(&mut series, 0, 10, 7);
        assert_eq!(series, Series::default());
    }

    #[test]
    fn a_series_is_over_after_a_window_and_never_before_its_last_bucket() {
        let mut series = Series::default();
        assert!(series.is_over(NOW));
        record(&mut series, NOW, 10, 0);
        assert!(!series.is_over(NOW + SLOTS - 1));
        assert!(series.is_over(NOW + SLOTS));
        assert!(!series.is_over(NOW - 1));
        assert!(!series.is_over(0));
    }

    #[test]
    fn only_what_is_a_window_ahead_is_forgotten() {
        let mut series = Series::default();
        record(&mut series, NOW, 10, 0);
        record(&mut series, NOW + 1, 20, 0);
        series.forget_far_future(NOW + 2 - SLOTS);
        assert_eq!(series.last(), NOW + 1);
        series.forget_far_future(NOW + 1 - SLOTS);
        assert_eq!((series.last(), series.get(NOW + 1)), (NOW, None));
        series.forget_far_future(1);
        assert_eq!(series, Series::default());
    }

    #[test]
    fn after_a_clock_was_set_back_gaps_are_found_again() {
        let mut series = Series::default();
        record(&mut series, NOW, 10, 0);
        record(&mut series, NOW + 600, 10, 0);
        series.forget_far_future(NOW);
        record(&mut series, NOW - 60, 10, 0);
        record(&mut series, NOW - 57, 10, 0);
        assert_eq!(series.get(NOW - 58), Some(slot(NOW - 58, 0, 0)));
        assert_eq!(series.get(NOW), Some(slot(NOW, 10, 0)));
    }

    #[test]
    fn pages_are_allocated_when_they_are_needed() {
        let mut series = Series::default();
        for bucket in NOW..NOW + 10 {
            record(&mut series, bucket, 1, 0);
        }
        assert!(series.pages.iter().flatten().count() <= 2);
    }
}
