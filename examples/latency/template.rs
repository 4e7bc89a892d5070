//! A `getblocktemplate` answer like mainnet's: segwit transactions of a few hundred bytes, with the
//! ids and the commitment that belong to them, in the layout Core writes.

use std::fmt::Write;

use gopool_shards::sha256d::{Hash, sha256d, sha256d_pair};
use gopool_shards::work::header::display_hex;
use gopool_shards::work::merkle;
use gopool_shards::work::transaction::Transaction;

/// Nearly every second hash is a block.
pub const BITS: u32 = 0x207f_ffff;

/// What stands in an answer's body up to the request's id, and what a found block must end with.
pub struct Template {
    pub body: Vec<u8>,
    pub transactions_hex: String,
    pub prev_hash: Hash,
}

/// Numbers that look random and are the same in every run (Marsaglia's xorshift).
pub struct Random(pub u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn fill(&mut self, out: &mut Vec<u8>, count: usize) {
        for _ in 0..count.div_ceil(8) {
            out.extend(self.next().to_le_bytes());
        }
        out.truncate(out.len() - (count.div_ceil(8) * 8 - count));
    }
}

/// One to three inputs with a signature and a key each, one to seven outputs: 430 bytes on average.
pub fn transaction(random: &mut Random) -> Transaction {
    let inputs = 1 + random.below(3);
    let mut data = vec![2, 0, 0, 0, 0, 1];
    data.push(inputs as u8);
    for _ in 0..inputs {
        random.fill(&mut data, 36);
        data.push(0);
        data.extend([0xfd, 0xff, 0xff, 0xff]);
    }
    let outputs = 1 + random.below(7);
    data.push(outputs as u8);
    for _ in 0..outputs {
        random.fill(&mut data, 8);
        data.extend([22, 0, 20]);
        random.fill(&mut data, 20);
    }
    for _ in 0..inputs {
        data.extend([2, 72]);
        random.fill(&mut data, 72);
        data.push(33);
        random.fill(&mut data, 33);
    }
    data.extend([0; 4]);
    Transaction::parse(data).expect("it is written as it is read")
}

impl Template {
    pub fn new(prev_hash: Hash, height: u64, transactions: &[Transaction]) -> Self {
        let mut leaves = vec![[0; 32]];
        leaves.extend(transactions.iter().map(|transaction| transaction.wtxid));
        let commitment = sha256d_pair(&merkle::root(&leaves), &[0; 32]);
        let prev_hash_hex = display_hex(&prev_hash);
        let mut body = format!(
            r#"{{"result":{{"capabilities":["proposal"],"version":536870912,"rules":["csv","!segwit","taproot"],"vbavailable":{{}},"vbrequired":0,"previousblockhash":"{prev_hash_hex}","transactions":["#
        );
        let mut transactions_hex = String::new();
        for (index, Transaction { data, txid, wtxid }) in transactions.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            let hex = const_hex::encode(data);
            let (txid, wtxid) = (display_hex(txid), display_hex(wtxid));
            write!(
                body,
                r#"{comma}{{"data":"{hex}","txid":"{txid}","hash":"{wtxid}","depends":[],"fee":{},"sigops":4,"weight":{}}}"#,
                1000 + index,
                data.len() * 3,
            )
            .expect("a string takes everything");
            transactions_hex += &hex;
        }
        let commitment = const_hex::encode(commitment);
        write!(
            body,
            r#"],"coinbaseaux":{{}},"coinbasevalue":318759331,"longpollid":"{prev_hash_hex}1","target":"7fffff0000000000000000000000000000000000000000000000000000000000","mintime":1700000000,"mutable":["time","transactions","prevblock"],"noncerange":"00000000ffffffff","sigoplimit":80000,"sizelimit":4000000,"weightlimit":4000000,"curtime":{},"bits":"{BITS:08x}","height":{height},"default_witness_commitment":"6a24aa21a9ed{commitment}"}},"error":null,"id":"#,
            unix_now(),
        )
        .expect("a string takes everything");
        Self { body: body.into_bytes(), transactions_hex, prev_hash }
    }

    /// The hash of a block that nobody has mined.
    pub fn prev_hash_of(height: u64) -> Hash {
        sha256d(&height.to_le_bytes())
    }
}

fn unix_now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.expect("a clock after 1970").as_secs()
}
