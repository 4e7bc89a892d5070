//! The transactions of templates: decoded and hashed once, for as long as they stay in the templates,
//! and shared by all jobs that hold them.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::thread;

use gopool_shards::sha256d::{HASH_BYTES, Hash};
use gopool_shards::work::header::display_hex;
use gopool_shards::work::template::Template;
use gopool_shards::work::transaction::{Ids, Transaction};
use gopool_shards::work::transactions::Transactions;

use super::scan::RawTransaction;
use super::template::TemplateError;

/// Between two chances for other threads of the core, while there is much to do: about a tenth of a
/// millisecond. Miners that have just been sent work, and their shards, come first.
const DONE_IN_A_ROW: usize = 64;

/// Transactions that have been found to be what they are called.
#[derive(Debug, Default)]
pub(super) struct Known(HashMap<Key, Arc<Transaction>>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Key(Ids);

impl std::hash::Hash for Key {
    /// Eight bytes of a hash are as good as all; which ones fall together is still the map's secret.
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        state.write_u64(u64::from_le_bytes(*self.0.txid.first_chunk().expect("32 bytes")));
    }
}

/// Those of one template as they come in, in its order.
#[derive(Debug, Default)]
pub(super) struct Listed {
    ids: Vec<Ids>,
    unread: Vec<Place>,
}

/// The same when all are there: what they are called is what the node says, and nobody has looked.
#[derive(Debug)]
pub(super) struct Unread(Vec<Place>);

/// Where a transaction is.
#[derive(Debug)]
enum Place {
    /// Its hex, in the node's answer.
    Answer(Range<usize>),
    Decoded(Arc<Transaction>),
}

impl Known {
    /// Those of a template that has been verified.
    pub(super) fn of(template: &Template) -> Self {
        let list = template.transactions.list();
        Self(list.iter().map(|each| (Key(each.ids()), Arc::clone(each))).collect())
    }
}

impl Listed {
    pub(super) fn with_room_for(count: usize) -> Self {
        Self { ids: Vec::with_capacity(count), unread: Vec::with_capacity(count) }
    }

    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    /// Takes the next one out of an answer, by its ids.
    pub(super) fn push(
        &mut self,
        raw: &RawTransaction<'_>,
        answer: &[u8],
    ) -> Result<(), TemplateError> {
        let RawTransaction { data, txid, hash } = raw;
        if hash.is_empty() {
            return self.decode(&answer[data.clone()], txid);
        }
        let index = self.ids.len();
        self.ids.push(Ids { txid: id(index, "txid", txid)?, wtxid: id(index, "hash", hash)? });
        self.unread.push(Place::Answer(data.clone()));
        Ok(())
    }

    /// Takes the next one with its bytes.
    pub(super) fn push_now(
        &mut self,
        data: &str,
        txid: &str,
        hash: &str,
    ) -> Result<(), TemplateError> {
        let index = self.ids.len();
        self.decode(data.as_bytes(), txid.as_bytes())?;
        if hash.is_empty() {
            return Ok(());
        }
        compare(index, "hash", id(index, "hash", hash.as_bytes())?, self.ids[index].wtxid)
    }

    fn decode(&mut self, data: &[u8], txid: &[u8]) -> Result<(), TemplateError> {
        let index = self.ids.len();
        let txid = id(index, "txid", txid)?;
        let transaction = Transaction::parse(decode(index, data)?)
            .map_err(|source| TemplateError::Transaction { index, source })?;
        compare(index, "txid", txid, transaction.txid)?;
        self.ids.push(transaction.ids());
        self.unread.push(Place::Decoded(Arc::new(transaction)));
        Ok(())
    }

    pub(super) fn into_parts(self) -> (Transactions, Unread) {
        (Transactions::named(self.ids), Unread(self.unread))
    }
}

impl Unread {
    /// Decodes and hashes what is not known: whether every transaction of `template`, which came in
    /// `answer`, is what it is called, and whether it commits to all of them.
    pub(super) fn verify(
        self,
        template: &Template,
        answer: &[u8],
        known: &Known,
    ) -> Result<(), TemplateError> {
        // First the bytes: a block that is found meanwhile waits for them.
        let mut unhashed = Vec::new();
        match self.decode(template, answer, known, &mut unhashed) {
            Ok(list) => template.transactions.fill(list),
            Err(error) => {
                // Nobody shall wait for what will never be there.
                template.transactions.fill(Vec::new());
                return Err(error);
            }
        }
        for (turn, index) in unhashed.into_iter().enumerate() {
            give_way(turn);
            let transaction = &template.transactions.list()[index];
            let Ids { txid, wtxid } = Ids::of(&transaction.data)
                .map_err(|source| TemplateError::Transaction { index, source })?;
            compare(index, "txid", transaction.txid, txid)?;
            compare(index, "hash", transaction.wtxid, wtxid)?;
        }
        if template.commits_to_its_witnesses() {
            Ok(())
        } else {
            Err(TemplateError::WitnessCommitment)
        }
    }

    fn decode(
        self,
        template: &Template,
        answer: &[u8],
        known: &Known,
        unhashed: &mut Vec<usize>,
    ) -> Result<Vec<Arc<Transaction>>, TemplateError> {
        let mut list = Vec::with_capacity(self.0.len());
        for (index, (place, ids)) in self.0.into_iter().zip(&template.transactions).enumerate() {
            give_way(index);
            list.push(match (known.0.get(&Key(*ids)), place) {
                (Some(known), _) => Arc::clone(known),
                (None, Place::Decoded(transaction)) => transaction,
                (None, Place::Answer(data)) => {
                    unhashed.push(index);
                    let (data, Ids { txid, wtxid }) = (decode(index, &answer[data])?, *ids);
                    Arc::new(Transaction { data, txid, wtxid })
                }
            });
        }
        Ok(list)
    }
}

fn give_way(turn: usize) {
    if turn.is_multiple_of(DONE_IN_A_ROW) {
        thread::yield_now();
    }
}

fn decode(index: usize, hex: &[u8]) -> Result<Vec<u8>, TemplateError> {
    const_hex::decode(hex).map_err(|_| TemplateError::Field {
        field: "transactions.data",
        found: format!("no hex at index {index}"),
        allowed: "hex",
    })
}

/// An id in the order people read.
fn id(index: usize, field: &'static str, hex: &[u8]) -> Result<Hash, TemplateError> {
    let mut hash = [0; HASH_BYTES];
    // The decoder skips `0x`; an id has none.
    if hex.len() != 2 * HASH_BYTES || const_hex::decode_to_slice(hex, &mut hash).is_err() {
        let found = String::from_utf8_lossy(hex).into_owned();
        return Err(TemplateError::TransactionId { index, field, found });
    }
    hash.reverse();
    Ok(hash)
}

fn compare(index: usize, field: &'static str, said: Hash, is: Hash) -> Result<(), TemplateError> {
    if said == is {
        return Ok(());
    }
    Err(TemplateError::TransactionId { index, field, found: display_hex(&said) })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TXID: &str = "99296a9c40f5e307530147cc99133f35ae866b280d362d7c487bfd30ea1d72d8";
    const DATA: &str = "010000000111111111111111111111111111111111111111111111111111111111111111110000000000ffffffff01e803000000000000015100000000";

    fn raw(data: Range<usize>, hash: &str) -> RawTransaction<'_> {
        RawTransaction { data, txid: TXID.as_bytes(), hash: hash.as_bytes() }
    }

    /// A template that is of no use but for its transactions.
    fn template(transactions: Transactions) -> Template {
        Template {
            height: 1,
            version: 0,
            prev_hash: [0; 32],
            bits: 0,
            target: gopool_shards::work::target::Target::MAX,
            curtime: 0,
            mintime: 0,
            coinbase_value: 0,
            coinbase_flags: vec![],
            witness_commitment: vec![],
            transactions,
            version_bits_fixed: 0,
        }
    }

    #[test]
    fn a_known_transaction_is_neither_decoded_nor_hashed_again() {
        let transaction = Arc::new(Transaction::parse(const_hex::decode(DATA).unwrap()).unwrap());
        let known = Known::of(&template(vec![Arc::clone(&transaction)].into()));
        let mut listed = Listed::default();
        // Its bytes are not looked at: these are none.
        listed.push(&raw(0..7, TXID), b"no hex!").unwrap();
        let (transactions, unread) = listed.into_parts();
        let verified = unread.verify(&template(transactions.clone()), b"no hex!", &known);
        assert_eq!(verified, Err(TemplateError::WitnessCommitment), "and not the transaction");
        assert!(Arc::ptr_eq(&transactions.list()[0], &transaction));
    }

    #[test]
    fn one_without_a_hash_is_read_at_once() {
        let mut listed = Listed::default();
        listed.push(&raw(0..DATA.len(), ""), DATA.as_bytes()).unwrap();
        listed.push_now(DATA, TXID, "").unwrap();
        let damaged = DATA.replace("e803", "e903");
        let wrong = listed.push(&raw(0..DATA.len(), ""), damaged.as_bytes());
        assert!(matches!(wrong, Err(TemplateError::TransactionId { index: 2, .. })));
        let (transactions, unread) = listed.into_parts();
        let _ = unread.verify(&template(transactions.clone()), b"", &Known::default());
        assert_eq!(transactions.list()[0], transactions.list()[1]);
        assert!(Listed::default().push_now(DATA, TXID, &"00".repeat(32)).is_err());
    }
}
