//! From a `mining.notify` to a block header and its hash, as a miner does it.
//!
//! Written from the description of Stratum and checked against its worked examples; nothing of the
//! pool is used, not even its hex.

use serde_json::Value;
use sha2::block_api::compress256;
use sha2::{Digest, Sha256};

use crate::node::text;

/// What SHA-256 starts from (FIPS 180-4, section 5.3.3).
const INITIAL_STATE: [u32; 8] = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];

/// A hash in internal byte order.
pub type Hash = [u8; 32];

pub fn sha256d(bytes: &[u8]) -> Hash {
    Sha256::digest(Sha256::digest(bytes)).into()
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[track_caller]
pub fn unhex(text: &str) -> Vec<u8> {
    assert!(text.len().is_multiple_of(2) && text.is_ascii(), "not whole bytes of hex: {text:?}");
    let digits = |at: usize| u8::from_str_radix(&text[at..at + 2], 16);
    (0..text.len())
        .step_by(2)
        .map(|at| digits(at).unwrap_or_else(|_| panic!("not hex: {text:?}")))
        .collect()
}

/// The order people and Core's RPC write a hash in.
pub fn display(hash: &Hash) -> String {
    hex(&hash.iter().rev().copied().collect::<Vec<_>>())
}

/// The work of one `mining.notify`.
#[derive(Clone, Debug)]
pub struct Job {
    pub id: String,
    pub previous_hash: Hash,
    pub coinb1: Vec<u8>,
    pub coinb2: Vec<u8>,
    pub branch: Vec<Hash>,
    pub version: u32,
    pub nbits: u32,
    pub ntime: u32,
    pub clean: bool,
}

impl Job {
    #[track_caller]
    pub fn parse(params: &Value) -> Self {
        let fields = params.as_array().expect("notify has an array of parameters");
        assert_eq!(fields.len(), 9, "mining.notify has nine parameters: {params}");
        let mut previous_hash = hash(&fields[1]);
        // Stratum sends the words of the hash each turned round.
        for word in previous_hash.chunks_exact_mut(4) {
            word.reverse();
        }
        Self {
            id: text(&fields[0]),
            previous_hash,
            coinb1: unhex(&text(&fields[2])),
            coinb2: unhex(&text(&fields[3])),
            branch: fields[4].as_array().expect("a branch").iter().map(hash).collect(),
            version: number(&fields[5]),
            nbits: number(&fields[6]),
            ntime: number(&fields[7]),
            clean: fields[8].as_bool().expect("clean_jobs is a boolean"),
        }
    }

    /// The header, with nonce zero.
    pub fn header(&self, extranonce1: &[u8], extranonce2: &[u8], version: u32) -> [u8; 80] {
        let coinbase = [&self.coinb1, extranonce1, extranonce2, &self.coinb2].concat();
        let root = fold(sha256d(&coinbase), &self.branch);
        let mut header = [0; 80];
        header[..4].copy_from_slice(&version.to_le_bytes());
        header[4..36].copy_from_slice(&self.previous_hash);
        header[36..68].copy_from_slice(&root);
        header[68..72].copy_from_slice(&self.ntime.to_le_bytes());
        header[72..76].copy_from_slice(&self.nbits.to_le_bytes());
        header
    }
}

fn fold(txid: Hash, branch: &[Hash]) -> Hash {
    branch.iter().fold(txid, |node, sibling| sha256d(&[node, *sibling].concat()))
}

#[track_caller]
fn hash(value: &Value) -> Hash {
    unhex(&text(value)).try_into().expect("a hash has 32 bytes")
}

#[track_caller]
fn number(value: &Value) -> u32 {
    u32::from_str_radix(&text(value), 16).unwrap_or_else(|_| panic!("not 8 hex digits: {value}"))
}

/// A bound for hashes: a 256-bit number, most significant byte first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target([u8; 32]);

impl Target {
    pub const MAX: Self = Self([0xff; 32]);

    pub fn from_bits(bits: u32) -> Self {
        let size = (bits >> 24) as usize;
        let mut bytes = [0; 32];
        for (nth, digit) in (bits & 0x00ff_ffff).to_le_bytes()[..3].iter().enumerate() {
            // A size below three moves digits out at the bottom.
            if let Some(place) = (size + nth).checked_sub(3) {
                bytes[31 - place] = *digit;
            }
        }
        Self(bytes)
    }

    /// `0xffff × 2^208 / difficulty`, to the 53 bits a double has.
    pub fn from_difficulty(difficulty: f64) -> Self {
        assert!(difficulty > 0.0 && difficulty.is_finite(), "difficulty {difficulty}");
        let bits = (65535.0 / difficulty).to_bits();
        let mantissa = (bits & ((1 << 52) - 1)) | (1 << 52);
        let exponent = i32::try_from((bits >> 52) & 0x7ff).expect("eleven bits") - 1075 + 208;
        let mut bytes = [0; 32];
        for digit in (0..53).filter(|digit| (mantissa >> digit) & 1 == 1) {
            match usize::try_from(exponent + digit) {
                Ok(place @ ..256) => bytes[31 - place / 8] |= 1 << (place % 8),
                Ok(_) => return Self::MAX,
                // Below one: nothing a hash could be compared with.
                Err(_) => {}
            }
        }
        Self(bytes)
    }

    fn of(mut hash: Hash) -> Self {
        hash.reverse();
        Self(hash)
    }

    fn top_word(self) -> u32 {
        u32::from_be_bytes([self.0[0], self.0[1], self.0[2], self.0[3]])
    }
}

/// Hashes that are looked for: at most one bound, and above another.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    pub at_most: Target,
    pub above: Option<Target>,
}

impl Wanted {
    fn has(&self, hash: Hash) -> bool {
        let value = Target::of(hash);
        value <= self.at_most && self.above.is_none_or(|bound| value > bound)
    }
}

/// Tries `count` nonces from zero on.
///
/// The loop is thin and its work is inside `sha2`, which is optimised even when the tests are not:
/// two compressions for a hash, the first block of the header being hashed once.
pub fn search(header: &[u8; 80], count: u32, wanted: &Wanted) -> Option<(u32, Hash)> {
    let mut midstate = INITIAL_STATE;
    compress256(&mut midstate, &[*header.first_chunk().expect("a header is longer")]);

    let mut tail = [[0; 64]];
    tail[0][..12].copy_from_slice(&header[64..76]);
    pad(&mut tail[0], 16, 80);
    let mut middle = [[0; 64]];
    pad(&mut middle[0], 32, 32);

    let top_word = wanted.at_most.top_word();
    for nonce in 0..count {
        tail[0][12..16].copy_from_slice(&nonce.to_le_bytes());
        let mut first = midstate;
        compress256(&mut first, &tail);
        write_words(&first, &mut middle[0]);
        let mut second = INITIAL_STATE;
        compress256(&mut second, &middle);
        // The last word holds the most significant bytes: most hashes are told apart by it.
        if second[7].swap_bytes() > top_word {
            continue;
        }
        let mut hash = [0; 32];
        write_words(&second, &mut hash);
        if wanted.has(hash) {
            return Some((nonce, hash));
        }
    }
    None
}

/// SHA-256's padding of a message whose last `used` bytes stand in `block`.
fn pad(block: &mut [u8; 64], used: usize, message_bytes: u64) {
    block[used] = 0x80;
    block[56..].copy_from_slice(&(message_bytes * 8).to_be_bytes());
}

fn write_words(words: &[u32; 8], out: &mut [u8]) {
    let mut at = 0;
    while at < 8 {
        out[at * 4..at * 4 + 4].copy_from_slice(&words[at].to_be_bytes());
        at += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// The job of `stratum.md` §16.4.
    fn job() -> Job {
        Job::parse(&json!([
            "1-1",
            "1cda83a5689bf23f73ff4872cef822783a032748000320280000000000000000",
            "01000000010000000000000000000000000000000000000000000000000000000000000000ffffffff280341d10c04bb0723660c00000000",
            "112f676f506f6f6c2f416243642d4566313200000000030000000000000000266a24aa21a9ede2f61c3f71d1defd3fa999dfa36953755c690689799962b48bebd836974e8cf900725d1700000000160014751e76e8199196d454941c45d1b3a323f1433bd600127a00000000001976a91462e907b15cbf27d5425399ebf6f0fb50ebb88f1888ac00000000",
            [
                "dcd983761bfdc8ef9e6a7aa700bf8e7bae5fdae22c3e918a12dee48176b40a5a",
                "d184f96033057cdd3c81efd876f61952c0eae419c52653b5827d939a036cffbf"
            ],
            "20000000",
            "17034219",
            "662307b7",
            true
        ]))
    }

    #[track_caller]
    fn check(mut header: [u8; 80], nonce: u32, expected: &str) {
        header[76..].copy_from_slice(&nonce.to_le_bytes());
        assert_eq!(display(&sha256d(&header)), expected);
    }

    #[test]
    fn the_shares_of_the_worked_example_have_its_hashes() {
        let first = job().header(&unhex("00000001"), &unhex("00000000"), 0x2000_0000);
        check(
            first,
            0x0195_3508,
            "000000677a94e82f8dc77c28fcce9b7ca5115ee0aa2900059995e428030d8afb",
        );
        let mut later = job();
        later.ntime = 0x6623_07bc;
        let second = later.header(&unhex("00000001"), &unhex("0000002a"), 0x2000_2000);
        check(
            second,
            0x0218_d484,
            "0000005e7408c3c7f7e163024e86e6afd555cd8d8e89b35b26c3b045c9b641cc",
        );
    }

    /// `mining.md` §14.2: a regtest block with three transactions.
    #[test]
    fn the_block_of_the_worked_example_is_found_at_its_nonce() {
        let job = Job::parse(&json!([
            "1-1",
            "466e2206590b1a116012afcabf5beb433a4fc3281f2a335e3cb7b2c70f9188f1",
            "01000000010000000000000000000000000000000000000000000000000000000000000000ffffffff2601650401f153650c00000000",
            "112f676f506f6f6c2f414243442d7778797a00000000030000000000000000266a24aa21a9ede1884f17466310c683afa0ecf03e3f7decb111ffd05dd3e3f32f7a544988c7ce7c1c1024010000001600140102030405060708090a0b0c0d0e0f10111213143ce1f50500000000160014751e76e8199196d454941c45d1b3a323f1433bd600000000",
            [
                "230c7acd5e6e84f4f306f2818a386a0be5a5f725f8dc8c0f2e0595f5d0d948ef",
                "e12b0bf71e1950266446b399903a7e72c738e8e4276aefdf01515ca962a39354"
            ],
            "20000000",
            "207fffff",
            "6553f13c",
            true
        ]));
        let header = job.header(&unhex("00000001"), &unhex("00000000"), job.version);
        let wanted = Wanted { at_most: Target::from_bits(job.nbits), above: None };
        let (nonce, hash) = search(&header, 8, &wanted).expect("every second hash is a block");
        assert_eq!(nonce, 0);
        assert_eq!(
            display(&hash),
            "7034c0061202a2f16a6600b56dc4a508538570ea9f714502e526e5b0a8bdeaa8"
        );
    }

    /// `mining.md` §6.1: block 100000, txids in display order.
    #[test]
    fn a_branch_folds_to_the_merkle_root_of_a_real_block() {
        let mut coinbase =
            unhex("8c14f0db3df150123e6f3dbbf30f8b955a8249b62ac1d1ff16284aefa3d06d87");
        coinbase.reverse();
        let branch = [
            "c40297f730dd7b5a99567eb8d27b78758f607507c52292d02d4031895b52f2ff",
            "49aef42d78e3e9999c9e6ec9e1dddd6cb880bf3b076a03be1318ca789089308e",
        ]
        .map(|level| unhex(level).try_into().expect("32 bytes"));
        let root = fold(coinbase.try_into().expect("32 bytes"), &branch);
        assert_eq!(hex(&root), "6657a9252aacd5c0b2940996ecff952228c3067cc38d4885efb5a4ac4247e9f3");
    }

    #[test]
    fn the_search_hashes_like_sha256d() {
        let header = job().header(&unhex("00000001"), &unhex("00000007"), 0x2000_0000);
        let all = Wanted { at_most: Target::MAX, above: None };
        let (nonce, hash) = search(&header, 1, &all).expect("every hash is wanted");
        check(header, nonce, &display(&hash));
    }

    #[test]
    fn what_lies_above_the_block_target_is_a_share_and_no_block() {
        let header = job().header(&unhex("00000001"), &unhex("00000007"), 0x2000_0000);
        let block = Target::from_bits(0x207f_ffff);
        let wanted = Wanted { at_most: Target::MAX, above: Some(block) };
        let (_, hash) = search(&header, 64, &wanted).expect("every second hash");
        assert!(Target::of(hash) > block);
    }

    /// `stratum.md` §16.3.
    #[test]
    fn difficulties_have_the_targets_of_the_table() {
        for (difficulty, top) in [
            (1.0, "00000000ffff0000"),
            (2.0, "000000007fff8000"),
            (256.0, "0000000000ffff00"),
            (1000.0, "00000000004188f5"),
            (0.5, "00000001fffe0000"),
            (0.001, "000003e7fc180000"),
            (1e-7, "009895e769800000"),
        ] {
            assert_eq!(hex(&Target::from_difficulty(difficulty).0[..8]), top, "{difficulty}");
        }
        assert_eq!(Target::from_difficulty(1e-10), Target::MAX);
    }

    #[test]
    fn compact_bits_have_their_targets() {
        for (bits, top) in [
            (0x207f_ffff, "7fffff0000000000"),
            (0x1d00_ffff, "00000000ffff0000"),
            (0x1e03_77ae, "00000377ae000000"),
        ] {
            assert_eq!(hex(&Target::from_bits(bits).0[..8]), top, "{bits:08x}");
        }
    }
}
