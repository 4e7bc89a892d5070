//! The merkle tree of a block whose first leaf, the coinbase, is not known yet.

use crate::sha256d::{HASH_BYTES, Hash, Kernel, sha256d_pair};

/// The branch that leads from the coinbase to the root: one hash per level, lowest first.
///
/// `txids` are in internal order, coinbase excluded. Source: `ComputeMerkleRoot` in
/// `src/consensus/merkle.cpp` (a level of odd length repeats its last hash); `mining.md` §6.1.
pub fn branch(txids: &[Hash]) -> Vec<Hash> {
    // The level without its first element, which depends on the coinbase.
    let mut rest = txids.to_vec();
    let mut branch = Vec::new();
    while let Some((&sibling, others)) = rest.split_first() {
        branch.push(sibling);
        let (pairs, odd) = others.as_chunks::<2>();
        let mut level = vec![[0; HASH_BYTES]; others.len().div_ceil(2)];
        let (whole, end) = level.split_at_mut(pairs.len());
        Kernel::best().sha256d_pairs(pairs, whole);
        if let ([last], [end]) = (odd, end) {
            *end = sha256d_pair(last, last);
        }
        rest = level;
    }
    branch
}

/// The root over the coinbase and what `branch` stands for.
pub fn fold(coinbase_txid: Hash, branch: &[Hash]) -> Hash {
    branch.iter().fold(coinbase_txid, |hash, sibling| sha256d_pair(&hash, sibling))
}

/// The root over all leaves, computed level by level: for the witness commitment, and to check a
/// finished block.
pub fn root(leaves: &[Hash]) -> Hash {
    match leaves.split_first() {
        Some((first, rest)) => fold(*first, &branch(rest)),
        None => [0; 32],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sha256d::sha256d;

    fn hash(hex: &str) -> Hash {
        const_hex::decode_to_array(hex).unwrap()
    }

    fn reversed(hex: &str) -> Hash {
        let mut hash = hash(hex);
        hash.reverse();
        hash
    }

    /// The tree as Core builds it: every level whole.
    fn whole_tree(leaves: &[Hash]) -> Hash {
        let mut level = leaves.to_vec();
        while level.len() > 1 {
            if level.len() % 2 == 1 {
                level.push(level[level.len() - 1]);
            }
            level = level.chunks(2).map(|pair| sha256d(&pair.concat())).collect();
        }
        level[0]
    }

    #[test]
    fn block_100000_folds_to_its_root() {
        let txids = [
            "8c14f0db3df150123e6f3dbbf30f8b955a8249b62ac1d1ff16284aefa3d06d87",
            "fff2525b8931402dd09222c50775608f75787bd2b87e56995a7bdd30f79702c4",
            "6359f0868171b1d194cbee1af2f16ea598ae8fad666d9b012c8ed2b79a236ec4",
            "e9a66845e05d5abc0ad04ec80f774a7e585c6e8db975962d069a522137b80c1d",
        ]
        .map(reversed);
        let found = branch(&txids[1..]);
        assert_eq!(
            found,
            [
                hash("c40297f730dd7b5a99567eb8d27b78758f607507c52292d02d4031895b52f2ff"),
                hash("49aef42d78e3e9999c9e6ec9e1dddd6cb880bf3b076a03be1318ca789089308e"),
            ]
        );
        assert_eq!(
            fold(txids[0], &found),
            reversed("f3e94742aca4b5ef85488dc37c06c3282295ffec960994b2c0d5ac2a25a95766")
        );
    }

    #[test]
    fn the_synthetic_vector_holds() {
        let found = branch(&[[1; 32], [2; 32], [3; 32], [4; 32]]);
        assert_eq!(
            found,
            [
                [1; 32],
                hash("1b12c142ca6fabe6cccf4aa52aff1f21882ec49da2dd4c1cf70abffcc45f591b"),
                hash("3547e8745811fe34f63dfd3fc9bb23958f3830f58c3d6d7f9511b661361f47cf"),
            ]
        );
        assert_eq!(
            fold([0xaa; 32], &found),
            hash("b7f8614741035fa44dde5416e7d727c3d11d8303aabb237aa58992250fef8126")
        );
    }

    #[test]
    fn a_branch_folds_to_the_whole_tree_for_any_count() {
        let leaves: Vec<Hash> = (0..66u32).map(|i| sha256d(&i.to_le_bytes())).collect();
        for count in 1..=leaves.len() {
            let expected = whole_tree(&leaves[..count]);
            assert_eq!(fold(leaves[0], &branch(&leaves[1..count])), expected, "{count} leaves");
            assert_eq!(root(&leaves[..count]), expected, "{count} leaves");
        }
    }
}
