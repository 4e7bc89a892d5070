//! Who is paid, and what is in a coinbase.

use std::sync::Arc;

use gopool_shards::limits::COINBASE_SCRIPT_BYTES_MAX;
use gopool_shards::work::address::{Network, script_for};
use gopool_shards::work::job::JobInputs;
use gopool_shards::work::payout::{Donation, PayoutPolicy};
use gopool_shards::work::tag::brand_tag;

use crate::config::files::Files;
use crate::config::keys::Setting;
use crate::config::problem::{ProblemKind, Problems};

pub const POOL_ENTROPY_CHARACTERS: usize = 4;

pub struct Work {
    pub job_inputs: JobInputs,
    pub job_entropy: usize,
}

pub fn work(
    files: &Files,
    network: Network,
    drawn_entropy: &str,
    problems: &mut Problems,
) -> Option<Work> {
    let mut address = files.node.payout_address.clone();
    address.value.retain(|character| character.is_ascii_alphanumeric());
    let pool_script = script(&address, network, problems);
    let donation = donation(files, network, problems);
    let pool_entropy = pool_entropy(&files.mining.pool_entropy, drawn_entropy, problems);
    let coinbase = &files.coinbase;
    let limit = coinbase.coinbase_scriptsig_max_bytes.value as usize;
    Some(Work {
        job_inputs: JobInputs {
            payout: Arc::new(PayoutPolicy {
                pool_address: address.value,
                pool_script: pool_script?,
                fee_percent: files.mining.pool_fee_percent.value,
                donation: donation?,
            }),
            brand_tag: brand_tag(&files.mining.pooltag_prefix.value),
            pool_entropy: pool_entropy?,
            script_bytes_max: limit.min(COINBASE_SCRIPT_BYTES_MAX),
            extranonce2_size: coinbase.extranonce2_size.value as usize,
            template_extranonce2_size: coinbase.template_extra_nonce2_size.value as usize,
            bip110_enabled: files.version.bip110_enabled.value,
            version_bits: files.version_bits.clone(),
        },
        job_entropy: match coinbase.disable_pool_job_entropy.value {
            true => 0,
            false => coinbase.job_entropy.value as usize,
        },
    })
}

fn script(setting: &Setting<String>, network: Network, problems: &mut Problems) -> Option<Vec<u8>> {
    let allowed = format!("an address of {}", network.name());
    if setting.value.is_empty() {
        problems.refuse(setting, format!("{allowed}: a block pays the pool there"));
        return None;
    }
    match script_for(&setting.value, network) {
        Ok(script) => Some(script),
        Err(error) => {
            problems.refuse_as(ProblemKind::Address, setting, format!("{allowed} ({error})"));
            None
        }
    }
}

/// None inside when nothing is donated.
fn donation(files: &Files, network: Network, problems: &mut Problems) -> Option<Option<Donation>> {
    let percent = files.mining.operator_donation_percent.value;
    if percent == 0.0 {
        return Some(None);
    }
    let address = &files.mining.operator_donation_address;
    if address.value.is_empty() {
        problems.refuse(address, "an address while operator_donation_percent is above 0");
        return None;
    }
    script(address, network, problems).map(|script| Some(Donation { script, percent }))
}

/// As it is written, or drawn for this process.
fn pool_entropy(setting: &Setting<String>, drawn: &str, problems: &mut Problems) -> Option<String> {
    let text = setting.value.as_str();
    if text.is_empty() {
        return Some(drawn.to_owned());
    }
    let is_good = text.len() == POOL_ENTROPY_CHARACTERS
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if !is_good {
        problems.refuse(setting, "4 letters or digits");
    }
    is_good.then(|| text.to_owned())
}
