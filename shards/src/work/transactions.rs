//! The transactions of a template: their ids at once, their bytes when somebody has had the time to
//! decode them. A job needs the ids, and miners wait for it; only a block needs the bytes.

use std::slice;
use std::sync::{Arc, OnceLock};

use crate::work::transaction::{Ids, Transaction};

/// In block order, coinbase excluded. Cheap to clone: what it holds is shared.
#[derive(Clone, Debug, Default)]
pub struct Transactions(Arc<Content>);

#[derive(Debug, Default)]
struct Content {
    ids: Vec<Ids>,
    list: OnceLock<Vec<Arc<Transaction>>>,
}

impl Transactions {
    /// Transactions that are known by their ids; whoever makes them fills them in soon after.
    pub fn named(ids: Vec<Ids>) -> Self {
        Self(Arc::new(Content { ids, list: OnceLock::new() }))
    }

    /// Fills in the transactions themselves; what is there stays.
    pub fn fill(&self, list: Vec<Arc<Transaction>>) {
        let _ = self.0.list.set(list);
    }

    pub fn len(&self) -> usize {
        self.0.ids.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.ids.is_empty()
    }

    pub fn iter(&self) -> slice::Iter<'_, Ids> {
        self.0.ids.iter()
    }

    /// The transactions themselves. Waits for [`Self::fill`].
    pub fn list(&self) -> &[Arc<Transaction>] {
        self.0.list.wait()
    }
}

impl From<Vec<Arc<Transaction>>> for Transactions {
    fn from(list: Vec<Arc<Transaction>>) -> Self {
        let ids = list.iter().map(|transaction| transaction.ids()).collect();
        Self(Arc::new(Content { ids, list: OnceLock::from(list) }))
    }
}

impl FromIterator<Arc<Transaction>> for Transactions {
    fn from_iter<T: IntoIterator<Item = Arc<Transaction>>>(transactions: T) -> Self {
        transactions.into_iter().collect::<Vec<_>>().into()
    }
}

impl<'a> IntoIterator for &'a Transactions {
    type Item = &'a Ids;
    type IntoIter = slice::Iter<'a, Ids>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_filled_in_later_is_waited_for() {
        let data = const_hex::decode(
            "010000000111111111111111111111111111111111111111111111111111111111111111110000000000ffffffff01e803000000000000015100000000",
        );
        let transaction = Arc::new(Transaction::parse(data.unwrap()).unwrap());
        let named = Transactions::named(vec![transaction.ids()]);
        let waiting = named.clone();
        let waiter = std::thread::spawn(move || waiting.list().to_vec());
        named.fill(vec![Arc::clone(&transaction)]);
        named.fill(Vec::new());
        assert_eq!(waiter.join().unwrap(), [transaction]);
        assert_eq!(named.iter().len(), 1);
    }
}
