//! What kinds of miners are connected (`state-and-services.md` §19.3).

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use gopool_shards::session::client::name_and_version;

use crate::snapshot::MinerType;

/// Kinds that are told apart; clients name themselves as they like.
const TYPES_MAX: usize = 256;
const UNKNOWN: &str = "(unknown)";

/// Counts clients by what they call themselves; each worker counts once. Most first.
pub fn miner_types<'a>(clients: impl Iterator<Item = &'a Arc<str>>) -> Vec<MinerType> {
    // Names are taken apart once for each kind and not for each of thousands of miners.
    let mut by_client: HashMap<&str, u64> = HashMap::new();
    for client in clients {
        *by_client.entry(client).or_default() += 1;
    }
    let mut by_name: BTreeMap<String, BTreeMap<String, u64>> = BTreeMap::new();
    for (client, workers) in by_client {
        let (mut name, version) = name_and_version(client);
        if name.is_empty() {
            name = UNKNOWN.to_owned();
        }
        *by_name.entry(name).or_default().entry(version).or_default() += workers;
    }
    let mut types: Vec<MinerType> = by_name
        .into_iter()
        .map(|(name, versions)| {
            let mut versions: Vec<_> = versions.into_iter().collect();
            versions.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
            let workers = versions.iter().map(|(_, workers)| workers).sum();
            MinerType { name, workers, versions }
        })
        .collect();
    types.sort_by(|a, b| b.workers.cmp(&a.workers).then_with(|| a.name.cmp(&b.name)));
    types.truncate(TYPES_MAX);
    types
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_ordered_by_how_many_there_are() {
        let clients: Vec<Arc<str>> =
            ["b/2", "a/1", "b/1", "a/1", "b/2", "", "NerdMiner V2 1.6.3", "c/1"]
                .map(Into::into)
                .into();
        let types = miner_types(clients.iter());
        let shown: Vec<_> = types.iter().map(|kind| (&*kind.name, kind.workers)).collect();
        assert_eq!(shown, [("b", 3), ("a", 2), ("(unknown)", 1), ("NerdMiner V2", 1), ("c", 1)]);
        assert_eq!(types[0].versions, [("2".to_owned(), 2), ("1".to_owned(), 1)]);
        assert_eq!(types[2].versions, [(String::new(), 1)]);
    }
}
