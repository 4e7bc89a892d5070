//! How fast does each kernel hash, by how many messages it is given at a time? The floor is the
//! `sha2` crate, one message after the other.

use std::hint::black_box;

use clap::Parser;
use gopool_bench::station::{Arguments, Station};
use gopool_shards::sha256d::{Hash, Kernel};
use sha2::{Digest, Sha256};

const COINBASE_BYTES: usize = 270;
const HEADER_BYTES: usize = 80;
const LEVELS: usize = 12;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments = Arguments::parse();
    let mut station = Station::new("sha256d", &arguments);
    for kernel in arguments.kernels()? {
        measure(&mut station, kernel);
    }
    station.finish()?;
    Ok(())
}

fn measure(station: &mut Station, kernel: Kernel) {
    let bytes: Vec<u8> = (0..1 << 16u32).map(|i| (i * i + 31 * i + 7) as u8).collect();
    let (hashes, _) = bytes.as_chunks::<32>();
    let name = kernel.name();
    let branch = &hashes[..LEVELS];
    for count in [1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 64] {
        let leaves = &hashes[..count];
        let branches = vec![branch; count];
        let expected: Vec<Hash> = leaves.iter().map(|leaf| fold(*leaf, branch)).collect();
        let mut found = leaves.to_vec();
        kernel.fold_each(&mut found, &branches);
        assert_eq!(found, expected);
        station.compare(
            &format!("{name}: {LEVELS} levels, {count} at a time"),
            count,
            || leaves.iter().for_each(|leaf| _ = black_box(fold(*leaf, black_box(branch)))),
            || kernel.fold_each(black_box(&mut found), black_box(&branches)),
        );
    }
    for (what, length) in [("coinbases", COINBASE_BYTES), ("headers", HEADER_BYTES)] {
        let messages: Vec<&[u8]> = (0..16).map(|i| &bytes[i * 300..i * 300 + length]).collect();
        let mut found = [[0; 32]; 16];
        kernel.sha256d_each(&messages, &mut found);
        assert!(found.iter().zip(&messages).all(|(hash, message)| *hash == double(message)));
        station.compare(
            &format!("{name}: {what} of {length} bytes, 16 at a time"),
            16,
            || messages.iter().for_each(|message| _ = black_box(double(black_box(message)))),
            || kernel.sha256d_each(black_box(&messages), black_box(&mut found)),
        );
    }
}

fn double(message: &[u8]) -> Hash {
    Sha256::digest(Sha256::digest(message)).into()
}

fn fold(leaf: Hash, branch: &[Hash]) -> Hash {
    branch.iter().fold(leaf, |hash, sibling| {
        let mut both = [0; 64];
        both[..32].copy_from_slice(&hash);
        both[32..].copy_from_slice(sibling);
        double(&both)
    })
}
