//! The coinbase transaction: what every miner of the pool hashes, and what a block pays
//! (`mining.md` §4).
//!
//! It is written in two halves around the place where the miner puts its extranonces; the halves
//! are a pure function of the job, the payee and the number of the notify, so what a share is
//! judged by is what its miner was told, byte for byte.

use crate::limits::{
    COINBASE_SCRIPT_BYTES_MAX, EXTRANONCE_PUSH_MAX, EXTRANONCE1_BYTES, EXTRANONCE2_BYTES_MAX,
};
use crate::work::payout::{PayoutPolicy, Split};
use crate::work::script::{NumberPush, number_push, write_compact_size};
use crate::work::tag;

/// Version, one input, no previous output.
const START: [u8; 41] = {
    let mut bytes = [0; 41];
    bytes[0] = 1;
    bytes[4] = 1;
    let mut i = 37;
    while i < 41 {
        bytes[i] = 0xff;
        i += 1;
    }
    bytes
};
const SEQUENCE: [u8; 4] = [0; 4];
const LOCKTIME: [u8; 4] = [0; 4];

/// What all coinbases of one job have in common.
#[derive(Clone, Debug)]
pub struct CoinbaseTemplate {
    /// Height push and the node's flags.
    script_start: Vec<u8>,
    /// Unix seconds at which the job was built; each notify adds its number, so that no two
    /// coinbases of a connection are alike.
    script_time: u64,
    tag: Option<String>,
    extranonce2_size: usize,
    /// Zero bytes before extranonce1.
    padding: usize,
    witness_commitment: Vec<u8>,
    pub value: u64,
}

/// What a coinbase template is made of.
#[derive(Clone, Debug)]
pub struct CoinbaseInputs<'a> {
    pub height: u64,
    pub flags: &'a [u8],
    pub script_time: u64,
    pub tag: &'a str,
    /// Limit of the whole script, 1 to 100; anything else means 100.
    pub script_bytes_max: usize,
    pub extranonce2_size: usize,
    /// Bytes the extranonce2 push has room for; raised to `extranonce2_size`.
    pub template_extranonce2_size: usize,
    pub witness_commitment: &'a [u8],
    pub value: u64,
}

/// Why no coinbase can be built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CoinbaseError {
    #[error("the coinbase script would be {found} bytes, at most 100 are allowed")]
    ScriptTooLong { found: usize },
    #[error("extranonce sizes {found} do not fit a push of at most 75 bytes")]
    ExtranonceTooLong { found: usize },
}

impl CoinbaseTemplate {
    pub fn new(inputs: &CoinbaseInputs<'_>) -> Result<Self, CoinbaseError> {
        let extranonce2_size = inputs.extranonce2_size;
        let room = inputs.template_extranonce2_size.max(extranonce2_size);
        if extranonce2_size > EXTRANONCE2_BYTES_MAX
            || EXTRANONCE1_BYTES + room > EXTRANONCE_PUSH_MAX
        {
            return Err(CoinbaseError::ExtranonceTooLong { found: EXTRANONCE1_BYTES + room });
        }
        let mut script_start = number_push(inputs.height).to_vec();
        script_start.extend(inputs.flags);
        let mut template = Self {
            script_start,
            script_time: inputs.script_time,
            tag: None,
            extranonce2_size,
            padding: room - extranonce2_size,
            witness_commitment: inputs.witness_commitment.to_vec(),
            value: inputs.value,
        };
        let fixed = template.script_bytes(&template.time_push(0));
        if fixed > COINBASE_SCRIPT_BYTES_MAX {
            return Err(CoinbaseError::ScriptTooLong { found: fixed });
        }
        let limit = match inputs.script_bytes_max {
            limit @ 1..=COINBASE_SCRIPT_BYTES_MAX => limit,
            _ => COINBASE_SCRIPT_BYTES_MAX,
        };
        template.tag = tag::clamp(inputs.tag, limit.saturating_sub(fixed)).map(str::to_owned);
        Ok(template)
    }

    pub fn extranonce2_size(&self) -> usize {
        self.extranonce2_size
    }

    /// Appends what stands before the extranonces: Stratum's `coinb1`. `sequence` is the number
    /// of the notify on its connection, from 1.
    pub fn write_prefix(&self, out: &mut Vec<u8>, sequence: u32) {
        let time_push = self.time_push(sequence);
        out.extend(START);
        write_compact_size(out, self.script_bytes(&time_push));
        out.extend(&self.script_start);
        out.extend(&time_push);
        out.push(self.extranonce_push_bytes() as u8);
        out.extend(std::iter::repeat_n(0, self.padding));
    }

    /// Appends what stands after the extranonces: Stratum's `coinb2`.
    pub fn write_suffix(&self, out: &mut Vec<u8>, policy: &PayoutPolicy, worker_script: &[u8]) {
        if let Some(tag) = &self.tag {
            out.push(tag.len() as u8);
            out.extend(tag.as_bytes());
        }
        out.extend(SEQUENCE);
        let split = self.split(policy, worker_script);
        let payouts = policy.outputs(&split, worker_script);
        write_compact_size(out, payouts.len() + 1);
        write_output(out, 0, &self.witness_commitment);
        for (value, script) in payouts {
            write_output(out, value, script);
        }
        out.extend(LOCKTIME);
    }

    /// What a block with this coinbase pays whom.
    pub fn split(&self, policy: &PayoutPolicy, worker_script: &[u8]) -> Split {
        policy.split(self.value, worker_script)
    }

    fn time_push(&self, sequence: u32) -> NumberPush {
        number_push(self.script_time + u64::from(sequence))
    }

    fn script_bytes(&self, time_push: &[u8]) -> usize {
        let tag = self.tag.as_ref().map_or(0, |tag| 1 + tag.len());
        self.script_start.len() + time_push.len() + 1 + self.extranonce_push_bytes() + tag
    }

    fn extranonce_push_bytes(&self) -> usize {
        EXTRANONCE1_BYTES + self.padding + self.extranonce2_size
    }
}

fn write_output(out: &mut Vec<u8>, value: u64, script: &[u8]) {
    out.extend(value.to_le_bytes());
    write_compact_size(out, script.len());
    out.extend(script);
}

/// The witness form of a coinbase: marker, flag and the reserved value (BIP-0141). Its txid is
/// that of the form given.
///
/// # Panics
/// When `coinbase` is shorter than a version and a locktime: the caller's bug.
pub fn witness_form(coinbase: &[u8]) -> Vec<u8> {
    let (version, rest) = coinbase.split_at(4);
    let (body, locktime) = rest.split_at(rest.len() - 4);
    let reserved = [0u8; 32];
    [version, &[0x00, 0x01], body, &[0x01, 0x20], &reserved, locktime].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inputs<'a>() -> CoinbaseInputs<'a> {
        CoinbaseInputs {
            height: 840_000,
            flags: &[],
            script_time: 1_713_571_767,
            tag: "/goPool/ABCD-1234",
            script_bytes_max: 100,
            extranonce2_size: 4,
            template_extranonce2_size: 8,
            witness_commitment: &[0x6a],
            value: 1000,
        }
    }

    fn script_length(inputs: &CoinbaseInputs<'_>) -> Result<usize, CoinbaseError> {
        CoinbaseTemplate::new(inputs).map(|t| t.script_bytes(&t.time_push(1)))
    }

    #[test]
    fn the_default_script_is_forty_bytes() {
        assert_eq!(script_length(&inputs()), Ok(40));
    }

    #[test]
    fn no_limit_and_no_flags_make_a_script_longer_than_consensus_allows() {
        let flags = [7u8; 90];
        for limit in 0..=101 {
            for flag_bytes in 0..=60 {
                let inputs = CoinbaseInputs {
                    script_bytes_max: limit,
                    flags: &flags[..flag_bytes],
                    ..inputs()
                };
                let length = script_length(&inputs).unwrap();
                assert!((2..=100).contains(&length), "{limit} {flag_bytes}: {length}");
            }
        }
        let giant = CoinbaseInputs { flags: &flags, ..inputs() };
        assert_eq!(script_length(&giant), Err(CoinbaseError::ScriptTooLong { found: 112 }));
    }

    #[test]
    fn extranonces_that_need_a_longer_push_are_refused() {
        let long = CoinbaseInputs { template_extranonce2_size: 72, ..inputs() };
        assert_eq!(script_length(&long), Err(CoinbaseError::ExtranonceTooLong { found: 76 }));
    }

    #[test]
    fn the_halves_are_the_same_whatever_the_padding() {
        for size in 1..=16 {
            for room in 0..=16 {
                let template = CoinbaseTemplate::new(&CoinbaseInputs {
                    extranonce2_size: size,
                    template_extranonce2_size: room,
                    ..inputs()
                })
                .unwrap();
                let mut prefix = Vec::new();
                template.write_prefix(&mut prefix, 1);
                let script = prefix[41] as usize;
                let push = 4 + size.max(room);
                assert_eq!(script, 4 + 5 + 1 + push + 18);
                assert_eq!(prefix.len(), 42 + 4 + 5 + 1 + size.max(room) - size);
            }
        }
    }
}
