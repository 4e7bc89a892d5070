//! The parameters of `mining.submit`, by type and length, and the numbers in them
//! (`stratum.md` §6.1, rows A).

use std::borrow::Cow;

use smallvec::SmallVec;

use crate::limits::{JOB_ID_BYTES_MAX, WORKER_NAME_BYTES_MAX};
use crate::settings::SharePolicy;
use crate::wire::reject::Reject;
use crate::wire::request::Params;
use crate::wire::submit::Submit;

/// The parameters of a submit, by type and length only.
pub(super) struct Fields<'a> {
    pub(super) worker: Cow<'a, str>,
    pub(super) job_id: Cow<'a, str>,
    pub(super) extranonce2: Cow<'a, str>,
    pub(super) ntime: Cow<'a, str>,
    pub(super) nonce: Cow<'a, str>,
    pub(super) version: Option<u32>,
}

impl<'a> Fields<'a> {
    pub(super) fn parse(params: &Params<'a>, rules: &SharePolicy) -> Result<Self, Reject> {
        let strict = rules.check_param_format;
        if !matches!(params.len(), 5 | 6) {
            return Err(Reject::InvalidParams);
        }
        let worker = trimmed(params.string(0).ok_or(Reject::InvalidWorker)?);
        check_worker_name(&worker, strict)?;
        let job_id = trimmed(params.string(1).ok_or(Reject::InvalidJobId)?);
        check_job_id(&job_id, strict)?;
        let extranonce2 = params.string(2).ok_or(Reject::InvalidExtranonce2)?;
        let ntime = params.string(3).ok_or(Reject::InvalidNtime)?;
        let nonce = params.string(4).ok_or(Reject::InvalidNonce)?;
        let version = match params.len() {
            6 => parse_version(&params.string(5).ok_or(Reject::InvalidVersion)?, strict)?,
            _ => None,
        };
        Ok(Self { worker, job_id, extranonce2, ntime, nonce, version })
    }

    /// The same for parameters that are known to be strings.
    pub(super) fn of(submit: &Submit<'a>, rules: &SharePolicy) -> Result<Self, Reject> {
        let strict = rules.check_param_format;
        let (worker, job_id) = (submit.worker.trim(), submit.job_id.trim());
        check_worker_name(worker, strict)?;
        check_job_id(job_id, strict)?;
        let version = match submit.version {
            Some(version) => parse_version(version, strict)?,
            None => None,
        };
        Ok(Self {
            worker: worker.into(),
            job_id: job_id.into(),
            extranonce2: submit.extranonce2.into(),
            ntime: submit.ntime.into(),
            nonce: submit.nonce.into(),
            version,
        })
    }
}

fn check_worker_name(worker: &str, strict: bool) -> Result<(), Reject> {
    match worker.len() {
        0 if strict => Err(Reject::EmptyWorker),
        length if strict && length > WORKER_NAME_BYTES_MAX => Err(Reject::WorkerTooLong),
        _ => Ok(()),
    }
}

fn check_job_id(job_id: &str, strict: bool) -> Result<(), Reject> {
    match job_id.len() {
        0 => Err(Reject::EmptyJobId),
        length if strict && length > JOB_ID_BYTES_MAX => Err(Reject::JobIdTooLong),
        _ => Ok(()),
    }
}

fn parse_version(text: &str, strict: bool) -> Result<Option<u32>, Reject> {
    match hex_value(text) {
        Some(version) => Ok(Some(version)),
        None if !strict => Ok(None),
        None if text.is_empty() => Err(Reject::EmptyVersion),
        None if text.len() > 8 => Err(Reject::VersionTooLong),
        None => Err(Reject::InvalidVersion),
    }
}

/// A number in 1 to 8 hex digits, read by value: some firmware does not pad (`miners.md`).
pub(super) fn hex_value(text: &str) -> Option<u32> {
    let digits = text.as_bytes();
    if !(1..=8).contains(&digits.len()) {
        return None;
    }
    digits.iter().try_fold(0, |value, digit| {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            b'A'..=b'F' => digit - b'A' + 10,
            _ => return None,
        };
        Some(value << 4 | u32::from(digit))
    })
}

/// Bytes of the coinbase, so their number is fixed whatever policy says.
pub(super) fn decode_extranonce2(text: &str, size: usize) -> Result<SmallVec<[u8; 8]>, Reject> {
    let mut bytes = SmallVec::from_elem(0, size);
    // The decoder skips `0x`, which no extranonce has.
    if text.len() != 2 * size || text.starts_with("0x") {
        return Err(Reject::InvalidExtranonce2);
    }
    const_hex::decode_to_slice(text, &mut bytes).map_err(|_| Reject::InvalidExtranonce2)?;
    Ok(bytes)
}

fn trimmed(text: Cow<'_, str>) -> Cow<'_, str> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
        Cow::Owned(text) => Cow::Owned(text.trim().to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_by_value_in_one_to_eight_digits() {
        for (text, value) in [
            ("01953508", Some(0x0195_3508)),
            ("1953508", Some(0x0195_3508)),
            ("a", Some(10)),
            ("FFFFFFFF", Some(u32::MAX)),
            ("", None),
            ("000000001", None),
            ("0x12", None),
            ("+1", None),
            (" 1", None),
            ("0000000g", None),
        ] {
            assert_eq!(hex_value(text), value, "{text}");
        }
    }

    #[test]
    fn an_extranonce2_has_its_exact_length() {
        assert_eq!(decode_extranonce2("0a0B0c0d", 4).unwrap()[..], [10, 11, 12, 13]);
        for bad in ["", "0a0b0c", "0a0b0c0d0e", "0a0b0c0g", "0x0b0c0d", "  0b0c0d"] {
            assert_eq!(decode_extranonce2(bad, 4), Err(Reject::InvalidExtranonce2), "{bad}");
        }
    }
}
