//! Wallets nobody has: every miner is paid at an address of its own, as strangers would be.

use crate::node::sha256d;

const DIGITS: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";
const PREFIX: &str = "bc";

/// The name under which the miner of that number mines.
pub fn worker(number: usize) -> String {
    format!("{}.f{number:05}", address(number))
}

/// A mainnet address of version 0 for a key hash that is nobody's (BIP-0173).
pub fn address(number: usize) -> String {
    let key_hash = sha256d(format!("gopool-flood {number}").as_bytes());
    encode(&key_hash[..20])
}

fn encode(program: &[u8]) -> String {
    let mut values = vec![0u8];
    let (mut bits, mut count) = (0u32, 0);
    for byte in program {
        bits = bits << 8 | u32::from(*byte);
        count += 8;
        while count >= 5 {
            count -= 5;
            values.push((bits >> count & 31) as u8);
        }
    }
    if count > 0 {
        values.push((bits << (5 - count) & 31) as u8);
    }
    let mut checked: Vec<u8> = PREFIX.bytes().map(|byte| byte >> 5).collect();
    checked.push(0);
    checked.extend(PREFIX.bytes().map(|byte| byte & 31));
    checked.extend(&values);
    checked.extend([0; 6]);
    let checksum = polymod(&checked) ^ 1;
    values.extend((0..6).map(|place| (checksum >> (25 - 5 * place) & 31) as u8));
    let text = values.iter().map(|value| char::from(DIGITS[usize::from(*value)]));
    format!("{PREFIX}1{}", text.collect::<String>())
}

fn polymod(values: &[u8]) -> u32 {
    const GENERATOR: [u32; 5] = [0x3b6a_57b2, 0x2650_8e6d, 0x1ea1_19fa, 0x3d42_33dd, 0x2a14_62b3];
    values.iter().fold(1, |checksum, value| {
        let shifted = (checksum & 0x01ff_ffff) << 5 ^ u32::from(*value);
        let taps = GENERATOR.iter().enumerate();
        taps.fold(
            shifted,
            |sum, (bit, tap)| {
                if checksum >> (25 + bit) & 1 == 1 { sum ^ tap } else { sum }
            },
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// BIP-0173's example.
    #[test]
    fn the_address_of_a_known_key() {
        let program = const_hex::decode("751e76e8199196d454941c45d1b3a323f1433bd6").unwrap();
        assert_eq!(encode(&program), "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4");
    }

    #[test]
    fn the_pool_pays_all_of_them() {
        use gopool_shards::work::address::{Network, script_for};
        for number in [0, 1, 9_999, 100_000] {
            assert!(script_for(&address(number), Network::Mainnet).is_ok());
            assert!(worker(number).starts_with(&address(number)));
        }
    }
}
