//! A block as `submitblock` takes it and as it is kept: hex, made while it leaves. A full block is
//! 4 MB of it, which would take longer to make than to send the first of it.

use std::io::{self, Read};
use std::sync::Arc;

use gopool_shards::share::Solved;
use gopool_shards::work::block;
use gopool_shards::work::transactions::Transactions;

/// Cheap to clone: what it is made of is shared.
#[derive(Clone, Debug)]
pub(super) struct BlockHex(Arc<Source>);

#[derive(Debug)]
enum Source {
    /// A block of this run.
    Parts { head: Vec<u8>, transactions: Transactions },
    /// A block of an earlier run, as its row has it.
    Text(String),
}

impl BlockHex {
    pub(super) fn of_solved(solved: &Solved) -> Self {
        let transactions = solved.job.transactions.clone();
        let head = block::head(&solved.header, &solved.coinbase, transactions.len());
        Self(Arc::new(Source::Parts { head, transactions }))
    }

    pub(super) fn of_row(text: String) -> Self {
        Self(Arc::new(Source::Text(text)))
    }

    /// Digits in all.
    pub(super) fn size(&self) -> u64 {
        let size = match &*self.0 {
            Source::Parts { head, transactions } => {
                let after: usize = transactions.list().iter().map(|each| each.data.len()).sum();
                2 * (head.len() + after)
            }
            Source::Text(text) => text.len(),
        };
        size as u64
    }

    pub(super) fn reader(&self) -> HexReader<'_> {
        HexReader { source: &self.0, piece: 0, at: 0, half: None }
    }

    pub(super) fn to_text(&self) -> String {
        let mut text = String::with_capacity(self.size() as usize);
        self.reader().read_to_string(&mut text).expect("hex, from memory");
        text
    }
}

/// Reads a block's digits.
#[derive(Debug)]
pub(super) struct HexReader<'a> {
    source: &'a Source,
    /// Which piece is next, and how many of its bytes are done with.
    piece: usize,
    at: usize,
    /// The second digit of a byte whose first has filled the reader's buffer.
    half: Option<u8>,
}

impl HexReader<'_> {
    /// What is left of the piece that is next; none at the end.
    fn rest(&mut self) -> Option<&[u8]> {
        loop {
            let piece: &[u8] = match self.source {
                Source::Parts { head, .. } if self.piece == 0 => head,
                Source::Parts { transactions, .. } => {
                    &transactions.list().get(self.piece - 1)?.data
                }
                Source::Text(text) if self.piece == 0 => text.as_bytes(),
                Source::Text(_) => return None,
            };
            if self.at < piece.len() {
                return Some(&piece[self.at..]);
            }
            self.piece += 1;
            self.at = 0;
        }
    }
}

impl Read for HexReader<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let is_text = matches!(self.source, Source::Text(_));
        let mut done = 0;
        while done < out.len() {
            let free = &mut out[done..];
            if let Some(digit) = self.half.take() {
                free[0] = digit;
                done += 1;
                continue;
            }
            let room = free.len();
            let Some(rest) = self.rest() else { break };
            let (bytes, digits) = if is_text {
                let count = rest.len().min(room);
                free[..count].copy_from_slice(&rest[..count]);
                (count, count)
            } else if room == 1 {
                let mut digits = [0; 2];
                const_hex::encode_to_slice(&rest[..1], &mut digits).expect("two digits a byte");
                free[0] = digits[0];
                self.half = Some(digits[1]);
                (1, 1)
            } else {
                let count = rest.len().min(room / 2);
                const_hex::encode_to_slice(&rest[..count], &mut free[..2 * count])
                    .expect("two digits a byte");
                (count, 2 * count)
            };
            self.at += bytes;
            done += digits;
        }
        Ok(done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gopool_shards::work::transaction::Transaction;

    fn parts() -> (BlockHex, String) {
        let transaction = |data: &[u8]| {
            Arc::new(Transaction { data: data.to_vec(), txid: [0; 32], wtxid: [0; 32] })
        };
        let list = [&[1, 2, 3][..], &[], &[0xab; 100], &[0xff]].map(transaction);
        let transactions = Transactions::from(list.to_vec());
        let head = vec![7; 81];
        let whole: Vec<u8> = std::iter::once(&head)
            .flatten()
            .copied()
            .chain(transactions.list().iter().flat_map(|each| each.data.iter().copied()))
            .collect();
        (BlockHex(Arc::new(Source::Parts { head, transactions })), const_hex::encode(whole))
    }

    #[test]
    fn what_leaves_in_pieces_of_any_size_is_the_whole_block() {
        let (block, whole) = parts();
        let text = BlockHex::of_row(whole.clone());
        for block in [block, text] {
            assert_eq!(block.size(), whole.len() as u64);
            assert_eq!(block.to_text(), whole);
            for step in 1..=whole.len() + 1 {
                let mut reader = block.reader();
                let mut piece = vec![0; step];
                let mut read: Vec<u8> = Vec::new();
                while let count @ 1.. = reader.read(&mut piece).unwrap() {
                    read.extend(&piece[..count]);
                }
                assert_eq!(read, whole.as_bytes(), "in pieces of {step}");
            }
        }
    }
}
