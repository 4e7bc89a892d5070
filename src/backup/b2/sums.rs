//! A file's SHA-1, and that of its parts: B2 wants each before the bytes.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use sha1::{Digest, Sha1};

const BUFFER_BYTES: usize = 64 * 1024;

/// A run of bytes of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) from: u64,
    pub(super) bytes: u64,
    /// Hex.
    pub(super) sha1: String,
}

#[derive(Debug)]
pub(super) struct Sums {
    pub(super) whole: Part,
    /// All bytes, in order.
    pub(super) parts: Vec<Part>,
}

/// Reads the file once. Each part has `part_bytes`, the last one less or as many.
pub(super) fn of(file: &mut File, part_bytes: u64) -> io::Result<Sums> {
    file.seek(SeekFrom::Start(0))?;
    let mut buffer = vec![0; BUFFER_BYTES];
    let (mut whole, mut bytes) = (Sha1::new(), 0);
    let mut parts = Vec::new();
    loop {
        let (mut part, from) = (Sha1::new(), bytes);
        let mut rest = Read::take(&mut *file, part_bytes);
        loop {
            let count = rest.read(&mut buffer)?;
            if count == 0 {
                break;
            }
            whole.update(&buffer[..count]);
            part.update(&buffer[..count]);
            bytes += count as u64;
        }
        if bytes == from {
            break;
        }
        parts.push(Part { from, bytes: bytes - from, sha1: const_hex::encode(part.finalize()) });
    }
    let whole = Part { from: 0, bytes, sha1: const_hex::encode(whole.finalize()) };
    Ok(Sums { whole, parts })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[track_caller]
    fn check(text: &[u8], part_bytes: u64, parts: &[&[u8]]) {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(text).unwrap();
        let sha1 = |text: &[u8]| const_hex::encode(Sha1::digest(text));
        let sums = of(&mut file, part_bytes).unwrap();
        assert_eq!((sums.whole.bytes, &*sums.whole.sha1), (text.len() as u64, &*sha1(text)));
        let mut from = 0;
        let expected = parts.iter().map(|part| {
            let bytes = part.len() as u64;
            from += bytes;
            Part { from: from - bytes, bytes, sha1: sha1(part) }
        });
        assert_eq!(sums.parts, expected.collect::<Vec<_>>());
    }

    #[test]
    fn parts_are_the_whole_in_pieces() {
        check(b"", 5, &[]);
        check(b"abc", 5, &[b"abc"]);
        check(b"abcde", 5, &[b"abcde"]);
        check(b"abcdefg", 5, &[b"abcde", b"fg"]);
        let long = vec![7; BUFFER_BYTES * 2 + 1];
        let (first, rest) = long.split_at(BUFFER_BYTES + 1);
        check(&long, BUFFER_BYTES as u64 + 1, &[first, rest]);
        // FIPS 180-4's own example.
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"abc").unwrap();
        let sums = of(&mut file, 9).unwrap();
        assert_eq!(sums.whole.sha1, "a9993e364706816aba3e25717850c26c9cd0d89d");
    }
}
