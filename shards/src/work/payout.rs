//! Who is paid what by a block (`mining.md` §4.5, §8): the reward goes to the miner's own wallet,
//! less the pool's fee; a part of the fee may be a donation.

use smallvec::SmallVec;

/// The pool's side of every coinbase, fixed for the life of a job.
#[derive(Clone, Debug)]
pub struct PayoutPolicy {
    /// `node.payout_address`, for the records.
    pub pool_address: String,
    /// Its scriptPubKey.
    pub pool_script: Vec<u8>,
    /// Of the whole reward, 0 to 99.99.
    pub fee_percent: f64,
    pub donation: Option<Donation>,
}

/// A part of the pool's fee that goes elsewhere.
#[derive(Clone, Debug)]
pub struct Donation {
    pub script: Vec<u8>,
    /// Of the fee, above 0 and up to 100.
    pub percent: f64,
}

/// Satoshis and the scriptPubKey they go to.
pub type Outputs<'a> = SmallVec<[(u64, &'a [u8]); 3]>;

/// What each side gets, in satoshis; the parts add up to the coinbase value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Split {
    pub pool: u64,
    pub donation: u64,
    pub worker: u64,
    /// A fee is configured but the whole reward went to the pool's script.
    pub fallback: bool,
}

impl Split {
    /// The pool's fee as it is recorded: the donation is part of it.
    pub fn fee(&self) -> u64 {
        self.pool + self.donation
    }
}

impl PayoutPolicy {
    /// Splits `total` satoshis between the pool, the donation and the worker.
    pub fn split(&self, total: u64, worker_script: &[u8]) -> Split {
        let fee_percent = self.fee_percent.clamp(0.0, 99.99);
        if fee_percent <= 0.0 {
            return Split { pool: 0, donation: 0, worker: total, fallback: false };
        }
        let everything_to_pool = Split { pool: total, donation: 0, worker: 0, fallback: true };
        if worker_script == self.pool_script {
            return everything_to_pool;
        }
        let fee = percent_of(total, fee_percent);
        if fee >= total {
            return everything_to_pool;
        }
        let donation = match &self.donation {
            Some(donation) => percent_of(fee, donation.percent.clamp(0.0, 100.0)),
            None => 0,
        };
        Split { pool: fee - donation, donation, worker: total - fee, fallback: false }
    }

    /// The payout outputs in wire order: largest first, ties in the order pool, donation, worker;
    /// none of zero.
    pub fn outputs<'a>(&'a self, split: &Split, worker_script: &'a [u8]) -> Outputs<'a> {
        let donation_script = self.donation.as_ref().map_or(&[][..], |d| &d.script);
        let mut outputs = Outputs::from([
            (split.pool, &self.pool_script[..]),
            (split.donation, donation_script),
            (split.worker, worker_script),
        ]);
        outputs.retain(|(value, _)| *value > 0);
        // Stable, so equal values keep their order.
        outputs.sort_by_key(|(value, _)| std::cmp::Reverse(*value));
        outputs
    }
}

/// Rounded half away from zero, as every figure shown or logged is; never more than `amount`.
fn percent_of(amount: u64, percent: f64) -> u64 {
    ((amount as f64 * percent / 100.0).round() as u64).min(amount)
}

#[cfg(test)]
mod tests {
    use super::*;

    const POOL: &[u8] = b"pool";
    const WORKER: &[u8] = b"worker";

    fn policy(fee_percent: f64, donation: Option<f64>) -> PayoutPolicy {
        PayoutPolicy {
            pool_address: String::new(),
            pool_script: POOL.to_vec(),
            fee_percent,
            donation: donation.map(|percent| Donation { script: b"donation".to_vec(), percent }),
        }
    }

    #[test]
    fn the_fee_table_of_the_specification_holds() {
        for (total, fee, donation, pool, donated, worker) in [
            (312_500_000, 2.0, None, 6_250_000, 0, 306_250_000),
            (318_759_331, 2.0, None, 6_375_187, 0, 312_384_144),
            (318_759_331, 2.0, Some(12.5), 5_578_289, 796_898, 312_384_144),
            (318_759_331, 1.5, None, 4_781_390, 0, 313_977_941),
            (318_759_331, 0.5, Some(50.0), 796_898, 796_899, 317_165_534),
            (318_759_331, 2.0, Some(100.0), 0, 6_375_187, 312_384_144),
            (318_759_331, 99.99, None, 318_727_455, 0, 31_876),
            (5_000_000_000, 2.5, None, 125_000_000, 0, 4_875_000_000),
            (5_000_003_000, 2.0, None, 100_000_060, 0, 4_900_002_940),
            (1000, 1.5, None, 15, 0, 985),
            (1000, 2.0, Some(12.5), 17, 3, 980),
            (1000, 2.0, Some(25.0), 15, 5, 980),
            (25, 2.0, None, 1, 0, 24),
            (24, 2.0, None, 0, 0, 24),
        ] {
            let split = policy(fee, donation).split(total, WORKER);
            let expected = Split { pool, donation: donated, worker, fallback: false };
            assert_eq!(split, expected, "{total} at {fee} %");
            assert_eq!(split.fee() + split.worker, total);
        }
    }

    #[test]
    fn a_split_that_leaves_the_worker_nothing_pays_the_pool() {
        let split = policy(99.99, None).split(100, WORKER);
        assert_eq!(split, Split { pool: 100, donation: 0, worker: 0, fallback: true });
    }

    #[test]
    fn a_worker_with_the_pools_own_script_is_paid_by_the_pools_output() {
        let split = policy(2.0, Some(10.0)).split(1000, POOL);
        assert_eq!(split, Split { pool: 1000, donation: 0, worker: 0, fallback: true });
        let split = policy(0.0, Some(10.0)).split(1000, POOL);
        assert_eq!(split, Split { pool: 0, donation: 0, worker: 1000, fallback: false });
    }

    #[test]
    fn outputs_are_sorted_and_never_zero() {
        let policy = policy(50.0, Some(50.0));
        let split = policy.split(1000, WORKER);
        let outputs = policy.outputs(&split, WORKER);
        assert_eq!(outputs[..], [(500, WORKER), (250, POOL), (250, &b"donation"[..])]);
        let split = policy.split(1, WORKER);
        assert_eq!(split, Split { pool: 1, donation: 0, worker: 0, fallback: true });
        assert_eq!(policy.outputs(&split, WORKER)[..], [(1, POOL)]);
    }
}
