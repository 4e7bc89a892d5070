//! A coinbase read back from its bytes, as anybody could who does not believe the pool
//! (`web.md` A.6).

use gopool_shards::work::reader::{Reader, Truncated};

/// Begins the script of an output that commits to witnesses (BIP-0141).
const WITNESS_COMMITMENT: [u8; 6] = [0x6a, 0x24, 0xaa, 0x21, 0xa9, 0xed];

/// What a coinbase without its witness says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coinbase {
    pub version: i32,
    /// As BIP-0034 has it in the script; none when it does not begin with a number.
    pub height: Option<u64>,
    pub outputs: Vec<Output>,
    pub locktime: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    pub sats: u64,
    pub script: Vec<u8>,
}

impl Output {
    pub fn is_witness_commitment(&self) -> bool {
        self.script.starts_with(&WITNESS_COMMITMENT)
    }
}

impl Coinbase {
    /// Reads exactly one.
    pub fn parse(bytes: &[u8]) -> Result<Self, Truncated> {
        let mut reader = Reader(bytes);
        let version = reader.number(4)? as u32;
        if reader.compact_size()? != 1 {
            return Err(Truncated);
        }
        reader.take(36)?;
        let script = reader.take_sized()?;
        reader.take(4)?;
        let mut outputs = Vec::new();
        for _ in 0..reader.compact_size()? {
            let sats = reader.number(8)?;
            outputs.push(Output { sats, script: reader.take_sized()?.to_vec() });
        }
        let locktime = reader.number(4)? as u32;
        match reader.0 {
            [] => Ok(Self {
                version: version.cast_signed(),
                height: height(script),
                outputs,
                locktime,
            }),
            _ => Err(Truncated),
        }
    }

    pub fn total(&self) -> u64 {
        self.outputs.iter().map(|output| output.sats).fold(0, u64::saturating_add)
    }
}

/// Small heights are one opcode, others a push of up to four bytes.
fn height(script: &[u8]) -> Option<u64> {
    match *script.first()? {
        opcode @ 0x51..=0x60 => Some(u64::from(opcode - 0x50)),
        length @ 1..=4 => Reader(&script[1..]).number(usize::from(length)).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of block 170, whose coinbase is older than BIP-0034.
    const OLD: &str = "01000000010000000000000000000000000000000000000000000000000000000000000000ffff\
                       ffff0704ffff001d0102ffffffff0100f2052a01000000434104d46c4968bde02899d2aa0963\
                       367c7a6ce34eec332b32e42e5f3407e052d64ac625da6f0718e7b302140434bd725706957c09\
                       2db53805b821a85b23a7ac61725bac00000000";

    #[test]
    fn a_real_coinbase_is_read() {
        let bytes = const_hex::decode(OLD.replace(' ', "")).unwrap();
        let coinbase = Coinbase::parse(&bytes).unwrap();
        assert_eq!((coinbase.version, coinbase.locktime), (1, 0));
        assert_eq!((coinbase.outputs.len(), coinbase.total()), (1, 5_000_000_000));
        assert!(!coinbase.outputs[0].is_witness_commitment());
        for end in 0..bytes.len() {
            assert_eq!(Coinbase::parse(&bytes[..end]), Err(Truncated), "cut at {end}");
        }
        assert_eq!(Coinbase::parse(&[&bytes[..], &[0]].concat()), Err(Truncated));
    }

    #[test]
    fn heights_are_read_as_bip_0034_writes_them() {
        for (script, expected) in [
            (&[0x51][..], Some(1)),
            (&[0x60, 1], Some(16)),
            (&[0x01, 0x11], Some(17)),
            (&[0x03, 0x40, 0x0d, 0x03], Some(200_000)),
            (&[0x03, 0x40], None),
            (&[0x08, 1, 2, 3, 4, 5, 6, 7, 8], None),
            (&[], None),
        ] {
            assert_eq!(height(script), expected, "{script:?}");
        }
    }
}
