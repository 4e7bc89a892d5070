//! What a client calls itself (`state-and-services.md` §19.2).

/// Name and version of an identifier such as `cgminer/4.12.1` or `NerdMiner V2 1.6.3`; an identifier
/// that has no version is all name.
pub fn name_and_version(client_id: &str) -> (String, String) {
    let client_id = client_id.trim();
    if let Some((name, version)) = client_id.split_once('/')
        && !name.is_empty()
        && !version.is_empty()
    {
        return (name.to_owned(), version.to_owned());
    }
    let words: Vec<&str> = client_id.split_whitespace().collect();
    match &words[..] {
        [name @ .., version]
            if !name.is_empty()
                && version.contains('.')
                && version.contains(|c: char| c.is_ascii_digit()) =>
        {
            (name.join(" "), (*version).to_owned())
        }
        _ => (client_id.to_owned(), String::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_told_from_a_name() {
        for (client_id, name, version) in [
            ("cgminer/4.12.1", "cgminer", "4.12.1"),
            ("bitaxe/BM1370/v2.6.5", "bitaxe", "BM1370/v2.6.5"),
            ("NerdMiner V2 1.6.3", "NerdMiner V2", "1.6.3"),
            ("bosminer-plus-tuner", "bosminer-plus-tuner", ""),
            ("/odd", "/odd", ""),
            ("foo/", "foo/", ""),
            ("a/b/c", "a", "b/c"),
        ] {
            assert_eq!(name_and_version(client_id), (name.to_owned(), version.to_owned()));
        }
    }
}
