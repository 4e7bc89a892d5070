//! `getblocktemplate`'s answer, as written and then checked (`mining.md` §3).

use std::collections::HashMap;

use serde::Deserialize;

use gopool_shards::work::header::hash_from_display_hex;
use gopool_shards::work::target::Target;
use gopool_shards::work::template::Template;
use gopool_shards::work::transaction::TransactionError;

use super::transactions::{Listed, Unread};

/// The fields of BIP-0022, BIP-0023 and BIP-0145 that the pool needs; all others are ignored.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct RawTemplate {
    version: i32,
    previousblockhash: String,
    /// Empty when they were found while the answer came in.
    pub(super) transactions: Vec<RawTransaction>,
    coinbaseaux: HashMap<String, String>,
    coinbasevalue: i64,
    pub longpollid: String,
    target: String,
    mintime: u32,
    mutable: Vec<String>,
    curtime: u32,
    bits: String,
    height: u64,
    rules: Vec<String>,
    vbavailable: HashMap<String, u32>,
    vbrequired: u32,
    default_witness_commitment: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RawTransaction {
    pub(super) data: String,
    pub(super) txid: String,
    pub(super) hash: String,
}

/// Why a template cannot be mined; the current work stays.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    #[error("template: {field} is {found}, {allowed} is needed")]
    Field { field: &'static str, found: String, allowed: &'static str },
    #[error("template: transaction {index}: {source}")]
    Transaction { index: usize, source: TransactionError },
    #[error("template: transaction {index} has {field} {found}, its data hashes to another")]
    TransactionId { index: usize, field: &'static str, found: String },
    #[error("template: the witness commitment does not commit to the transactions")]
    WitnessCommitment,
}

/// Checks everything about a template but what its transactions hash to, which can be asked of
/// what is returned with it.
pub(super) fn check(
    raw: &RawTemplate,
    transactions: Listed,
) -> Result<(Template, Unread), TemplateError> {
    let field = |field, found: &str, allowed| TemplateError::Field {
        field,
        found: if found.is_empty() { "missing".into() } else { found.into() },
        allowed,
    };
    if raw.curtime == 0 {
        return Err(field("curtime", "0", "a time"));
    }
    if raw.height == 0 {
        return Err(field("height", "0", "the next block's"));
    }
    let coinbase_value = u64::try_from(raw.coinbasevalue)
        .ok()
        .filter(|value| *value > 0)
        .ok_or_else(|| field("coinbasevalue", &raw.coinbasevalue.to_string(), "above 0"))?;
    let (bits, target) = check_target(raw)?;
    let prev_hash = hash_from_display_hex(&raw.previousblockhash)
        .ok_or_else(|| field("previousblockhash", &raw.previousblockhash, "64 hex digits"))?;
    let flags = raw.coinbaseaux.get("flags").map_or("", |flags| flags.as_str());
    let coinbase_flags =
        const_hex::decode(flags).map_err(|_| field("coinbaseaux.flags", flags, "hex"))?;
    let commitment = &raw.default_witness_commitment;
    let witness_commitment = const_hex::decode(commitment)
        .ok()
        .filter(|script| !script.is_empty())
        .ok_or_else(|| field("default_witness_commitment", commitment, "a script in hex"))?;
    let (transactions, unread) = transactions.into_parts();
    let template = Template {
        height: raw.height,
        version: raw.version.cast_unsigned(),
        prev_hash,
        bits,
        target,
        curtime: raw.curtime,
        mintime: raw.mintime,
        coinbase_value,
        coinbase_flags,
        witness_commitment,
        transactions,
        version_bits_fixed: version_bits_fixed(raw),
    };
    Ok((template, unread))
}

fn check_target(raw: &RawTemplate) -> Result<(u32, Target), TemplateError> {
    let error = |field, found: &str, allowed| TemplateError::Field {
        field,
        found: found.to_owned(),
        allowed,
    };
    let is_hex = raw.bits.len() == 8 && raw.bits.bytes().all(|b| b.is_ascii_hexdigit());
    let bits = u32::from_str_radix(&raw.bits, 16)
        .ok()
        .filter(|_| is_hex)
        .ok_or_else(|| error("bits", &raw.bits, "8 hex digits"))?;
    let target =
        Target::from_bits(bits).ok_or_else(|| error("bits", &raw.bits, "a target above 0"))?;
    if !raw.target.is_empty() && Target::from_hex(&raw.target) != Some(target) {
        return Err(error("target", &raw.target, "what bits decode to"));
    }
    Ok((bits, target))
}

/// Bits the node wants left alone; none unless it says that versions are its business
/// (`mining.md` §6.5).
fn version_bits_fixed(raw: &RawTemplate) -> u32 {
    if !raw.mutable.iter().any(|entry| entry.starts_with("version/")) {
        return 0;
    }
    let active = raw.vbavailable.iter().filter(|(name, bit)| {
        **bit < 32 && raw.rules.iter().any(|rule| rule.trim_start_matches('!') == *name)
    });
    active.fold(raw.vbrequired, |bits, (_, bit)| bits | 1 << bit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const TXID: &str = "99296a9c40f5e307530147cc99133f35ae866b280d362d7c487bfd30ea1d72d8";
    const DATA: &str = "010000000111111111111111111111111111111111111111111111111111111111111111110000000000ffffffff01e803000000000000015100000000";
    const EMPTY_COMMITMENT: &str =
        "6a24aa21a9ede2f61c3f71d1defd3fa999dfa36953755c690689799962b48bebd836974e8cf9";

    fn sound() -> serde_json::Value {
        json!({
            "version": 0x2000_0000,
            "previousblockhash": "0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206",
            "transactions": [],
            "coinbaseaux": {},
            "coinbasevalue": 5_000_000_000_u64,
            "longpollid": "x",
            "target": "7fffff0000000000000000000000000000000000000000000000000000000000",
            "mintime": 1_600_000_000,
            "mutable": ["time", "transactions", "prevblock"],
            "curtime": 1_700_000_000,
            "bits": "207fffff",
            "height": 1,
            "rules": ["csv", "!segwit"],
            "vbavailable": {},
            "vbrequired": 0,
            "default_witness_commitment": EMPTY_COMMITMENT,
            "something_new": {"ignored": true},
        })
    }

    #[track_caller]
    fn check(change: impl FnOnce(&mut serde_json::Value)) -> Result<Template, TemplateError> {
        let mut template = sound();
        change(&mut template);
        let raw: RawTemplate = serde_json::from_value(template).unwrap();
        let mut transactions = Listed::default();
        for each in &raw.transactions {
            transactions.push_now(&each.data, &each.txid, &each.hash)?;
        }
        let (template, unread) = super::check(&raw, transactions)?;
        unread.verify(&template, &[], &Default::default())?;
        Ok(template)
    }

    #[test]
    fn a_sound_template_passes() {
        let template = check(|_| {}).unwrap();
        assert_eq!(
            (template.height, template.bits, template.curtime),
            (1, 0x207f_ffff, 1_700_000_000)
        );
    }

    #[test]
    fn each_bad_field_is_named() {
        for (name, value) in [
            ("curtime", json!(0)),
            ("height", json!(0)),
            ("coinbasevalue", json!(0)),
            ("coinbasevalue", json!(-1)),
            ("bits", json!("207fff")),
            ("bits", json!("1d000000")),
            ("bits", json!("+07fffff")),
            ("target", json!("00")),
            ("previousblockhash", json!("00")),
            ("default_witness_commitment", json!("")),
            ("coinbaseaux.flags", json!("x")),
        ] {
            let error = check(|template| match name.split_once('.') {
                Some((object, member)) => template[object][member] = value.clone(),
                None => template[name] = value.clone(),
            })
            .unwrap_err();
            let TemplateError::Field { field, .. } = error else { panic!("{error}") };
            assert_eq!(field, name);
        }
    }

    #[test]
    fn transactions_must_be_what_they_are_called_and_be_committed_to() {
        let with = |transaction: serde_json::Value| {
            check(|template| template["transactions"] = json!([transaction]))
        };
        let error = with(json!({"data": DATA, "txid": TXID, "hash": TXID})).unwrap_err();
        assert_eq!(error, TemplateError::WitnessCommitment);
        let error = with(json!({"data": DATA, "txid": "00".repeat(32)})).unwrap_err();
        assert!(matches!(error, TemplateError::TransactionId { field: "txid", .. }), "{error}");
        let error = with(json!({"data": &DATA[2..], "txid": TXID})).unwrap_err();
        assert!(matches!(error, TemplateError::Transaction { index: 0, .. }), "{error}");
        let error = with(json!({"data": "", "txid": TXID})).unwrap_err();
        assert!(matches!(error, TemplateError::Transaction { index: 0, .. }), "{error}");
    }

    #[test]
    fn bits_are_fixed_only_by_a_template_that_speaks_of_versions() {
        let fixed = |mutable: &str| {
            check(|template| {
                template["mutable"] = json!([mutable]);
                template["vbrequired"] = json!(1 << 20);
                template["vbavailable"] = json!({"new": 14, "other": 15});
                template["rules"] = json!(["!new"]);
            })
            .unwrap()
            .version_bits_fixed
        };
        assert_eq!(fixed("time"), 0);
        assert_eq!(fixed("version/force"), 1 << 20 | 1 << 14);
    }
}
