//! What workers and wallets are kept and looked up by: hashes of their names
//! (`state-and-services.md` §2.1, §2.2).

use gopool_shards::work::address::{one_spelling, wallet_of};
use sha2::{Digest, Sha256};

/// SHA-256 of a worker's name or of a wallet.
pub type NameHash = [u8; 32];

/// Of a trimmed worker name.
pub fn worker_hash(name: &str) -> NameHash {
    Sha256::digest(name.trim().as_bytes()).into()
}

/// The same as text, as it is in the database and in addresses of pages; empty for an empty name.
pub fn worker_hash_hex(name: &str) -> String {
    match name.trim() {
        "" => String::new(),
        name => const_hex::encode(worker_hash(name)),
    }
}

/// The wallet that a worker name begins with, or is, in the spelling that all who mean it share
/// (FIX-6): up to the first dot, without what no address may hold.
pub fn base_wallet(name: &str) -> String {
    one_spelling(&wallet_of(name))
}

/// Of the wallet that a worker name begins with, or is.
pub fn wallet_hash(name: &str) -> NameHash {
    Sha256::digest(base_wallet(name).as_bytes()).into()
}

/// Whether a text may be a SHA-256 in hex, in either case.
pub fn is_hash_hex(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    const WALLET: &str = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4";
    const WALLET_HASH: &str = "6cd42dab0217b54fdf5df95b892f055d2a462baa8c0b269e71e4ba6ec65ca66b";

    #[test]
    fn workers_are_hashed_as_the_specification_says() {
        for (worker, hash) in [
            (
                &*format!("{WALLET}.rig1"),
                "da48b650063a9ef89f53382e4f7bf49ce6805ca428be7f8604e89908436fb97e",
            ),
            (
                &*format!("{WALLET}.rig-01"),
                "8ad208962bd66a645cda81747e0200f8c4d87afe1dbd184a9f6365edc93dae2b",
            ),
            (WALLET, WALLET_HASH),
            (" worker1 ", "34aa1081c5b63c28d0343512980e8df6c079c858172b7f5a5272b8e0605b90ad"),
            (" TestWorker ", "3410a25568245de5872b2d2dc623a4e8a6e8b738418f550aedccbb65619cd8cc"),
        ] {
            assert_eq!(worker_hash_hex(worker), hash, "{worker}");
            assert_eq!(const_hex::encode(worker_hash(worker)), hash, "{worker}");
        }
        assert_eq!(worker_hash_hex(" "), "");
    }

    #[test]
    fn all_names_of_a_wallet_have_its_hash() {
        for name in [WALLET, &format!(" {WALLET}.rig-01"), &WALLET.to_uppercase()] {
            assert_eq!(base_wallet(name), WALLET);
            assert_eq!(const_hex::encode(wallet_hash(name)), WALLET_HASH, "{name}");
        }
        assert_eq!(
            const_hex::encode(wallet_hash("bc1qexample.worker1")),
            "d00e513db104e31406e7abce09a028f8725955d4edbca93bae87aae75f0330bd"
        );
        assert_ne!(wallet_hash("1Boat.x"), wallet_hash("1boat"), "base58 is not folded");
        assert_eq!(base_wallet("1Boat-_ü.x"), "1Boat");
    }

    #[test]
    fn a_hash_is_64_hex_digits() {
        assert!(is_hash_hex(WALLET_HASH) && is_hash_hex(&WALLET_HASH.to_uppercase()));
        for text in ["", "pool", &WALLET_HASH[1..], &format!("{WALLET_HASH}0"), &"g".repeat(64)] {
            assert!(!is_hash_hex(text), "{text}");
        }
    }
}
