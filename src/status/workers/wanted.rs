//! Which worker or wallet a request is about (`web.md` §7.1, §7.2).

use crate::identity::{NameHash, base_wallet, is_hash_hex, wallet_hash, worker_hash};

/// Longer names are nobody's.
const NAME_BYTES_MAX: usize = 256;
const VALUE_BYTES_MAX: usize = 1024;

/// What is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    Hash(NameHash),
    /// Nothing was given.
    Nothing,
}

/// Why it cannot be looked for, as people read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    #[error("A hash has 64 digits from 0 to 9 and a to f.")]
    Hash,
    #[error("That is too long: a name has at most 256 bytes.")]
    TooLong,
    #[error("There is no wallet in that: it begins with letters or digits.")]
    NoWallet,
}

/// What the name of a thing is turned into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Worker,
    Wallet,
}

impl Wanted {
    /// Of the two fields of a form: a hash wins over a name.
    pub fn of(hash: &str, name: &str, kind: Kind) -> Result<Self, Malformed> {
        let (hash, name) = (hash.trim(), name.trim());
        if !hash.is_empty() {
            return parse(hash).map(Self::Hash).ok_or(Malformed::Hash);
        }
        if name.is_empty() {
            return Ok(Self::Nothing);
        }
        if name.len() > VALUE_BYTES_MAX || kind == Kind::Worker && name.len() > NAME_BYTES_MAX {
            return Err(Malformed::TooLong);
        }
        if name.len() == 64 {
            // Nothing else that is looked for is as long.
            return parse(name).map(Self::Hash).ok_or(Malformed::Hash);
        }
        match kind {
            Kind::Worker => Ok(Self::Hash(worker_hash(name))),
            Kind::Wallet if base_wallet(name).is_empty() => Err(Malformed::NoWallet),
            Kind::Wallet => Ok(Self::Hash(wallet_hash(name))),
        }
    }

    /// The wallet that `/user/<id>` or `/stats/<id>` is about: the first part of what follows, decoded.
    pub fn of_path(id: &str) -> Result<Self, Malformed> {
        let id = first_segment(id);
        if id.len() > NAME_BYTES_MAX {
            return Err(Malformed::TooLong);
        }
        match base_wallet(id) {
            wallet if wallet.is_empty() => Err(Malformed::NoWallet),
            wallet => Ok(Self::Hash(wallet_hash(&wallet))),
        }
    }

    /// `/users/<hash>` names the hash itself.
    pub fn of_hash_path(id: &str) -> Result<Self, Malformed> {
        parse(first_segment(id)).map(Self::Hash).ok_or(Malformed::Hash)
    }
}

fn first_segment(id: &str) -> &str {
    id.split('/').next().unwrap_or_default().trim()
}

fn parse(hash: &str) -> Option<NameHash> {
    is_hash_hex(hash).then(|| const_hex::decode_to_array(hash).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    const WALLET: &str = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4";
    const WALLET_HASH: &str = "6cd42dab0217b54fdf5df95b892f055d2a462baa8c0b269e71e4ba6ec65ca66b";
    const WORKER_HASH: &str = "8ad208962bd66a645cda81747e0200f8c4d87afe1dbd184a9f6365edc93dae2b";

    fn hex(wanted: Result<Wanted, Malformed>) -> String {
        match wanted {
            Ok(Wanted::Hash(hash)) => const_hex::encode(hash),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn paths_and_forms_lead_to_the_same_wallet() {
        let rig = format!("{WALLET}.rig-01");
        for id in [&*rig, WALLET, &WALLET.to_uppercase(), &format!("{rig}/more")] {
            assert_eq!(hex(Wanted::of_path(id)), WALLET_HASH, "{id}");
        }
        assert_eq!(hex(Wanted::of_hash_path(&WALLET_HASH.to_uppercase())), WALLET_HASH);
        assert_eq!(hex(Wanted::of("", &rig, Kind::Wallet)), WALLET_HASH);
        assert_eq!(hex(Wanted::of("", &format!(" {rig} "), Kind::Worker)), WORKER_HASH);
        assert_eq!(hex(Wanted::of("", WALLET_HASH, Kind::Worker)), WALLET_HASH);
        assert_eq!(hex(Wanted::of(WORKER_HASH, "ignored", Kind::Worker)), WORKER_HASH);
    }

    #[test]
    fn what_cannot_be_looked_for_is_said() {
        assert_eq!(Wanted::of(" ", "", Kind::Worker), Ok(Wanted::Nothing));
        for (wanted, error) in [
            (Wanted::of("abc", "", Kind::Worker), Malformed::Hash),
            (Wanted::of(&"g".repeat(64), "", Kind::Worker), Malformed::Hash),
            (Wanted::of("", &"g".repeat(64), Kind::Wallet), Malformed::Hash),
            (Wanted::of("", &"w".repeat(257), Kind::Worker), Malformed::TooLong),
            (Wanted::of("", &"w".repeat(1025), Kind::Wallet), Malformed::TooLong),
            (Wanted::of("", ".rig", Kind::Wallet), Malformed::NoWallet),
            (Wanted::of_path(""), Malformed::NoWallet),
            (Wanted::of_path(&"w".repeat(257)), Malformed::TooLong),
            (Wanted::of_hash_path(WALLET), Malformed::Hash),
        ] {
            assert_eq!(wanted, Err(error));
        }
    }
}
