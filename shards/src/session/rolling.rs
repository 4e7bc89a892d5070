//! Version rolling on one connection (BIP-0310, `stratum.md` §3.3, §5.4, §6.3).

use crate::settings::SharePolicy;
use crate::wire::reject::Reject;

/// What has been negotiated.
#[derive(Debug)]
pub(super) struct Rolling {
    /// The mask the miner asked for, once it has.
    requested: Option<u32>,
    /// Bits it may roll now; none before it asked.
    mask: u32,
    min_bits: u32,
}

impl Rolling {
    pub(super) fn new(min_bits: u32) -> Self {
        Self { requested: None, mask: 0, min_bits: min_bits.max(1) }
    }

    /// Bits the miner may roll; 0 when rolling is off.
    pub(super) fn mask(&self) -> u32 {
        self.mask
    }

    /// The bit count to answer with: no more than the mask has.
    pub(super) fn min_bits(&self) -> u32 {
        self.min_bits.min(self.mask.count_ones()).max(1)
    }

    pub(super) fn negotiate(&mut self, requested: u32, min_bits: Option<u32>, job_mask: u32) {
        self.requested = Some(requested);
        if let Some(min_bits) = min_bits {
            self.min_bits = min_bits.max(1);
        }
        self.mask = requested & job_mask;
    }

    /// A job with another mask comes: returns whether the miner's own changes with it.
    pub(super) fn follow(&mut self, job_mask: u32) -> bool {
        let Some(requested) = self.requested else {
            return false;
        };
        let before = std::mem::replace(&mut self.mask, requested & job_mask);
        self.mask != before
    }

    /// The version that was hashed, and what policy has against it.
    ///
    /// The advertised version `base` has no bit inside the mask, so whether a miner adds,
    /// exchanges or sets the bits it rolls, or sends the whole version, it means the same.
    pub(super) fn resolve(
        &self,
        base: u32,
        job_mask: u32,
        submitted: Option<u32>,
        policy: &SharePolicy,
    ) -> (u32, Option<Reject>) {
        // A miner that never negotiated is read as if it might have, and then told.
        let mask = if self.requested.is_some() { self.mask } else { job_mask };
        let (version, changed) = match submitted {
            None | Some(0) => (base, 0),
            Some(bits) if bits & !mask == 0 => (base ^ bits, bits),
            Some(whole) if (whole ^ base) & !mask == 0 => (whole, whole ^ base),
            Some(bits) if policy.allow_out_of_mask_version_bits => (base ^ bits, bits),
            Some(whole) => (whole, whole ^ base),
        };
        let reject = if !policy.check_version_rolling || changed == 0 {
            None
        } else if self.mask == 0 {
            Some(Reject::VersionRollingOff)
        } else if changed & !self.mask != 0 && !policy.allow_out_of_mask_version_bits {
            Some(Reject::InvalidVersionMask)
        } else {
            None
        };
        (version, reject)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Freshness;
    use std::time::Duration;

    const BASE: u32 = 0x2000_0000;
    const MASK: u32 = 0x1fff_e000;

    fn policy(allow_out_of_mask_version_bits: bool) -> SharePolicy {
        SharePolicy {
            freshness: Freshness::JobId,
            check_ntime_window: true,
            ntime_forward_max: Duration::from_secs(7000),
            check_version_rolling: true,
            allow_out_of_mask_version_bits,
            require_authorized: true,
            require_worker_match: false,
            check_param_format: true,
            check_duplicate: true,
        }
    }

    #[track_caller]
    fn check(
        on: bool,
        allowed: bool,
        submitted: Option<u32>,
        version: u32,
        reject: Option<Reject>,
    ) {
        let mut rolling = Rolling::new(1);
        if on {
            rolling.negotiate(MASK, None, MASK);
        }
        let found = rolling.resolve(BASE, MASK, submitted, &policy(allowed));
        assert_eq!(found, (version, reject), "{submitted:08x?}");
    }

    #[test]
    fn the_version_table_of_the_specification_holds() {
        for on in [true, false] {
            for allowed in [true, false] {
                check(on, allowed, None, BASE, None);
                check(on, allowed, Some(0), BASE, None);
            }
        }
        check(true, false, Some(0x2000), 0x2000_2000, None);
        check(false, false, Some(0x2000), 0x2000_2000, Some(Reject::VersionRollingOff));
        check(true, false, Some(0x2000_2000), 0x2000_2000, None);
        check(false, false, Some(BASE), BASE, None);
        check(true, false, Some(0x10), 0x10, Some(Reject::InvalidVersionMask));
        check(true, true, Some(0x10), 0x2000_0010, None);
        check(true, false, Some(0x2000_0010), 0x2000_0010, Some(Reject::InvalidVersionMask));
        // What the reference gets wrong: a whole version is one in either mode.
        check(true, true, Some(0x2000_2000), 0x2000_2000, None);
    }

    #[test]
    fn a_narrower_job_mask_narrows_the_miners() {
        let mut rolling = Rolling::new(2);
        assert!(!rolling.follow(MASK), "nothing was negotiated");
        rolling.negotiate(0x0000_6000, Some(16), MASK);
        assert_eq!((rolling.mask(), rolling.min_bits()), (0x6000, 2));
        assert!(rolling.follow(0x0000_2000));
        assert_eq!((rolling.mask(), rolling.min_bits()), (0x2000, 1));
        assert!(rolling.follow(MASK));
        assert_eq!(rolling.mask(), 0x6000);
    }
}
