//! Bytes as they come from a socket, cut into lines (`stratum.md` §1.7).

use crate::limits::LINE_BYTES_MAX;

/// The bytes of a line that has begun and not ended yet. Empty, and without memory of its own,
/// for a miner that is between lines.
#[derive(Debug, Default)]
pub struct Partial(Vec<u8>);

/// More bytes without a line feed than a line may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineTooLong;

impl Partial {
    /// Calls `on_line` with each line that `bytes` complete, white space around it removed, and
    /// keeps what is left. Blank lines are not lines. Stops early when `on_line` says so, and then
    /// keeps nothing.
    pub fn feed(
        &mut self,
        mut bytes: &[u8],
        mut on_line: impl FnMut(&[u8]) -> bool,
    ) -> Result<(), LineTooLong> {
        while let Some(end) = memchr::memchr(b'\n', bytes) {
            let (head, rest) = (&bytes[..end], &bytes[end + 1..]);
            bytes = rest;
            if self.0.len() + head.len() >= LINE_BYTES_MAX {
                return Err(LineTooLong);
            }
            let goes_on = if self.0.is_empty() {
                visit(head, &mut on_line)
            } else {
                self.0.extend(head);
                // Taken, so that a finished line gives its memory back.
                let line = std::mem::take(&mut self.0);
                visit(&line, &mut on_line)
            };
            if !goes_on {
                return Ok(());
            }
        }
        if self.0.len() + bytes.len() >= LINE_BYTES_MAX {
            return Err(LineTooLong);
        }
        self.0.extend(bytes);
        Ok(())
    }

    /// Bytes held.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn visit(line: &[u8], on_line: &mut impl FnMut(&[u8]) -> bool) -> bool {
    let line = line.trim_ascii();
    line.is_empty() || on_line(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(pieces: &[&[u8]]) -> (Vec<String>, Result<(), LineTooLong>, usize) {
        let mut partial = Partial::default();
        let mut found = Vec::new();
        let mut result = Ok(());
        for piece in pieces {
            result = partial.feed(piece, |line| {
                found.push(String::from_utf8_lossy(line).into_owned());
                true
            });
            if result.is_err() {
                break;
            }
        }
        (found, result, partial.len())
    }

    #[test]
    fn lines_come_out_the_same_at_every_split() {
        let stream = b"{\"id\":1}\r\n\n \t \n  {\"id\":2}  \n{\"id\":3}\nrest";
        for first in 0..=stream.len() {
            for second in first..=stream.len() {
                let pieces = [&stream[..first], &stream[first..second], &stream[second..]];
                let (found, result, left) = lines(&pieces);
                assert_eq!(found, ["{\"id\":1}", "{\"id\":2}", "{\"id\":3}"], "{first} {second}");
                assert_eq!((result, left), (Ok(()), 4));
            }
        }
    }

    #[test]
    fn a_line_may_have_its_bound_and_no_byte_more() {
        let mut longest = vec![b'x'; LINE_BYTES_MAX - 1];
        longest.push(b'\n');
        for split in [0, 1, LINE_BYTES_MAX / 2, LINE_BYTES_MAX - 1] {
            let (found, result, _) = lines(&[&longest[..split], &longest[split..]]);
            assert_eq!((found.len(), result), (1, Ok(())), "split {split}");
        }
        let endless = vec![b'x'; LINE_BYTES_MAX];
        assert_eq!(lines(&[&endless]).1, Err(LineTooLong));
        assert_eq!(lines(&[&endless[1..], b"x"]).1, Err(LineTooLong));
        let mut longer = endless;
        longer.push(b'\n');
        assert_eq!(lines(&[&longer]).1, Err(LineTooLong));
    }

    #[test]
    fn a_stop_leaves_the_rest_unread() {
        let mut partial = Partial::default();
        let mut count = 0;
        partial
            .feed(b"a\nb\nc\nd", |_| {
                count += 1;
                count < 2
            })
            .unwrap();
        assert_eq!((count, partial.len()), (2, 0));
    }
}
