//! Bitcoin addresses and the scripts they stand for (`mining.md` §5).

use bech32::primitives::decode::SegwitHrpstring;
use bech32::{Hrp, segwit};

use crate::sha256d::sha256d;

/// The network whose addresses are valid; chosen by `-network`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    Mainnet,
    Testnet,
    Signet,
    Regtest,
}

impl Network {
    pub const ALL: [Self; 4] = [Self::Mainnet, Self::Testnet, Self::Signet, Self::Regtest];

    /// The word of `-network`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mainnet => "mainnet",
            Self::Testnet => "testnet",
            Self::Signet => "signet",
            Self::Regtest => "regtest",
        }
    }

    /// Version bytes of P2PKH and P2SH addresses, and the prefix of segwit ones
    /// (`src/kernel/chainparams.cpp`).
    fn prefixes(self) -> (u8, u8, &'static str) {
        match self {
            Self::Mainnet => (0x00, 0x05, "bc"),
            Self::Testnet | Self::Signet => (0x6f, 0xc4, "tb"),
            Self::Regtest => (0x6f, 0xc4, "bcrt"),
        }
    }
}

/// Why a text is no address to pay to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    #[error("it is empty")]
    Empty,
    #[error("its checksum is wrong or it is no address at all")]
    Malformed,
    #[error("it belongs to another network")]
    WrongNetwork,
    #[error("its witness version or length is not one that can be paid to today")]
    Unsupported,
}

/// The scriptPubKey that pays `address` on `network`: P2PKH, P2SH, P2WPKH, P2WSH or P2TR.
///
/// Source: BIP-0173, BIP-0350, BIP-0341; `DecodeDestination` in `src/key_io.cpp`.
pub fn script_for(address: &str, network: Network) -> Result<Vec<u8>, AddressError> {
    let address = address.trim();
    if address.is_empty() {
        return Err(AddressError::Empty);
    }
    if let Some((hrp, _)) = address.rsplit_once('1')
        && ["bc", "tb", "bcrt"].iter().any(|known| hrp.eq_ignore_ascii_case(known))
    {
        return segwit_script(address, hrp, network);
    }
    base58_script(address, network)
}

fn segwit_script(address: &str, hrp: &str, network: Network) -> Result<Vec<u8>, AddressError> {
    let decoded = SegwitHrpstring::new(address).map_err(|_| AddressError::Malformed)?;
    if !hrp.eq_ignore_ascii_case(network.prefixes().2) {
        return Err(AddressError::WrongNetwork);
    }
    let program: Vec<u8> = decoded.byte_iter().collect();
    let opcode = match (decoded.witness_version().to_u8(), program.len()) {
        (0, 20 | 32) => 0x00,
        (1, 32) => 0x51,
        _ => return Err(AddressError::Unsupported),
    };
    let mut script = vec![opcode, program.len() as u8];
    script.extend(program);
    Ok(script)
}

fn base58_script(address: &str, network: Network) -> Result<Vec<u8>, AddressError> {
    let mut decoded = [0u8; 25];
    match bs58::decode(address).onto(&mut decoded) {
        Ok(25) => {}
        _ => return Err(AddressError::Malformed),
    }
    let (payload, checksum) = decoded.split_at(21);
    if sha256d(payload)[..4] != *checksum {
        return Err(AddressError::Malformed);
    }
    let (p2pkh, p2sh, _) = network.prefixes();
    let (version, hash) = (payload[0], &payload[1..]);
    if version == p2pkh {
        Ok([&[0x76, 0xa9, 0x14], hash, &[0x88, 0xac]].concat())
    } else if version == p2sh {
        Ok([&[0xa9, 0x14], hash, &[0x87]].concat())
    } else {
        Err(AddressError::WrongNetwork)
    }
}

/// The address that a script pays, if it is one that [`script_for`] makes.
pub fn address_of(script: &[u8], network: Network) -> Option<String> {
    let (p2pkh, p2sh, hrp) = network.prefixes();
    let base58 = |version: u8, hash: &[u8]| {
        let payload = [&[version], hash].concat();
        let checksum = sha256d(&payload);
        bs58::encode([&payload, &checksum[..4]].concat()).into_string()
    };
    match script {
        [0x76, 0xa9, 0x14, hash @ .., 0x88, 0xac] if hash.len() == 20 => Some(base58(p2pkh, hash)),
        [0xa9, 0x14, hash @ .., 0x87] if hash.len() == 20 => Some(base58(p2sh, hash)),
        [opcode, length, program @ ..] if usize::from(*length) == program.len() => {
            let version = match (opcode, program.len()) {
                (0x00, 20 | 32) => segwit::VERSION_0,
                (0x51, 32) => segwit::VERSION_1,
                _ => return None,
            };
            segwit::encode(Hrp::parse(hrp).ok()?, version, program).ok()
        }
        _ => None,
    }
}

/// The part of a worker name that is its wallet, reduced to what an address may hold
/// (`mining.md` §5.4).
pub fn wallet_of(worker: &str) -> String {
    let wallet = worker.trim().split('.').next().unwrap_or_default();
    wallet.chars().filter(char::is_ascii_alphanumeric).collect()
}

/// One spelling of a wallet: BIP-0173 addresses may be written in either case, others may not.
pub fn one_spelling(wallet: &str) -> String {
    let lower = wallet.to_ascii_lowercase();
    let is_segwit = ["bc1", "tb1", "bcrt1"].iter().any(|prefix| lower.starts_with(prefix));
    if is_segwit { lower } else { wallet.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use AddressError::{Malformed, Unsupported, WrongNetwork};
    use Network::{Mainnet, Regtest, Signet, Testnet};

    #[track_caller]
    fn pays(address: &str, networks: &[Network], script: &str) {
        for network in Network::ALL {
            let found = script_for(address, network).map(const_hex::encode);
            if networks.contains(&network) {
                assert_eq!(found.as_deref(), Ok(script), "{address} on {}", network.name());
                let bytes = const_hex::decode(script).unwrap();
                let back = address_of(&bytes, network);
                assert_eq!(back.as_deref(), Some(&*one_spelling(address)), "and back");
            } else {
                assert_eq!(found, Err(WrongNetwork), "{address} on {}", network.name());
            }
        }
    }

    #[test]
    fn every_type_of_address_is_paid_on_its_networks_only() {
        const TESTS: &[Network] = &[Testnet, Signet, Regtest];
        const TB: &[Network] = &[Testnet, Signet];
        for (address, networks, script) in [
            (
                "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa",
                &[Mainnet][..],
                "76a91462e907b15cbf27d5425399ebf6f0fb50ebb88f1888ac",
            ),
            (
                "3EktnHQD7RiAE6uzMj2ZifT9YgRrkSgzQX",
                &[Mainnet],
                "a9148f55563b9a19f321c211e9b9f38cdf686ea0784587",
            ),
            (
                "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4",
                &[Mainnet],
                "0014751e76e8199196d454941c45d1b3a323f1433bd6",
            ),
            (
                "BC1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KV8F3T4",
                &[Mainnet],
                "0014751e76e8199196d454941c45d1b3a323f1433bd6",
            ),
            (
                "bc1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3qccfmv3",
                &[Mainnet],
                "00201863143c14c5166804bd19203356da136c985678cd4d27a1b8c6329604903262",
            ),
            (
                "bc1p5cyxnuxmeuwuvkwfem96lqzszd02n6xdcjrs20cac6yqjjwudpxqkedrcr",
                &[Mainnet],
                "5120a60869f0dbcf1dc659c9cecbaf8050135ea9e8cdc487053f1dc6880949dc684c",
            ),
            (
                "mipcBbFg9gMiCh81Kj8tqqdgoZub1ZJRfn",
                TESTS,
                "76a914243f1394f44554f4ce3fd68649c19adc483ce92488ac",
            ),
            (
                "2N3oefVeg6stiTb5Kh3ozCSkaqmx91FDbsm",
                TESTS,
                "a91473d32ac9e4330a071ee1b3a9ccf3997bdd4174d087",
            ),
            (
                "tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx",
                TB,
                "0014751e76e8199196d454941c45d1b3a323f1433bd6",
            ),
            (
                "tb1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vq47zagq",
                TB,
                "512079be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798",
            ),
            (
                "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080",
                &[Regtest],
                "0014751e76e8199196d454941c45d1b3a323f1433bd6",
            ),
        ] {
            pays(address, networks, script);
        }
    }

    #[test]
    fn what_cannot_be_paid_is_refused_with_its_reason() {
        for (address, reason) in [
            ("1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNb", Malformed),
            ("bc1p5cyxnuxmeuwuvkwfem96lqzszd02n6xdcjrs20cac6yqjjwudpxqkedrxx", Malformed),
            ("bc1sw50qgdz25j", Unsupported),
            ("bc1zw508d6qejxtdg4y5r3zarvaryvaxxpcs", Unsupported),
            (
                "bc1pw508d6qejxtdg4y5r3zarvary0c5xw7kw508d6qejxtdg4y5r3zarvary0c5xw7kt5nd6y",
                Unsupported,
            ),
            ("bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kV8F3T4", Malformed),
            ("0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798", Malformed),
            ("notawallet", Malformed),
            ("", AddressError::Empty),
            ("  ", AddressError::Empty),
        ] {
            assert_eq!(script_for(address, Mainnet), Err(reason), "{address}");
        }
    }

    #[test]
    fn a_wallet_ends_at_the_first_dot() {
        assert_eq!(wallet_of(" bc1qabc.rig.2 "), "bc1qabc");
        assert_eq!(wallet_of("bc1q-abc_"), "bc1qabc");
        assert_eq!(wallet_of(".rig"), "");
    }
    #[test]
    fn only_segwit_addresses_have_more_than_one_spelling() {
        for wallet in ["BC1QABC", "bc1qabc", "Bc1Qabc", "tb1qABC", "BCRT1Qabc"] {
            assert_eq!(one_spelling(wallet), wallet.to_ascii_lowercase());
        }
        for wallet in ["1BoatSLRHtKNngkdXEeobR76b53LETtpyT", "BC", ""] {
            assert_eq!(one_spelling(wallet), wallet);
        }
    }
}
