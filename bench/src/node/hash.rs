//! Bitcoin's hashing with a library that the pool's data path does not use.

use sha2::{Digest, Sha256};

/// In internal byte order.
pub type Hash = [u8; 32];

pub fn sha256d(bytes: &[u8]) -> Hash {
    Sha256::digest(Sha256::digest(bytes)).into()
}

/// The root over `leaves`; of none it is zero. A row of odd length repeats its last hash.
pub fn merkle_root(leaves: &[Hash]) -> Hash {
    let mut row = leaves.to_vec();
    while row.len() > 1 {
        row =
            row.chunks(2).map(|pair| sha256d(&[pair[0], pair[pair.len() - 1]].concat())).collect();
    }
    row.first().copied().unwrap_or_default()
}

/// As people read a hash: the last byte first.
pub fn display_hex(hash: &Hash) -> String {
    let mut reversed = *hash;
    reversed.reverse();
    const_hex::encode(reversed)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The transactions of block 170, the first one with a payment in it.
    #[test]
    fn the_root_of_a_known_block() {
        let leaf = |hex: &str| {
            let mut hash: Hash = const_hex::decode_to_array(hex).unwrap();
            hash.reverse();
            hash
        };
        let leaves = [
            leaf("b1fea52486ce0c62bb442b530a3f0132b826c74e473d1f2c220bfa78111c5082"),
            leaf("f4184fc596403b9d638783cf57adfe4c75c605f6356fbc91338530e9831e9e16"),
        ];
        let root = "7dac2c5666815c17a3b36427de37bb9d2e2c5ccec3f8633eb91a4205cb4c10ff";
        assert_eq!(display_hex(&merkle_root(&leaves)), root);
        assert_eq!(merkle_root(&leaves[..1]), leaves[0]);
    }
}
