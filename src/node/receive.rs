//! A template's answer, read from the wire into memory that is used again for the next.

use std::io::Read;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};

use super::exchange::{ANSWER_BYTES_MAX, NodeError, cut_short, result_of};
use super::scan::Scan;
use super::template::{RawTemplate, RawTransaction, TemplateError};
use super::transactions::Listed;

/// Room for a usual answer from the start.
const BUFFER_BYTES: usize = 1 << 20;
/// How long one answer waits for another to have been dealt with. Two that come together are about
/// the same tip: the second is quick when the first has been read, and both are slow when they
/// share a core. But one that stalls must not hold up the other.
const TURN_WAIT: Duration = Duration::from_millis(100);

/// An answer that has been read: the fields, the transactions, and when its head and its end were
/// there.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) raw: RawTemplate,
    pub(super) transactions: Result<Listed, TemplateError>,
    pub(super) began_at: Instant,
    pub(super) ended_at: Instant,
}

/// The buffer that answers are read into, which is also the right to read one.
#[derive(Debug)]
pub(super) struct Turns {
    giver: Sender<Buffer>,
    taker: Receiver<Buffer>,
}

#[derive(Debug, Default)]
struct Buffer {
    bytes: Vec<u8>,
    /// How many the last answer had: the next will have about as many.
    transactions: usize,
}

/// A turn, until it is dropped.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    turns: &'a Turns,
    buffer: Buffer,
}

impl Default for Turns {
    fn default() -> Self {
        let (giver, taker) = bounded(1);
        giver.send(Buffer::default()).expect("there is room for one");
        Self { giver, taker }
    }
}

impl Turns {
    pub(super) fn take(&self) -> Turn<'_> {
        let buffer = self.taker.recv_timeout(TURN_WAIT).unwrap_or_default();
        Turn { turns: self, buffer }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        // Full when another has gone ahead without waiting any longer: one buffer is enough.
        let _ = self.turns.giver.try_send(std::mem::take(&mut self.buffer));
    }
}

impl Turn<'_> {
    /// The answer that was read, in which the transactions are.
    pub(super) fn answer(&self) -> &[u8] {
        &self.buffer.bytes
    }

    /// Reads the answer to request `id`. The transactions' ids are found while they come in.
    pub(super) fn read(&mut self, body: &mut dyn Read, id: u64) -> Result<Received, NodeError> {
        let method = "getblocktemplate";
        let began_at = Instant::now();
        let mut scan = Scan::default();
        let mut transactions = Ok(Listed::with_room_for(self.buffer.transactions));
        let buffer = &mut self.buffer.bytes;
        let mut end = 0;
        loop {
            if end == buffer.len() {
                let longer = (2 * end).clamp(BUFFER_BYTES, ANSWER_BYTES_MAX as usize + 1);
                buffer.resize(longer, 0);
            }
            // The body is limited by the exchange, so that the buffer is never full.
            match body.read(&mut buffer[end..]) {
                Ok(0) => break,
                Ok(count) => end += count,
                Err(error) => return Err(cut_short(method, error)),
            }
            while let Some(raw) = scan.next(&buffer[..end]) {
                if let Ok(list) = &mut transactions
                    && let Err(error) = list.push(&raw, &buffer[..end])
                {
                    // The first that is wrong speaks for all; the rest is read all the same.
                    transactions = Err(error);
                }
            }
        }
        let ended_at = Instant::now();
        self.buffer.transactions = transactions.as_ref().map_or(0, Listed::len);
        let text = &buffer[..end];
        let Some(list) = scan.list() else {
            let raw: RawTemplate = result_of(method, text, id)?;
            let transactions = all_at_once(&raw);
            return Ok(Received { raw, transactions, began_at, ended_at });
        };
        let rest = [&text[..list.start], &text[list.end..]].concat();
        let raw = result_of(method, &rest, id)?;
        Ok(Received { raw, transactions, began_at, ended_at })
    }
}

fn all_at_once(raw: &RawTemplate) -> Result<Listed, TemplateError> {
    let mut transactions = Listed::default();
    for RawTransaction { data, txid, hash } in &raw.transactions {
        transactions.push_now(data, txid, hash)?;
    }
    Ok(transactions)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRANSACTION: &str = r#"{"data":"010000000111111111111111111111111111111111111111111111111111111111111111110000000000ffffffff01e803000000000000015100000000","txid":"99296a9c40f5e307530147cc99133f35ae866b280d362d7c487bfd30ea1d72d8"}"#;

    #[track_caller]
    fn check(text: &str) -> Result<Received, NodeError> {
        let turns = Turns::default();
        // What an earlier and longer answer has left behind does not count.
        turns.take().buffer.bytes = vec![b'}'; 4096];
        turns.take().read(&mut text.as_bytes(), 7)
    }

    #[test]
    fn whatever_is_json_is_read_the_same() {
        let escaped = TRANSACTION.replace("\"data\":\"01", "\"d\\u0061ta\" : \"\\u00301");
        for transaction in [TRANSACTION, &escaped] {
            let text = format!(
                r#"{{"id":7,"error":null,"result":{{"transactions":[{transaction}],"longpollid":"x"}}}}"#
            );
            let Received { raw, transactions, .. } = check(&text).unwrap();
            assert_eq!(raw.longpollid, "x");
            assert_eq!(transactions.unwrap().into_parts().0.len(), 1);
        }
    }

    #[test]
    fn what_is_no_answer_is_an_error() {
        assert!(matches!(check(""), Err(NodeError::Undecodable { .. })));
        let error = r#"{"result":null,"error":{"code":-10,"message":"no"},"id":7}"#;
        assert!(matches!(check(error), Err(NodeError::Refused { code: -10, .. })));
        let other = r#"{"result":{"transactions":[]},"error":null,"id":8}"#;
        assert!(matches!(check(other), Err(NodeError::Undecodable { .. })));
        let twice = r#"{"result":{"transactions":[],"transactions":[]},"error":null,"id":7}"#;
        assert!(matches!(check(twice), Err(NodeError::Undecodable { .. })));
        let broken = r#"{"result":{"transactions":[]},"error":null,"id":7"#;
        assert!(matches!(check(broken), Err(NodeError::Undecodable { .. })));
    }

    #[test]
    fn one_answer_that_stalls_does_not_hold_up_another() {
        let turns = Turns::default();
        let _stalled = turns.take();
        let text = r#"{"result":{"transactions":[]},"error":null,"id":7}"#;
        assert!(turns.take().read(&mut text.as_bytes(), 7).is_ok());
    }
}
