//! What a miner is told when a request fails; codes, words and labels of `stratum.md` §2.3, §6.1
//! and §11.2.

use std::borrow::Cow;

/// Stratum's code of what does not fit elsewhere.
pub const CODE_OTHER: i32 = 20;
pub const CODE_UNAUTHORIZED: i32 = 24;
/// JSON-RPC's codes.
pub const CODE_METHOD_NOT_FOUND: i32 = -32601;
pub const CODE_PARSE_ERROR: i32 = -32700;

/// Why a submission is not accepted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Reject {
    InvalidParams,
    InvalidWorker,
    EmptyWorker,
    WorkerTooLong,
    InvalidJobId,
    EmptyJobId,
    JobIdTooLong,
    InvalidExtranonce2,
    InvalidNtime,
    InvalidNonce,
    InvalidVersion,
    EmptyVersion,
    VersionTooLong,
    Unauthorized,
    UnauthorizedWorker,
    /// Answered in the words of the ban, and not counted.
    Banned,
    StaleJob,
    VersionRollingOff,
    InvalidVersionMask,
    Duplicate,
    LowDifficulty {
        found: f64,
        expected: f64,
    },
}

impl Reject {
    pub fn code(self) -> i32 {
        match self {
            Self::StaleJob => 21,
            Self::Duplicate => 22,
            Self::LowDifficulty { .. } => 23,
            Self::Unauthorized | Self::UnauthorizedWorker | Self::Banned => CODE_UNAUTHORIZED,
            _ => CODE_OTHER,
        }
    }

    pub fn message(self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::InvalidParams => "invalid params",
            Self::InvalidWorker => "invalid worker",
            Self::EmptyWorker => "worker name required",
            Self::WorkerTooLong => "worker name too long",
            Self::InvalidJobId => "invalid job id",
            Self::EmptyJobId => "job id required",
            Self::JobIdTooLong => "job id too long",
            Self::InvalidExtranonce2 => "invalid extranonce2",
            Self::InvalidNtime => "invalid ntime",
            Self::InvalidNonce => "invalid nonce",
            Self::InvalidVersion => "invalid version",
            Self::EmptyVersion => "version required",
            Self::VersionTooLong => "version too long",
            Self::Unauthorized | Self::UnauthorizedWorker => "unauthorized",
            Self::Banned => "banned",
            Self::StaleJob => "job not found",
            Self::VersionRollingOff => "version rolling not enabled",
            Self::InvalidVersionMask => "invalid version mask",
            Self::Duplicate => "duplicate share",
            Self::LowDifficulty { found, expected } => {
                return Cow::Owned(format!(
                    "low difficulty share ({} expected {})",
                    six_digits(found),
                    six_digits(expected)
                ));
            }
        })
    }

    /// The name it is counted under.
    pub fn label(self) -> &'static str {
        match self {
            Self::InvalidParams => "invalid params",
            Self::InvalidWorker => "invalid worker",
            Self::EmptyWorker => "empty worker",
            Self::WorkerTooLong => "worker name too long",
            Self::InvalidJobId => "invalid job id",
            Self::EmptyJobId => "empty job id",
            Self::JobIdTooLong => "job id too long",
            Self::InvalidExtranonce2 => "invalid extranonce2",
            Self::InvalidNtime => "invalid ntime",
            Self::InvalidNonce => "invalid nonce",
            Self::InvalidVersion | Self::VersionRollingOff => "invalid version",
            Self::EmptyVersion => "empty version",
            Self::VersionTooLong => "version too long",
            Self::Unauthorized => "unauthorized",
            Self::UnauthorizedWorker => "unauthorized worker",
            Self::Banned => "banned",
            Self::StaleJob => "stale job",
            Self::InvalidVersionMask => "invalid version mask",
            Self::Duplicate => "duplicate share",
            Self::LowDifficulty { .. } => "lowDiff",
        }
    }
}

/// A number as C's `%.6g` writes it: six significant digits, trailing zeros removed, an exponent
/// below 1e-4 and from 1e6.
fn six_digits(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return format!("{value}");
    }
    let scientific = format!("{value:.5e}");
    let (mantissa, exponent) = scientific.split_once('e').expect("{:e} writes an exponent");
    let exponent: i32 = exponent.parse().expect("{:e} writes a number");
    if (-4..6).contains(&exponent) {
        let decimals = (5 - exponent) as usize;
        return without_trailing_zeros(&format!("{value:.decimals$}")).to_owned();
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{}e{sign}{:02}", without_trailing_zeros(mantissa), exponent.abs())
}

fn without_trailing_zeros(digits: &str) -> &str {
    if !digits.contains('.') {
        return digits;
    }
    digits.trim_end_matches('0').trim_end_matches('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_in_c() {
        for (value, text) in [
            (0.009_663_664_503_843_636, "0.00966366"),
            (256.0, "256"),
            (1_234_567.0, "1.23457e+06"),
            (0.000_012_345_6, "1.23456e-05"),
            (999_999.5, "1e+06"),
            (123_456.0, "123456"),
            (0.0001, "0.0001"),
            (1e-10, "1e-10"),
            (86_388_558_925_171.02, "8.63886e+13"),
            (0.5, "0.5"),
            (0.0, "0"),
            (100_000.0, "100000"),
            (3.0e100, "3e+100"),
        ] {
            assert_eq!(six_digits(value), text);
        }
    }

    #[test]
    fn a_low_share_is_told_what_it_was_and_what_was_asked() {
        let reject = Reject::LowDifficulty { found: 0.009_663_664_503_843_636, expected: 256.0 };
        assert_eq!(reject.message(), "low difficulty share (0.00966366 expected 256)");
        assert_eq!((reject.code(), reject.label()), (23, "lowDiff"));
    }
}
