//! The worked examples of `mining.md` §14: whole coinbases, headers and blocks, byte for byte.

use std::sync::Arc;

use gopool_shards::sha256d::sha256d;
use gopool_shards::share::{Candidate, Leaf, Verdict, judge, write_coinbase};
use gopool_shards::work::address::{Network, script_for};
use gopool_shards::work::block;
use gopool_shards::work::coinbase::witness_form;
use gopool_shards::work::header::{display_hex, hash_from_display_hex};
use gopool_shards::work::job::{Job, JobInputs, JobStamp};
use gopool_shards::work::payout::{Donation, PayoutPolicy, Split};
use gopool_shards::work::target::Target;
use gopool_shards::work::template::Template;
use gopool_shards::work::transaction::Transaction;

const EMPTY_COMMITMENT: &str =
    "6a24aa21a9ede2f61c3f71d1defd3fa999dfa36953755c690689799962b48bebd836974e8cf9";
const REGTEST_GENESIS: &str = "0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206";
const REGTEST_WORKER: &str = "bcrt1qqypqxpq9qcrsszg2pvxq6rs0zqg3yyc5phstwt";

/// What differs between the examples.
struct Example {
    network: Network,
    height: u64,
    prev_hash: &'static str,
    bits: u32,
    built_at: u64,
    total: u64,
    tag: (&'static str, &'static str),
    pool: &'static str,
    fee_percent: f64,
    donation: Option<(&'static str, f64)>,
    transactions: Vec<&'static str>,
    commitment: &'static str,
}

impl Example {
    fn script(&self, address: &str) -> Vec<u8> {
        script_for(address, self.network).expect("an address")
    }

    fn job(&self) -> Job {
        let transactions: Vec<_> = self
            .transactions
            .iter()
            .map(|hex| Transaction::parse(const_hex::decode(hex).expect("hex")).expect("parses"))
            .map(Arc::new)
            .collect();
        let template = Template {
            height: self.height,
            version: 0x2000_0000,
            prev_hash: hash_from_display_hex(self.prev_hash).expect("64 digits"),
            bits: self.bits,
            target: Target::from_bits(self.bits).expect("valid bits"),
            curtime: 1_700_000_000,
            mintime: 1_600_000_000,
            coinbase_value: self.total,
            coinbase_flags: vec![],
            witness_commitment: const_hex::decode(self.commitment).expect("hex"),
            transactions: transactions.into(),
            version_bits_fixed: 0,
        };
        assert!(template.commits_to_its_witnesses());
        let inputs = JobInputs {
            payout: Arc::new(PayoutPolicy {
                pool_address: String::new(),
                pool_script: self.script(self.pool),
                fee_percent: self.fee_percent,
                donation: self
                    .donation
                    .map(|(address, percent)| Donation { script: self.script(address), percent }),
            }),
            brand_tag: "/goPool/".into(),
            pool_entropy: self.tag.0.into(),
            script_bytes_max: 100,
            extranonce2_size: 4,
            template_extranonce2_size: 8,
            bip110_enabled: false,
            version_bits: vec![],
        };
        let stamp = JobStamp { id: 0, built_at: self.built_at, entropy: self.tag.1.into() };
        Job::compile(&template, &inputs, &stamp).expect("a job")
    }
}

fn halves(job: &Job, worker_script: &[u8]) -> (String, String) {
    let (mut prefix, mut suffix) = (Vec::new(), Vec::new());
    job.coinbase.write_prefix(&mut prefix, 1);
    job.coinbase.write_suffix(&mut suffix, &job.payout, worker_script);
    (const_hex::encode(prefix), const_hex::encode(suffix))
}

fn judged(candidate: Candidate<'_>) -> Verdict {
    let mut verdict = [Verdict::NONE];
    judge(&[candidate], &mut verdict);
    verdict[0]
}

#[test]
fn example_a_pays_three_on_mainnet() {
    let example = Example {
        network: Network::Mainnet,
        height: 840_000,
        prev_hash: "0000000000000000000320283a032748cef8227873ff4872689bf23f1cda83a5",
        bits: 0x1703_4219,
        built_at: 1_713_571_767,
        total: 318_759_331,
        tag: ("ABCD", "1234"),
        pool: "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4",
        fee_percent: 2.0,
        donation: Some(("1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", 12.5)),
        transactions: vec![],
        commitment: EMPTY_COMMITMENT,
    };
    let job = example.job();
    let worker = example.script("bc1p5cyxnuxmeuwuvkwfem96lqzszd02n6xdcjrs20cac6yqjjwudpxqkedrcr");
    assert_eq!(
        job.coinbase.split(&job.payout, &worker),
        Split { pool: 5_578_289, donation: 796_898, worker: 312_384_144, fallback: false }
    );
    let (coinb1, coinb2) = halves(&job, &worker);
    assert_eq!(
        coinb1,
        "01000000010000000000000000000000000000000000000000000000000000000000000000ffffffff280340d10c04b80723660c00000000"
    );
    assert_eq!(
        coinb2,
        "112f676f506f6f6c2f414243442d3132333400000000040000000000000000266a24aa21a9ede2f61c3f71d1defd3fa999dfa36953755c690689799962b48bebd836974e8cf9909a9e1200000000225120a60869f0dbcf1dc659c9cecbaf8050135ea9e8cdc487053f1dc6880949dc684c311e550000000000160014751e76e8199196d454941c45d1b3a323f1433bd6e2280c00000000001976a91462e907b15cbf27d5425399ebf6f0fb50ebb88f1888ac00000000"
    );

    let mut coinbase = Vec::new();
    write_coinbase(&mut coinbase, &job, &worker, 1, [0, 0, 0, 1], &[10, 11, 12, 13]);
    assert_eq!(const_hex::encode(&coinbase), format!("{coinb1}000000010a0b0c0d{coinb2}"));
    assert_eq!(coinbase.len(), 246);
    assert_eq!(
        display_hex(&sha256d(&coinbase)),
        "350e2ffeb20e91b88e886f58939e9e9076fadbe9349481d51db6a4e3be6b8e19"
    );
    assert_eq!(
        display_hex(&sha256d(&witness_form(&coinbase))),
        "7d159569fa1bfe323806fd1f67115da913c8983baac9fd9cfe0f039360fc3ddb"
    );

    let candidate = Candidate {
        job: &job,
        leaf: Leaf::Coinbase(&coinbase),
        version: 0x2000_0000,
        ntime: 0x6623_0a30,
        nonce: 0x1234_5678,
    };
    let header = candidate.header();
    assert_eq!(
        const_hex::encode(header),
        "00000020a583da1c3ff29b687248ff737822f8ce4827033a282003000000000000000000198e6bbee3a4b61dd5819434e9dbfa76909e9e93586f888eb8910eb2fe2f0e35300a23661942031778563412"
    );
    let verdict = judged(candidate);
    assert_eq!(
        display_hex(&verdict.hash),
        "6627dad31cafe77c8ece5ca0e1359591ae4f8d05412c1dd8d4ed8fd6454c0ffa"
    );
    assert!((verdict.difficulty / 5.834598103267232e-10 - 1.0).abs() < 1e-14);
    assert!(!verdict.is_block);
    let block = block::serialize(&header, &coinbase, &job.transactions);
    assert_eq!(block.len(), 363);
    assert_eq!(const_hex::encode(block), include_str!("example_a.hex").trim());
}

fn regtest(
    height: u64,
    tag: (&'static str, &'static str),
    total: u64,
    fee_percent: f64,
) -> Example {
    Example {
        network: Network::Regtest,
        height,
        prev_hash: REGTEST_GENESIS,
        bits: 0x207f_ffff,
        built_at: 1_700_000_000,
        total,
        tag,
        pool: "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080",
        fee_percent,
        donation: None,
        transactions: vec![],
        commitment: EMPTY_COMMITMENT,
    }
}

#[test]
fn example_b_is_a_block_with_three_transactions() {
    let example = Example {
        transactions: vec![
            "01000000000101db6b1b20aa0fd7b23880be2ecbd4a98130974cf4748fb66092ac4d3ceb1a5477010000001716001479091972186c449eb1ded22b78e40d009bdf0089feffffff02b8b4eb0b000000001976a914a457b684d7f0d539a46a45bbc043f35b59d0d96388ac0008af2f000000001976a914fd270b1ee6abcaea97fea7ad0402e8bd8ad6d77c88ac02473044022047ac8e878352d3ebbde1c94ce3a10d057c24175747116f8288e5d794d12d482f0220217f36a485cae903c713331d877c1f64677e3622ad4010726870540656fe9dcb012103ad1d8e89212f0b92c74d23bb710c00662ad1470198ac48c43f7d6f93a2a2687392040000",
            "010000000111111111111111111111111111111111111111111111111111111111111111110000000000ffffffff01e803000000000000015100000000",
            "020000000122222222222222222222222222222222222222222222222222222222222222220100000000feffffff01d007000000000000015100000000",
        ],
        commitment: "6a24aa21a9ede1884f17466310c683afa0ecf03e3f7decb111ffd05dd3e3f32f7a544988c7ce",
        ..regtest(101, ("ABCD", "wxyz"), 5_000_003_000, 2.0)
    };
    let job = example.job();
    assert_eq!(
        job.branch.iter().map(const_hex::encode).collect::<Vec<_>>(),
        [
            "230c7acd5e6e84f4f306f2818a386a0be5a5f725f8dc8c0f2e0595f5d0d948ef",
            "e12b0bf71e1950266446b399903a7e72c738e8e4276aefdf01515ca962a39354",
        ]
    );
    let worker = example.script(REGTEST_WORKER);
    let mut coinbase = Vec::new();
    write_coinbase(&mut coinbase, &job, &worker, 1, [0, 0, 0, 1], &[0; 4]);
    assert_eq!(
        display_hex(&sha256d(&coinbase)),
        "07446c29d2fb8bb8691e34fbe15583d48ab8e6cbf1505f629ae424f0b16d597d"
    );
    let candidate = Candidate {
        job: &job,
        leaf: Leaf::Coinbase(&coinbase),
        version: job.version,
        ntime: 0x6553_f13c,
        nonce: 0,
    };
    let verdict = judged(candidate);
    assert!(verdict.is_block);
    assert_eq!(
        display_hex(&verdict.hash),
        "7034c0061202a2f16a6600b56dc4a508538570ea9f714502e526e5b0a8bdeaa8"
    );
    let block = block::serialize(&candidate.header(), &coinbase, &job.transactions);
    assert_eq!(block.len(), 688);
    assert_eq!(const_hex::encode(block), include_str!("example_b.hex").trim());
}

#[test]
fn example_c_pays_the_miner_alone() {
    let example = regtest(1, ("ABCD", "wxyz"), 5_000_000_000, 0.0);
    let job = example.job();
    let worker = example.script(REGTEST_WORKER);
    let mut coinbase = Vec::new();
    write_coinbase(&mut coinbase, &job, &worker, 1, [0, 0, 0, 1], &[0; 4]);
    let candidate = Candidate {
        job: &job,
        leaf: Leaf::Coinbase(&coinbase),
        version: job.version,
        ntime: 0x6553_f13c,
        nonce: 1,
    };
    assert_eq!(
        display_hex(&judged(candidate).hash),
        "6f752714447295689592d3f63c51ed9aca578dd2bc2a4cd03b6b458569fa1860"
    );
    let block = block::serialize(&candidate.header(), &coinbase, &job.transactions);
    assert_eq!(const_hex::encode(block), include_str!("example_c.hex").trim());
}
