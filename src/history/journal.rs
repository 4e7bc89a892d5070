//! What was recorded since the last snapshot, minute by minute (FIX-27): a crash or a power cut costs
//! the minute that had not been written.
//!
//! The file is 8 bytes of magic and records, all integers little-endian:
//!
//! | size   | content                                            |
//! |--------|----------------------------------------------------|
//! | 4      | length of the payload                              |
//! | 4      | CRC-32 (IEEE) of the payload                       |
//! | 4      | payload: unix minute                               |
//! | 2, 2   | hashrate and best code of the pool                 |
//! | 4      | number of workers                                  |
//! | 36 ×   | worker hash (32), hashrate code (2), best code (2) |
//!
//! A minute that has a record is one the sampler looked at, so there is no flag that says so.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::sampler::{Codes, MinuteRecord};
use super::snapshot_file::set_aside;
use crate::whole_file;

const MAGIC: &[u8; 8] = b"GPSWPJ01";
const RECORD_HEADER_BYTES: usize = 8;
const PAYLOAD_HEADER_BYTES: usize = 12;
const WORKER_BYTES: usize = 36;
/// Records that could not be written and are kept to be written later, at most: the history has no
/// more minutes than that.
const MISSED_MAX: usize = 1440;
/// The same, in bytes: a day of 600 workers.
const MISSED_BYTES_MAX: usize = 32 * 1024 * 1024;

/// The disk did not take a record. It will be written together with the next one.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {} ({missed} minutes wait): {source}", path.display())]
pub struct JournalError {
    pub path: PathBuf,
    pub missed: usize,
    pub source: io::Error,
}

/// What a journal had when it was opened.
#[derive(Debug, Default)]
pub struct JournalRead {
    /// Whole records, in the order in which they were written.
    pub records: Vec<MinuteRecord>,
    /// Bytes after them: a record that was being written when the machine stopped.
    pub cut_bytes: usize,
    /// Why nothing could be read, and where the file is now, if it could be put aside.
    pub bad: Option<(String, io::Result<PathBuf>)>,
}

/// The journal beside the snapshots.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    /// Opened when it is written to, and again after that failed: the folder may have been replaced.
    file: Option<File>,
    /// Length of what is whole; what follows it is written over.
    size: u64,
    /// Encoded records the disk has not taken.
    missed: VecDeque<Vec<u8>>,
}

impl Journal {
    /// Reads a journal. One that is missing has nothing, one that is none is put aside.
    pub fn open(path: &Path) -> (Self, JournalRead) {
        let mut journal =
            Self { path: path.to_owned(), file: None, size: 0, missed: VecDeque::new() };
        let mut read = JournalRead::default();
        match fs::read(path) {
            Ok(bytes) if bytes.starts_with(MAGIC) => {
                let whole;
                (read.records, whole) = decode(&bytes);
                read.cut_bytes = bytes.len() - whole;
                journal.size = whole as u64;
            }
            // Its first bytes were being written.
            Ok(bytes) if MAGIC.starts_with(&bytes) => read.cut_bytes = bytes.len(),
            Ok(_) => {
                read.bad = Some(("it begins like another kind of file".into(), set_aside(path)));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => read.bad = Some((error.to_string(), set_aside(path))),
        }
        (journal, read)
    }

    /// Writes a record, and before it those that could not be written; they are on the disk when this
    /// returns.
    pub fn append(&mut self, record: &MinuteRecord) -> Result<(), JournalError> {
        self.missed.push_back(encode(record));
        while self.missed.len() > MISSED_MAX
            || (self.missed.len() > 1 && self.missed_bytes() > MISSED_BYTES_MAX)
        {
            // It is still in memory, and will be in the next snapshot.
            self.missed.pop_front();
        }
        self.write_missed().map_err(|source| {
            self.file = None;
            JournalError { path: self.path.clone(), missed: self.missed.len(), source }
        })
    }

    /// Empties the journal, when all it has is in a snapshot. (If the machine stops before, it will
    /// be replayed on that snapshot, which changes nothing.)
    pub fn reset(&mut self) -> io::Result<()> {
        self.missed.clear();
        self.file = None;
        self.start_over()
    }

    /// Size of the file.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Minutes that wait to be written.
    pub fn missed(&self) -> usize {
        self.missed.len()
    }

    fn missed_bytes(&self) -> usize {
        self.missed.iter().map(Vec::len).sum()
    }

    fn write_missed(&mut self) -> io::Result<()> {
        if self.file.is_none() {
            self.reopen()?;
        }
        let Some(file) = &self.file else { return Err(io::ErrorKind::NotFound.into()) };
        let bytes: Vec<u8> = self.missed.iter().flatten().copied().collect();
        // At the end of what is whole, not of the file: an attempt that failed may have left
        // something there. If the sync fails all of it is written again.
        file.write_all_at(&bytes, self.size)?;
        file.sync_data()?;
        self.size += bytes.len() as u64;
        self.missed.clear();
        Ok(())
    }

    fn reopen(&mut self) -> io::Result<()> {
        if self.size == 0 {
            return self.start_over();
        }
        let file = match OpenOptions::new().write(true).open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return self.start_over(),
            opened => opened?,
        };
        if file.metadata()?.len() < self.size {
            return self.start_over();
        }
        file.set_len(self.size)?;
        self.file = Some(file);
        Ok(())
    }

    fn start_over(&mut self) -> io::Result<()> {
        self.size = 0;
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o644)
            .open(&self.path)?;
        file.write_all_at(MAGIC, 0)?;
        file.sync_all()?;
        whole_file::sync_folder_of(&self.path)?;
        self.size = MAGIC.len() as u64;
        self.file = Some(file);
        Ok(())
    }
}

fn encode(record: &MinuteRecord) -> Vec<u8> {
    let size = PAYLOAD_HEADER_BYTES + record.workers.len() * WORKER_BYTES;
    let mut payload = Vec::with_capacity(size);
    payload.extend(record.minute.to_le_bytes());
    payload.extend(record.pool.hashrate.to_le_bytes());
    payload.extend(record.pool.best.to_le_bytes());
    payload.extend((record.workers.len() as u32).to_le_bytes());
    for (hash, codes) in &record.workers {
        payload.extend(hash);
        payload.extend(codes.hashrate.to_le_bytes());
        payload.extend(codes.best.to_le_bytes());
    }
    let mut bytes = Vec::with_capacity(RECORD_HEADER_BYTES + size);
    bytes.extend((size as u32).to_le_bytes());
    bytes.extend(crc32fast::hash(&payload).to_le_bytes());
    bytes.extend(payload);
    bytes
}

/// The whole records of a journal that begins with its magic, and the length of it all.
fn decode(bytes: &[u8]) -> (Vec<MinuteRecord>, usize) {
    let mut rest = &bytes[MAGIC.len()..];
    let mut records = Vec::new();
    while let Some((record, left)) = decode_record(rest) {
        records.push(record);
        rest = left;
    }
    (records, bytes.len() - rest.len())
}

/// The first record and what follows it; `None` if it is not whole. (Zeros, which a power cut may
/// leave, are no record: their payload would be too short.)
fn decode_record(bytes: &[u8]) -> Option<(MinuteRecord, &[u8])> {
    let (size, rest) = bytes.split_first_chunk()?;
    let (crc, rest) = rest.split_first_chunk()?;
    let (payload, rest) = rest.split_at_checked(u32::from_le_bytes(*size) as usize)?;
    if crc32fast::hash(payload) != u32::from_le_bytes(*crc) {
        return None;
    }
    let (minute, payload) = payload.split_first_chunk()?;
    let (pool, payload) = decode_codes(payload)?;
    let (count, payload) = payload.split_first_chunk()?;
    let count = u32::from_le_bytes(*count) as usize;
    if payload.len() != count.checked_mul(WORKER_BYTES)? {
        return None;
    }
    let worker = |bytes: &[u8]| {
        let (hash, codes) = bytes.split_first_chunk()?;
        Some((*hash, decode_codes(codes)?.0))
    };
    let workers = payload.chunks_exact(WORKER_BYTES).map(worker).collect::<Option<_>>()?;
    Some((MinuteRecord { minute: u32::from_le_bytes(*minute), pool, workers }, rest))
}

fn decode_codes(bytes: &[u8]) -> Option<(Codes, &[u8])> {
    let (hashrate, rest) = bytes.split_first_chunk()?;
    let (best, rest) = rest.split_first_chunk()?;
    let codes = Codes { hashrate: u16::from_le_bytes(*hashrate), best: u16::from_le_bytes(*best) };
    Some((codes, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::History;
    use proptest::prelude::*;

    const NOW: u32 = 28_333_333;

    fn record(minute: u32, workers: u8) -> MinuteRecord {
        let codes = |hashrate: u8| Codes { hashrate: hashrate.into(), best: 7 };
        MinuteRecord {
            minute,
            pool: codes(100),
            workers: (0..workers).map(|worker| ([worker; 32], codes(worker + 1))).collect(),
        }
    }

    fn journal_path(folder: &tempfile::TempDir) -> PathBuf {
        folder.path().join("journal")
    }

    #[test]
    fn records_come_back_in_their_order_and_more_can_follow() {
        let folder = tempfile::tempdir().unwrap();
        let path = journal_path(&folder);
        let mut records = Vec::new();
        for start in 0..3 {
            let (mut journal, read) = Journal::open(&path);
            assert_eq!(read.records, records);
            assert_eq!(read.cut_bytes, 0);
            for minute in 0..4 {
                records.push(record(NOW + start * 4 + minute, minute as u8));
                journal.append(records.last().unwrap()).unwrap();
            }
            assert_eq!(journal.size(), fs::metadata(&path).unwrap().len());
        }
        assert_eq!(Journal::open(&path).1.records, records);
    }

    #[test]
    fn a_reset_journal_is_empty_and_can_be_written_to() {
        let folder = tempfile::tempdir().unwrap();
        let path = journal_path(&folder);
        let (mut journal, _) = Journal::open(&path);
        journal.append(&record(NOW, 3)).unwrap();
        journal.reset().unwrap();
        assert_eq!(fs::read(&path).unwrap(), MAGIC);
        journal.append(&record(NOW + 1, 1)).unwrap();
        assert_eq!(Journal::open(&path).1.records, [record(NOW + 1, 1)]);
    }

    #[test]
    fn a_torn_record_is_cut_off_and_the_next_one_takes_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = journal_path(&folder);
        let (mut journal, _) = Journal::open(&path);
        journal.append(&record(NOW, 3)).unwrap();
        journal.append(&record(NOW + 1, 3)).unwrap();
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();

        let (mut journal, read) = Journal::open(&path);
        assert_eq!(read.records, [record(NOW, 3)]);
        assert_eq!(read.cut_bytes, encode(&record(NOW + 1, 3)).len() - 1);
        journal.append(&record(NOW + 2, 0)).unwrap();
        assert_eq!(Journal::open(&path).1.records, [record(NOW, 3), record(NOW + 2, 0)]);
    }

    #[test]
    fn zeros_and_damage_are_no_records() {
        let whole = [MAGIC.as_slice(), &encode(&record(NOW, 2))].concat();
        let size = whole.len();
        let zeros = [whole.as_slice(), &[0; 4096]].concat();
        assert_eq!(decode(&zeros), (vec![record(NOW, 2)], size));
        for at in MAGIC.len()..size {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x10;
            assert_eq!(decode(&damaged), (vec![], MAGIC.len()), "{at}");
        }
    }

    #[test]
    fn what_is_no_journal_is_put_aside() {
        let folder = tempfile::tempdir().unwrap();
        let path = journal_path(&folder);
        fs::write(&path, "something else").unwrap();
        let (mut journal, read) = Journal::open(&path);
        let (_, aside) = read.bad.expect("it is seen to be no journal");
        let aside = aside.expect("it can be renamed");
        assert_eq!(fs::read_to_string(aside).unwrap(), "something else");
        journal.append(&record(NOW, 1)).unwrap();
        assert_eq!(Journal::open(&path).1.records.len(), 1);
    }

    #[test]
    fn a_journal_torn_in_its_magic_is_begun_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = journal_path(&folder);
        fs::write(&path, &MAGIC[..5]).unwrap();
        let (mut journal, read) = Journal::open(&path);
        assert!(read.bad.is_none());
        journal.append(&record(NOW, 1)).unwrap();
        assert_eq!(Journal::open(&path).1.records.len(), 1);
    }

    #[test]
    fn what_a_full_disk_does_not_take_is_written_when_there_is_room() {
        let folder = tempfile::tempdir().unwrap();
        let path = journal_path(&folder);
        let (mut journal, _) = Journal::open(&path);
        journal.append(&record(NOW, 1)).unwrap();
        journal.file = Some(OpenOptions::new().write(true).open("/dev/full").unwrap());
        let error = journal.append(&record(NOW + 1, 1)).unwrap_err();
        assert_eq!((error.missed, error.source.kind()), (1, io::ErrorKind::StorageFull));
        // Half of a record was written.
        let mut bytes = fs::read(&path).unwrap();
        bytes.extend([0xff; 20]);
        fs::write(&path, bytes).unwrap();

        journal.append(&record(NOW + 2, 1)).unwrap();
        assert_eq!(journal.missed(), 0);
        let expected: Vec<_> = (0..3).map(|minute| record(NOW + minute, 1)).collect();
        assert_eq!(Journal::open(&path).1.records, expected);
    }

    #[test]
    fn missed_records_are_bounded_and_the_newest_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("missing/journal");
        let (mut journal, _) = Journal::open(&path);
        for minute in 0..MISSED_MAX as u32 + 10 {
            journal.append(&record(NOW + minute, 1)).unwrap_err();
        }
        assert_eq!(journal.missed(), MISSED_MAX);
        fs::create_dir(path.parent().unwrap()).unwrap();
        journal.append(&record(NOW + 9999, 1)).unwrap();
        let records = Journal::open(&path).1.records;
        assert_eq!((records.len(), records[0].minute), (MISSED_MAX, NOW + 11));
    }

    #[test]
    fn a_journal_that_vanished_is_begun_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = journal_path(&folder);
        let (mut journal, _) = Journal::open(&path);
        journal.append(&record(NOW, 1)).unwrap();
        journal.file = None;
        fs::remove_file(&path).unwrap();
        journal.append(&record(NOW + 1, 1)).unwrap();
        assert_eq!(Journal::open(&path).1.records, [record(NOW + 1, 1)]);
    }

    fn any_records() -> impl Strategy<Value = Vec<MinuteRecord>> {
        let codes =
            (any::<u16>(), any::<u16>()).prop_map(|(hashrate, best)| Codes { hashrate, best });
        let workers = prop::collection::vec(((0..4u8).prop_map(|b| [b; 32]), codes.clone()), 0..4);
        let record = (NOW..NOW + 5000, codes, workers)
            .prop_map(|(minute, pool, workers)| MinuteRecord { minute, pool, workers });
        prop::collection::vec(record, 0..8)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn a_journal_cut_at_any_byte_yields_the_state_after_its_last_whole_record(
            records in any_records()
        ) {
            let encoded: Vec<Vec<u8>> = records.iter().map(encode).collect();
            let bytes = [MAGIC.to_vec(), encoded.concat()].concat();
            let mut ends = vec![MAGIC.len()];
            ends.extend(encoded.iter().scan(MAGIC.len(), |end, record| {
                *end += record.len();
                Some(*end)
            }));
            let states: Vec<History> = (0..=records.len())
                .map(|count| {
                    let mut history = History::default();
                    history.replay(&records[..count]);
                    history
                })
                .collect();
            for cut in MAGIC.len()..=bytes.len() {
                let (read, whole) = decode(&bytes[..cut]);
                let count = ends.iter().filter(|end| **end <= cut).count() - 1;
                prop_assert_eq!(whole, ends[count]);
                prop_assert_eq!(&read, &records[..count]);
                if cut == whole {
                    let mut history = History::default();
                    history.replay(&read);
                    prop_assert_eq!(&history, &states[count]);
                }
            }
        }

        #[test]
        fn fuzz_decode(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let (_, whole) = decode(&[MAGIC.as_slice(), &bytes].concat());
            prop_assert!(whole >= MAGIC.len());
        }
    }
}
