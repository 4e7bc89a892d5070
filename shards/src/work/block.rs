//! A solved block in the form that `submitblock` takes (`mining.md` §7.2).

use std::sync::Arc;

use crate::work::coinbase::witness_form;
use crate::work::header::HEADER_BYTES;
use crate::work::script::write_compact_size;
use crate::work::transaction::Transaction;

/// Header, count, coinbase in witness form, and the template's transactions as delivered.
/// `coinbase` is the form without witness, the one that was hashed.
pub fn serialize(
    header: &[u8; HEADER_BYTES],
    coinbase: &[u8],
    transactions: &[Arc<Transaction>],
) -> Vec<u8> {
    let size: usize = transactions.iter().map(|transaction| transaction.data.len()).sum();
    let mut block = Vec::with_capacity(HEADER_BYTES + 9 + coinbase.len() + 36 + size);
    block.extend(header);
    write_compact_size(&mut block, 1 + transactions.len());
    block.extend(witness_form(coinbase));
    for transaction in transactions {
        block.extend(&transaction.data);
    }
    block
}
