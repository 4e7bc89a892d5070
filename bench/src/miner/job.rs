//! One job as the pool sent it, and the headers that can be made from it.

use const_hex::FromHexError;
use gopool_shards::sha256d::{Hash, sha256d};
use gopool_shards::work::header::Header;
use gopool_shards::work::merkle;
use gopool_shards::work::target::Target;
use serde_json::Value;

/// A branch longer than this cannot come from a block: 2^16 transactions do not fit into one.
const BRANCHES_MAX: usize = 16;

/// `mining.notify`, decoded. Hashes are in internal byte order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    pub id: String,
    pub prev_hash: Hash,
    pub coinb1: Vec<u8>,
    pub coinb2: Vec<u8>,
    pub branches: Vec<Hash>,
    pub version: u32,
    pub nbits: u32,
    pub ntime: u32,
    pub clean: bool,
    /// From `nbits`: what makes a share a block.
    pub block_target: Target,
}

/// What is wrong with a job; the miner keeps the one it has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JobError {
    #[error("mining.notify has {0} parameters where 9 belong")]
    Count(usize),
    #[error("mining.notify: {0} has the wrong type")]
    Type(&'static str),
    #[error("mining.notify: {field} holds {source}")]
    Hex { field: &'static str, source: FromHexError },
    #[error("mining.notify: {0} merkle branches, and a block needs at most {BRANCHES_MAX}")]
    Branches(usize),
    #[error("mining.notify: nbits {0:08x} is no target")]
    Bits(u32),
}

impl Job {
    /// Reads the parameters of `mining.notify`.
    pub fn from_params(params: &[Value]) -> Result<Self, JobError> {
        let [id, prev_hash, coinb1, coinb2, branches, version, nbits, ntime, clean, ..] = params
        else {
            return Err(JobError::Count(params.len()));
        };
        let branches = branches.as_array().ok_or(JobError::Type("merkle branches"))?;
        if branches.len() > BRANCHES_MAX {
            return Err(JobError::Branches(branches.len()));
        }
        let nbits = field("nbits", nbits, decode_u32)?;
        Ok(Self {
            id: id.as_str().ok_or(JobError::Type("job id"))?.to_owned(),
            prev_hash: words_reversed(field("previous hash", prev_hash, decode_array)?),
            coinb1: field("coinb1", coinb1, decode_bytes)?,
            coinb2: field("coinb2", coinb2, decode_bytes)?,
            branches: branches
                .iter()
                .map(|branch| field("a merkle branch", branch, decode_array))
                .collect::<Result<_, _>>()?,
            version: field("version", version, decode_u32)?,
            nbits,
            ntime: field("ntime", ntime, decode_u32)?,
            clean: clean.as_bool().ok_or(JobError::Type("clean_jobs"))?,
            block_target: Target::from_bits(nbits).ok_or(JobError::Bits(nbits))?,
        })
    }

    /// The merkle root, with these extranonces in the coinbase.
    pub fn merkle_root(&self, extranonce1: &[u8], extranonce2: &[u8]) -> Hash {
        let coinbase = [&self.coinb1[..], extranonce1, extranonce2, &self.coinb2[..]].concat();
        merkle::fold(sha256d(&coinbase), &self.branches)
    }

    /// The 80 bytes that are hashed.
    pub fn header(&self, version: u32, merkle_root: &Hash, ntime: u32, nonce: u32) -> [u8; 80] {
        Header {
            version,
            prev_hash: self.prev_hash,
            merkle_root: *merkle_root,
            time: ntime,
            bits: self.nbits,
            nonce,
        }
        .serialize()
    }

    /// The job's version with `bits` in the places that may be rolled (BIP-0310).
    pub fn rolled_version(&self, mask: u32, bits: u32) -> u32 {
        self.version & !mask | bits & mask
    }
}

/// Stratum writes the previous hash as eight words, each with its bytes the other way round.
fn words_reversed(mut hash: Hash) -> Hash {
    for word in hash.as_chunks_mut::<4>().0 {
        word.reverse();
    }
    hash
}

/// A number of eight digits, most significant first.
pub(super) fn decode_u32(text: &str) -> Result<u32, FromHexError> {
    decode_array(text).map(u32::from_be_bytes)
}

fn decode_array<const N: usize>(text: &str) -> Result<[u8; N], FromHexError> {
    const_hex::decode_to_array(text)
}

fn decode_bytes(text: &str) -> Result<Vec<u8>, FromHexError> {
    const_hex::decode(text)
}

fn field<T>(
    field: &'static str,
    value: &Value,
    decode: impl Fn(&str) -> Result<T, FromHexError>,
) -> Result<T, JobError> {
    let text = value.as_str().ok_or(JobError::Type(field))?;
    decode(text).map_err(|source| JobError::Hex { field, source })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use serde_json::json;

    /// The parameters of the worked example's `mining.notify`: height 840001, two transactions.
    pub fn example() -> Vec<Value> {
        let coinb1 = "01000000010000000000000000000000000000000000000000000000000000000000000000\
                      ffffffff280341d10c04bb0723660c00000000";
        let coinb2 = "112f676f506f6f6c2f416243642d456631320000000003\
                      0000000000000000266a24aa21a9ede2f61c3f71d1defd3fa999dfa36953755c690689799962b48\
                      bebd836974e8cf9\
                      00725d1700000000160014751e76e8199196d454941c45d1b3a323f1433bd6\
                      00127a00000000001976a91462e907b15cbf27d5425399ebf6f0fb50ebb88f1888ac00000000";
        let Value::Array(params) = json!([
            "1-1",
            "1cda83a5689bf23f73ff4872cef822783a032748000320280000000000000000",
            coinb1,
            coinb2,
            [
                "dcd983761bfdc8ef9e6a7aa700bf8e7bae5fdae22c3e918a12dee48176b40a5a",
                "d184f96033057cdd3c81efd876f61952c0eae419c52653b5827d939a036cffbf"
            ],
            "20000000",
            "17034219",
            "662307b7",
            true
        ]) else {
            panic!("an array was written");
        };
        params
    }

    /// Builds the header a share of the worked example stands for.
    #[track_caller]
    fn check(extranonce2: u32, ntime: u32, bits: u32, nonce: u32, root: &str, header: &str) {
        let job = Job::from_params(&example()).unwrap();
        let merkle_root = job.merkle_root(&[0, 0, 0, 1], &extranonce2.to_be_bytes());
        assert_eq!(const_hex::encode(merkle_root), root);
        let version = job.rolled_version(0x1fff_e000, bits);
        let found = job.header(version, &merkle_root, ntime, nonce);
        assert_eq!(const_hex::encode(found), header);
    }

    #[test]
    fn share_1_of_the_worked_example_is_built_byte_for_byte() {
        check(
            0,
            0x6623_07b7,
            0,
            0x0195_3508,
            "9f26935d1905b197c59ae4c009f2569e3cfca10b06aff2827aa597a0a54f95d1",
            "00000020a583da1c3ff29b687248ff737822f8ce4827033a282003000000000000000000\
             9f26935d1905b197c59ae4c009f2569e3cfca10b06aff2827aa597a0a54f95d1\
             b70723661942031708359501",
        );
    }

    #[test]
    fn share_2_of_the_worked_example_is_built_byte_for_byte() {
        check(
            0x2a,
            0x6623_07bc,
            0x2000,
            0x0218_d484,
            "30c2c0cfe37a00781768adadc50dff18afd632a8ba3b6dcef25f17a6e61bac0d",
            "00200020a583da1c3ff29b687248ff737822f8ce4827033a282003000000000000000000\
             30c2c0cfe37a00781768adadc50dff18afd632a8ba3b6dcef25f17a6e61bac0d\
             bc0723661942031784d41802",
        );
    }

    #[test]
    fn only_bits_inside_the_mask_are_rolled() {
        let job = Job::from_params(&example()).unwrap();
        assert_eq!(job.rolled_version(0x1fff_e000, 0xffff_ffff), 0x3fff_e000);
        assert_eq!(job.rolled_version(0, 0xffff_ffff), 0x2000_0000);
    }

    #[test]
    fn a_job_that_cannot_be_mined_is_refused_by_name() {
        #[track_caller]
        fn check(index: usize, value: Value, expected: &JobError) {
            let mut params = example();
            params[index] = value;
            assert_eq!(Job::from_params(&params).as_ref(), Err(expected));
        }
        check(0, json!(7), &JobError::Type("job id"));
        check(4, json!("x"), &JobError::Type("merkle branches"));
        check(4, json!(vec![""; 17]), &JobError::Branches(17));
        check(6, json!("00000000"), &JobError::Bits(0));
        let source = FromHexError::OddLength;
        check(2, json!("abc"), &JobError::Hex { field: "coinb1", source });
        assert_eq!(Job::from_params(&example()[..5]), Err(JobError::Count(5)));
    }
}
