//! All series of one resolution in a file (`state-and-services.md` §9.6), and what is done with
//! a file that cannot be read.
//!
//! The file of the minutes is the one other daemons know. The file of the half hours is ours and has
//! the same layout with other magic; its slots and last buckets are half hours since 1970.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::series::{Resolution, SLOTS, Slot};
use super::series_set::SeriesSet;
use crate::whole_file;

const VERSION: u16 = 2;
/// The version before had no end marker.
const VERSION_WITHOUT_END: u16 = 1;
const HEADER_BYTES: usize = 24;
const SERIES_HEADER_BYTES: usize = 8;
const SLOT_BYTES: usize = 8;
/// A file that says it has more is no history.
const SERIES_COUNT_MAX: u32 = 100_000;
const KEY_BYTES_MAX: u16 = 256;
/// Files put aside beside the first one. An operator who has not looked by then has lost the oldest.
const BAD_FILES_MAX: usize = 4;

impl Resolution {
    /// Name of the file in the state folder.
    pub fn file_name(self) -> &'static str {
        match self {
            Self::Minute => "saved_worker_periods_history.bin",
            Self::HalfHour => "saved_worker_months_history.bin",
        }
    }

    fn magic(self) -> &'static [u8; 8] {
        match self {
            Self::Minute => b"GPSWPR01",
            Self::HalfHour => b"GPSWMR01",
        }
    }

    fn end_marker(self) -> &'static [u8; 8] {
        match self {
            Self::Minute => b"GPSWPRE1",
            Self::HalfHour => b"GPSWMRE1",
        }
    }
}

/// What a file has.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    pub series: SeriesSet,
    /// Minute of the latest sample.
    pub sampled: Option<u32>,
}

/// A file that is no history, or not a whole one: nothing of it is used.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    #[error("it cannot be read: {0}")]
    Read(#[from] io::Error),
    #[error("it begins like another kind of file")]
    Magic,
    #[error("version {0} is not known")]
    Version(u16),
    #[error("it ends too early")]
    Truncated,
    #[error("the end marker is missing")]
    EndMarker,
    #[error("something follows the last series")]
    TrailingBytes,
    #[error("{0} series are too many")]
    SeriesCount(u32),
    #[error("a key of {0} bytes")]
    KeyLength(u16),
    #[error("a key that is blank or no text")]
    Key,
    #[error("a series of {0} slots")]
    SlotCount(u16),
}

/// The bytes of a file.
pub fn encode(resolution: Resolution, series: &SeriesSet, sampled: Option<u32>) -> Vec<u8> {
    // Keys are checked when they come in; one the format has no room for is left out all the same,
    // rather than spoil the file.
    let fits = |key: &str| (1..=usize::from(KEY_BYTES_MAX)).contains(&key.len());
    let sorted: Vec<_> = series.sorted().into_iter().filter(|(key, _)| fits(key)).collect();
    // The file has the minute in which the sample was taken, which is the one after.
    let processed_at = sampled.map_or(0, |minute| (i64::from(minute) + 1) * 60);
    let mut bytes = Vec::new();
    bytes.extend(resolution.magic());
    bytes.extend(VERSION.to_le_bytes());
    bytes.extend([0, 0]);
    bytes.extend(processed_at.to_le_bytes());
    bytes.extend((sorted.len() as u32).to_le_bytes());
    for (key, series) in sorted {
        let slots: Vec<Slot> = series.slots().collect();
        bytes.extend((key.len() as u16).to_le_bytes());
        bytes.extend((slots.len() as u16).to_le_bytes());
        bytes.extend(series.last().to_le_bytes());
        bytes.extend(key.as_bytes());
        for slot in slots {
            bytes.extend(slot.bucket.to_le_bytes());
            bytes.extend(slot.hashrate.to_le_bytes());
            bytes.extend(slot.best.to_le_bytes());
        }
    }
    bytes.extend(resolution.end_marker());
    bytes
}

/// Reads such bytes. Nothing is pruned.
pub fn decode(resolution: Resolution, bytes: &[u8]) -> Result<Snapshot, SnapshotError> {
    let magic = resolution.magic();
    if !bytes.starts_with(magic) {
        return Err(SnapshotError::Magic);
    }
    let mut rest = bytes;
    let mut header = Fields(take(&mut rest, HEADER_BYTES)?);
    header.skip(magic.len());
    let version = header.u16();
    header.skip(2);
    let processed_at = i64::from_le_bytes(header.array());
    let count = header.u32();
    match version {
        VERSION => {
            rest = rest.strip_suffix(resolution.end_marker()).ok_or(SnapshotError::EndMarker)?;
        }
        VERSION_WITHOUT_END => {}
        _ => return Err(SnapshotError::Version(version)),
    }
    if count > SERIES_COUNT_MAX {
        return Err(SnapshotError::SeriesCount(count));
    }
    let mut series = SeriesSet::default();
    for _ in 0..count {
        decode_series(&mut rest, &mut series)?;
    }
    if !rest.is_empty() {
        return Err(SnapshotError::TrailingBytes);
    }
    series.workers.retain(|_, series| series.last() != 0);
    let sampled = u32::try_from(processed_at / 60).ok().and_then(|minute| minute.checked_sub(1));
    Ok(Snapshot { series, sampled })
}

fn decode_series(rest: &mut &[u8], set: &mut SeriesSet) -> Result<(), SnapshotError> {
    let mut header = Fields(take(rest, SERIES_HEADER_BYTES)?);
    let (key_bytes, slots, last) = (header.u16(), header.u16(), header.u32());
    if !(1..=KEY_BYTES_MAX).contains(&key_bytes) {
        return Err(SnapshotError::KeyLength(key_bytes));
    }
    if u32::from(slots) > SLOTS {
        return Err(SnapshotError::SlotCount(slots));
    }
    let key = take(rest, key_bytes.into())?;
    let key = std::str::from_utf8(key).map_err(|_| SnapshotError::Key)?.trim();
    if key.is_empty() {
        return Err(SnapshotError::Key);
    }
    let slots = take(rest, usize::from(slots) * SLOT_BYTES)?;
    let series = set.entry(key.to_ascii_lowercase());
    series.raise_last(last);
    for slot in slots.chunks_exact(SLOT_BYTES) {
        let mut slot = Fields(slot);
        series.restore(Slot { bucket: slot.u32(), hashrate: slot.u16(), best: slot.u16() });
    }
    Ok(())
}

/// Reads the file of a resolution. One that is missing or empty has nothing.
pub fn read(state_folder: &Path, resolution: Resolution) -> Result<Snapshot, SnapshotError> {
    match fs::read(state_folder.join(resolution.file_name())) {
        Ok(bytes) if bytes.is_empty() => Ok(Snapshot::default()),
        Ok(bytes) => decode(resolution, &bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Snapshot::default()),
        Err(error) => Err(error.into()),
    }
}

/// Writes the file of a resolution; it is on the disk, under its name, when this returns.
pub fn write(state_folder: &Path, resolution: Resolution, bytes: &[u8]) -> io::Result<()> {
    let path = state_folder.join(resolution.file_name());
    whole_file::replace(&path, bytes, 0o644)?;
    whole_file::sync_folder_of(&path)
}

/// Renames a file that cannot be read, so that the next one does not take its place: to `.bad`,
/// `.bad.1` and so on. When all names are taken the oldest of those files goes.
pub fn set_aside(path: &Path) -> io::Result<PathBuf> {
    let name = |number: usize| {
        let mut name = OsString::from(path);
        name.push(".bad");
        if number > 0 {
            name.push(format!(".{number}"));
        }
        PathBuf::from(name)
    };
    let names: Vec<PathBuf> = (0..=BAD_FILES_MAX).map(name).collect();
    let changed_at = |path: &PathBuf| fs::symlink_metadata(path).and_then(|file| file.modified());
    let free = names.iter().find(|name| changed_at(name).is_err());
    let oldest = || names.iter().min_by_key(|name| changed_at(name).ok());
    let aside = free.or_else(oldest).unwrap_or(&names[0]);
    fs::rename(path, aside)?;
    Ok(aside.clone())
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> Result<&'a [u8], SnapshotError> {
    let (taken, left) = rest.split_at_checked(count).ok_or(SnapshotError::Truncated)?;
    *rest = left;
    Ok(taken)
}

/// Little-endian fields of a header whose length has been checked.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn array<const N: usize>(&mut self) -> [u8; N] {
        let (field, rest) = self.0.split_first_chunk().expect("the header is that long");
        self.0 = rest;
        *field
    }

    fn u16(&mut self) -> u16 {
        u16::from_le_bytes(self.array())
    }

    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.array())
    }

    fn skip(&mut self, count: usize) {
        self.0 = &self.0[count..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::POOL_KEY;
    use proptest::prelude::*;
    use std::os::unix::fs::PermissionsExt;

    /// The example of §9.6.
    const EXAMPLE: [u8; 60] = [
        0x47, 0x50, 0x53, 0x57, 0x50, 0x52, 0x30, 0x31, 0x02, 0x00, 0x00, 0x00, 0xec, 0xf0, 0x53,
        0x65, 0x00, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x04, 0x00, 0x02, 0x00, 0x14, 0x55,
        0xb0, 0x01, 0x70, 0x6f, 0x6f, 0x6c, 0x13, 0x55, 0xb0, 0x01, 0x68, 0x25, 0x00, 0x00, 0x14,
        0x55, 0xb0, 0x01, 0x6d, 0x26, 0xd9, 0x20, 0x47, 0x50, 0x53, 0x57, 0x50, 0x52, 0x45, 0x31,
    ];
    const SERIES_AT: usize = HEADER_BYTES;
    const KEY_AT: usize = SERIES_AT + SERIES_HEADER_BYTES;

    fn load(bytes: &[u8]) -> Result<Snapshot, SnapshotError> {
        decode(Resolution::Minute, bytes)
    }

    fn changed(change: impl FnOnce(&mut Vec<u8>)) -> Result<Snapshot, SnapshotError> {
        let mut bytes = EXAMPLE.to_vec();
        change(&mut bytes);
        load(&bytes)
    }

    #[test]
    fn the_example_of_the_specification_is_read_and_written() {
        let snapshot = load(&EXAMPLE).unwrap();
        assert_eq!(snapshot.sampled, Some(28_333_332));
        let pool = snapshot.series.get(POOL_KEY).unwrap();
        assert_eq!(pool.last(), 28_333_332);
        let code = crate::history::si16;
        let slot =
            |bucket, hashrate, best| Slot { bucket, hashrate: code(hashrate), best: code(best) };
        assert_eq!(
            pool.slots().collect::<Vec<_>>(),
            [slot(28_333_331, 3210.0, 0.0), slot(28_333_332, 4000.0, 1200.0)]
        );
        assert_eq!(encode(Resolution::Minute, &snapshot.series, snapshot.sampled), EXAMPLE);
    }

    #[test]
    fn version_1_ends_with_its_last_series() {
        let snapshot = changed(|bytes| {
            bytes[8] = 1;
            bytes.truncate(52);
        });
        assert_eq!(snapshot.unwrap(), load(&EXAMPLE).unwrap());
        let with_marker = changed(|bytes| bytes[8] = 1);
        assert!(matches!(with_marker, Err(SnapshotError::TrailingBytes)));
    }

    #[test]
    fn a_damaged_file_is_refused_whole() {
        use SnapshotError as E;
        type Case = (fn(&mut Vec<u8>), fn(&E) -> bool);
        let cases: [Case; 18] = [
            (|b| b[7] = b'2', |e| matches!(e, E::Magic)),
            (|b| b.truncate(7), |e| matches!(e, E::Magic)),
            (|b| b.truncate(23), |e| matches!(e, E::Truncated)),
            (|b| b[8] = 3, |e| matches!(e, E::Version(3))),
            (|b| b[9] = 1, |e| matches!(e, E::Version(258))),
            (|b| b.truncate(52), |e| matches!(e, E::EndMarker)),
            (|b| b.push(0), |e| matches!(e, E::EndMarker)),
            (|b| b[59] = b'2', |e| matches!(e, E::EndMarker)),
            (|b| b.insert(52, 0), |e| matches!(e, E::TrailingBytes)),
            (|b| b[20] = 0, |e| matches!(e, E::TrailingBytes)),
            (|b| b[20] = 2, |e| matches!(e, E::Truncated)),
            (|b| b[22] = 2, |e| matches!(e, E::SeriesCount(131_073))),
            (|b| b[SERIES_AT] = 0, |e| matches!(e, E::KeyLength(0))),
            (|b| b[SERIES_AT..][..2].fill(1), |e| matches!(e, E::KeyLength(257))),
            (|b| b[SERIES_AT + 3] = 0xff, |e| matches!(e, E::SlotCount(_))),
            (|b| b[SERIES_AT + 2] = 3, |e| matches!(e, E::Truncated)),
            (|b| b[KEY_AT..][..4].fill(b' '), |e| matches!(e, E::Key)),
            (|b| b[KEY_AT] = 0xff, |e| matches!(e, E::Key)),
        ];
        for (number, (change, is_expected)) in cases.into_iter().enumerate() {
            let error = changed(change).unwrap_err();
            assert!(is_expected(&error), "case {number}: {error:?}");
        }
    }

    #[test]
    fn no_prefix_of_a_file_is_a_file() {
        for end in 0..EXAMPLE.len() {
            assert!(load(&EXAMPLE[..end]).is_err(), "{end}");
        }
    }

    #[test]
    fn the_reserved_bytes_are_ignored_and_a_time_before_1970_is_none() {
        assert_eq!(changed(|bytes| bytes[10] = 7).unwrap(), load(&EXAMPLE).unwrap());
        assert_eq!(changed(|bytes| bytes[12..20].fill(0)).unwrap().sampled, None);
        assert_eq!(changed(|bytes| bytes[19] = 0x80).unwrap().sampled, None);
        assert_eq!(changed(|bytes| bytes[12..20].fill(0x7f)).unwrap().sampled, None);
    }

    #[test]
    fn keys_are_trimmed_and_in_lower_case() {
        let snapshot = changed(|bytes| bytes[KEY_AT..KEY_AT + 4].copy_from_slice(b" AB "));
        assert!(snapshot.unwrap().series.get("ab").is_some());
    }

    #[test]
    fn slots_without_a_minute_are_skipped_and_of_two_in_a_place_the_newer_stays() {
        let empty = changed(|bytes| bytes[36..40].fill(0)).unwrap();
        assert_eq!(empty.series.pool.slots().count(), 1);
        let older = changed(|bytes| {
            bytes[44..48].copy_from_slice(&(28_333_331 - SLOTS).to_le_bytes());
        });
        let buckets: Vec<u32> = older.unwrap().series.pool.slots().map(|s| s.bucket).collect();
        assert_eq!(buckets, [28_333_331]);
    }

    #[test]
    fn the_last_minute_is_the_newest_one_and_without_one_there_is_no_series() {
        let raised = changed(|bytes| bytes[28..32].fill(0)).unwrap();
        assert_eq!(raised.series.pool.last(), 28_333_332);
        let nothing = changed(|bytes| {
            bytes[28..32].fill(0);
            bytes[32..36].copy_from_slice(b"abcd");
            bytes[36..40].fill(0);
            bytes[44..48].fill(0);
        });
        assert_eq!(nothing.unwrap().series, SeriesSet::default());
    }

    #[test]
    fn the_half_hours_have_magic_of_their_own() {
        let mut series = SeriesSet::default();
        series.record_pool(944_444, 1, 2);
        let bytes = encode(Resolution::HalfHour, &series, Some(28_333_332));
        assert!(bytes.starts_with(b"GPSWMR01") && bytes.ends_with(b"GPSWMRE1"));
        assert!(load(&bytes).is_err());
        let read = decode(Resolution::HalfHour, &bytes).unwrap();
        assert_eq!(read, Snapshot { series, sampled: Some(28_333_332) });
    }

    #[test]
    fn a_file_that_is_missing_or_empty_has_nothing() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(read(folder.path(), Resolution::Minute).unwrap(), Snapshot::default());
        fs::write(folder.path().join(Resolution::Minute.file_name()), b"").unwrap();
        assert_eq!(read(folder.path(), Resolution::Minute).unwrap(), Snapshot::default());
    }

    #[test]
    fn a_file_is_written_for_all_to_read() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), Resolution::Minute, &EXAMPLE).unwrap();
        let path = folder.path().join("saved_worker_periods_history.bin");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644);
        assert_eq!(read(folder.path(), Resolution::Minute).unwrap(), load(&EXAMPLE).unwrap());
    }

    #[test]
    fn files_set_aside_take_no_place_of_one_another_until_there_are_many() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        let names: Vec<String> = (0..=BAD_FILES_MAX + 1)
            .map(|number| {
                fs::write(&path, number.to_string()).unwrap();
                // Files made in the same instant have no oldest one.
                std::thread::sleep(std::time::Duration::from_millis(20));
                set_aside(&path).unwrap().file_name().unwrap().to_str().unwrap().to_owned()
            })
            .collect();
        assert_eq!(names, ["f.bad", "f.bad.1", "f.bad.2", "f.bad.3", "f.bad.4", "f.bad"]);
        assert_eq!(fs::read_to_string(folder.path().join("f.bad")).unwrap(), "5");
    }

    /// Histories as the ring can have them: any buckets, in any order.
    fn any_series() -> impl Strategy<Value = SeriesSet> {
        let slot = (1..=u32::MAX, any::<u16>(), any::<u16>())
            .prop_map(|(bucket, hashrate, best)| Slot { bucket, hashrate, best });
        let near = (28_000_000..28_003_000u32, any::<u16>(), any::<u16>())
            .prop_map(|(bucket, hashrate, best)| Slot { bucket, hashrate, best });
        let slots = prop::collection::vec(prop_oneof![near, slot], 1..300);
        let key = prop_oneof![Just(POOL_KEY.to_owned()), "[0-9a-f]{64}", "[a-z0-9]{1,256}"];
        prop::collection::vec((key, slots), 0..6).prop_map(|all| {
            let mut set = SeriesSet::default();
            for (key, slots) in all {
                let series = set.entry(key);
                slots.into_iter().for_each(|slot| series.restore(slot));
            }
            set
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_file_keeps_every_slot(series in any_series(), sampled in prop::option::of(any::<u32>())) {
            for resolution in [Resolution::Minute, Resolution::HalfHour] {
                let bytes = encode(resolution, &series, sampled);
                let read = decode(resolution, &bytes).unwrap();
                prop_assert_eq!(&read.series, &series);
                prop_assert_eq!(read.sampled, sampled);
            }
        }

        #[test]
        fn fuzz_decode(
            bytes in prop::collection::vec(any::<u8>(), 0..200),
            at in 8..60usize,
            value in any::<u8>()
        ) {
            // Nothing but an error may come of it.
            let _ = load(&bytes);
            let _ = load(&[b"GPSWPR01".as_slice(), &bytes].concat());
            let _ = changed(|example| example[at] = value);
        }
    }
}
